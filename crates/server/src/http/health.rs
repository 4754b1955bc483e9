//! Probes: is the process alive, and should traffic be sent to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Response, StatusCode};
use serde_json::json;

use super::full;
use crate::transport::Body;

/// Alive: the process answers.
const LIVE: &str = "/health/live";
/// Ready: clients may be sent here.
const READY: &str = "/health/ready";

/// What the probes tell. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
}

impl Health {
    /// From now on clients may, or may not, be sent here.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    pub(super) fn answers(path: &str) -> bool {
        matches!(path, LIVE | READY)
    }

    pub(super) fn answer(&self, path: &str) -> Response<Body> {
        let well = path == LIVE || self.ready.load(Ordering::Relaxed);
        let (status, word) = match well {
            true => (StatusCode::OK, "ok"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        };
        full(status, "application/json", json!({ "status": word }).to_string())
    }
}
