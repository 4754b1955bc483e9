//! Probes: is the process alive, and should traffic be sent to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use super::{plain, whole};
use crate::bus::Bus;
use crate::transport::Body;

/// Alive: the process answers.
const LIVE: &str = "/health/live";
/// Ready: clients may be sent here.
const READY: &str = "/health/ready";

/// What the probes tell. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Health {
    ready: Arc<AtomicBool>,
    bus: Arc<dyn Bus>,
}

impl Health {
    /// The health of a node on this bus. It is not ready yet.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self { ready: Arc::default(), bus }
    }

    /// From now on clients may, or may not, be sent here.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    pub(super) fn answers(path: &str) -> bool {
        matches!(path, LIVE | READY)
    }

    pub(super) fn answer(&self, path: &str) -> Response<Body> {
        self.plain_answer(path).map(whole)
    }

    /// The same with its body as bytes.
    pub(super) fn plain_answer(&self, path: &str) -> Response<Bytes> {
        let (status, text) = match if path == LIVE { None } else { self.trouble() } {
            None => (StatusCode::OK, json!({ "status": "ok" })),
            Some(reason) => {
                (StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "not ready", "reason": reason }))
            }
        };
        plain(status, "application/json", text.to_string())
    }

    /// Why clients may not be sent here; `None` if they may.
    pub(super) fn trouble(&self) -> Option<String> {
        if !self.ready.load(Ordering::Relaxed) {
            Some("the server is starting or stopping".to_owned())
        } else if !self.bus.is_connected() {
            Some(format!("the {} bus is not connected", self.bus.name()))
        } else {
            None
        }
    }

    /// Where events come from.
    pub(super) fn bus(&self) -> &dyn Bus {
        self.bus.as_ref()
    }
}
