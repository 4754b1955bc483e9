//! The bus of Appwrite: Redis pub/sub, with one subscription for the whole node.

mod backlog;
mod commands;
mod outage;
mod settings;
mod topology;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use realtime_protocol::appwrite::envelope;
use redis::RedisError;
use tokio::sync::Mutex;
use tokio::time::{interval_at, sleep};
use tracing::{debug, trace, warn};

pub use self::settings::{Bounds, Place, RedisSettingsError, Settings};

use self::backlog::{Backlog, Next};
use self::commands::Commands;
use self::outage::Outage;
use self::topology::{Link, Topology};
use super::{Bus, BusError, BusFuture, NodeInbox};

/// The pub/sub channel that Appwrite publishes on.
const CHANNEL: &str = "realtime";
/// How often a subscription is asked whether it is still there: a link can die without a word.
const PING_EVERY: Duration = Duration::from_secs(3);

/// Redis pub/sub.
#[derive(Debug)]
pub struct Redis {
    topology: Topology,
    connected: AtomicBool,
    /// For everything but the subscription.
    commands: Mutex<Option<Commands>>,
}

impl Redis {
    /// A bus that connects when it is run.
    ///
    /// # Errors
    /// Settings that cannot be understood. A Redis that cannot be reached is none: the bus keeps trying.
    pub fn new(settings: &Settings) -> Result<Self, RedisSettingsError> {
        let topology = Topology::new(settings)?;
        Ok(Self { topology, connected: AtomicBool::new(false), commands: Mutex::default() })
    }

    /// Whether events come in at the moment.
    fn hears_events(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Keeps a subscription until it is lost; says why it was.
    async fn listen(&self, node: &NodeInbox, outage: &mut Outage) -> String {
        let mut link = match self.topology.link(CHANNEL).await {
            Ok(link) => link,
            Err(error) => return error.to_string(),
        };
        if outage.was_connected() {
            node.gap().await;
        } else {
            node.begin().await;
        }
        self.connected.store(true, Ordering::Relaxed);
        outage.end(self.topology.name(), &link.server);
        let backlog = Arc::clone(&link.backlog);
        // Whatever waits when the link turns out to be lost is lost with it, and the gap that follows says so.
        tokio::select! {
            reason = take_all(&backlog, node) => reason,
            reason = self.watch(&mut link) => reason,
        }
    }

    /// Looks whether a subscription is still there, until it is not; says why.
    async fn watch(&self, link: &mut Link) -> String {
        let mut pings = interval_at(tokio::time::Instant::now() + PING_EVERY, PING_EVERY);
        loop {
            pings.tick().await;
            if let Err(reason) = self.topology.check(link).await {
                return reason;
            }
        }
    }

    async fn send(&self, envelope: &[u8]) -> Result<(), RedisError> {
        let mut publish = redis::pipe();
        publish.cmd(self.topology.publish()).arg(CHANNEL).arg(envelope).ignore();
        self.ask(&publish).await
    }
}

impl Bus for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn is_connected(&self) -> bool {
        self.hears_events()
    }

    fn run(&self, node: NodeInbox) -> BusFuture<'_, Infallible> {
        Box::pin(async move {
            let mut outage = Outage::default();
            loop {
                let reason = self.listen(&node, &mut outage).await;
                self.connected.store(false, Ordering::Relaxed);
                // After a failover, commands are to go to the new master, too.
                *self.commands.lock().await = None;
                let pause = outage.go_on(self.topology.name(), &reason);
                sleep(pause).await;
            }
        })
    }

    fn publish(&self, envelope: Bytes) -> BusFuture<'_, ()> {
        Box::pin(async move {
            let mut sent = self.send(&envelope).await;
            if sent.as_ref().is_err_and(RedisError::is_connection_dropped) {
                // A connection that has idled may be gone without our knowing. If Redis had taken the message after
                // all, it comes twice, with the same id: better than not at all.
                debug!(place = self.topology.name(), "publishing again on a new connection");
                sent = self.send(&envelope).await;
            }
            sent.map_err(|error| BusError::Unavailable { bus: self.name(), reason: error.to_string() })
        })
    }
}

/// Posts what comes in until nothing more does; says why.
async fn take_all(backlog: &Backlog, node: &NodeInbox) -> String {
    loop {
        match backlog.next().await {
            Next::Message(message) => take(&message, node).await,
            Next::Dropped(messages) => {
                warn!(messages, "events from Redis came faster than this server takes them; they are lost");
                node.gap().await;
            }
            Next::Ended(reason) => return reason,
        }
    }
}

/// Reads a message and posts what it says.
async fn take(message: &Bytes, node: &NodeInbox) {
    match envelope::decode(message) {
        Ok(event) => node.event(Arc::new(event)).await,
        Err(error) => {
            warn!(%error, bytes = message.len(), channel = CHANNEL, "skipped a message on Redis that is not an event");
            trace!(message = %String::from_utf8_lossy(message), "the message skipped");
            node.gap().await;
        }
    }
}
