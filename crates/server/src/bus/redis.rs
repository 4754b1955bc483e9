//! The bus of Appwrite: Redis pub/sub, with one subscription for the whole node, or a stream that keeps what happened.

mod backlog;
mod bridge;
mod commands;
mod outage;
mod reader;
mod settings;
mod stream;
mod subscription;
mod topology;

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use redis::RedisError;
use tokio::sync::Mutex;
use tracing::debug;

pub use self::settings::{Bounds, Durable, Place, RedisSettingsError, Settings};

use self::commands::Commands;
use self::topology::Topology;
use super::{Bus, BusError, BusFuture, NodeInbox};

/// The pub/sub channel that Appwrite publishes on.
const CHANNEL: &str = "realtime";

/// Events over Redis.
#[derive(Debug)]
pub struct Redis {
    topology: Topology,
    durable: Option<Durable>,
    /// What this node is called among those that listen for each other.
    name: String,
    /// Whether there is a subscription at the moment.
    hears: AtomicBool,
    /// Whether the stream is read at the moment.
    reads: AtomicBool,
    /// For everything but events that come in.
    commands: Mutex<Option<Commands>>,
}

impl Redis {
    /// A bus that connects when it is run.
    ///
    /// # Errors
    /// Settings that cannot be understood. A Redis that cannot be reached is none: the bus keeps trying.
    pub fn new(settings: &Settings) -> Result<Self, RedisSettingsError> {
        Ok(Self {
            topology: Topology::new(settings)?,
            durable: settings.durable,
            name: format!("{:016x}", rand::random::<u64>()),
            hears: AtomicBool::new(false),
            reads: AtomicBool::new(false),
            commands: Mutex::default(),
        })
    }

    async fn send(&self, envelope: &[u8]) -> Result<(), RedisError> {
        let mut send = redis::pipe();
        match &self.durable {
            None => send.cmd(self.topology.publish()).arg(CHANNEL).arg(envelope),
            Some(durable) => {
                // Appwrite's own realtime hears it, and servers that are not durable yet.
                let publish = durable.is_bridged.then(|| (self.topology.publish(), CHANNEL));
                send.add_command(stream::add(envelope, durable, publish))
            }
        };
        self.ask(send.ignore()).await
    }
}

impl Bus for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn is_connected(&self) -> bool {
        let (hears, reads) = (self.hears.load(Ordering::Relaxed), self.reads.load(Ordering::Relaxed));
        match self.durable {
            None => hears,
            Some(Durable { is_bridged: false, .. }) => reads,
            Some(Durable { is_bridged: true, .. }) => hears && reads,
        }
    }

    fn run(&self, node: NodeInbox) -> BusFuture<'_, Infallible> {
        Box::pin(async move {
            match &self.durable {
                None => Ok(self.listen_for_ever(&node).await),
                Some(durable) if durable.is_bridged => tokio::select! {
                    never = self.read_for_ever(durable, &node) => Ok(never),
                    never = self.bridge_for_ever(durable, &node) => Ok(never),
                },
                Some(durable) => Ok(self.read_for_ever(durable, &node).await),
            }
        })
    }

    fn publish(&self, envelope: Bytes) -> BusFuture<'_, ()> {
        Box::pin(async move {
            let mut sent = self.send(&envelope).await;
            if sent.as_ref().is_err_and(RedisError::is_connection_dropped) {
                // A connection that has idled may be gone without our knowing. If Redis had taken the message after
                // all, it comes twice over pub/sub, with the same id: better than not at all.
                debug!(place = self.topology.name(), "publishing again on a new connection");
                sent = self.send(&envelope).await;
            }
            sent.map_err(|error| BusError::Unavailable { bus: self.name(), reason: error.to_string() })
        })
    }
}
