//! Listening to pub/sub for the node itself: what comes in is posted as it comes.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use realtime_protocol::appwrite::envelope;
use tokio::time::{interval_at, sleep};
use tracing::{trace, warn};

use super::backlog::{Backlog, Next};
use super::outage::{Missed, Outage};
use super::topology::Link;
use super::{CHANNEL, Redis};
use crate::bus::NodeInbox;

/// How often a link is asked whether it is still there: it can die without a word.
const PING_EVERY: Duration = Duration::from_secs(3);

impl Redis {
    /// Keeps a subscription for as long as the node lives.
    pub(super) async fn listen_for_ever(&self, node: &NodeInbox) -> Infallible {
        let mut outage = Outage::new("events from Redis");
        loop {
            let reason = self.listen(node, &mut outage).await;
            if self.hears.swap(false, Ordering::Relaxed) {
                node.deaf().await;
            }
            self.forget_commands().await;
            sleep(outage.go_on(self.topology.name(), &reason)).await;
        }
    }

    /// Keeps a subscription until it is lost; says why it was.
    async fn listen(&self, node: &NodeInbox, outage: &mut Outage) -> String {
        let mut link = match self.topology.subscribe(CHANNEL).await {
            Ok(link) => link,
            Err(error) => return error.to_string(),
        };
        if outage.server().is_some() {
            node.gap().await;
        } else {
            node.begin().await;
        }
        self.hears.store(true, Ordering::Relaxed);
        outage.end(self.topology.name(), &link.server, Missed::Some);
        let backlog = Arc::clone(&link.backlog);
        // Whatever waits when the link turns out to be lost is lost with it, and the gap that follows says so.
        tokio::select! {
            reason = take_all(&backlog, node) => reason,
            reason = self.watch(&mut link) => reason,
        }
    }

    /// Looks whether a link is still where it has to be, until it is not; says why.
    pub(super) async fn watch(&self, link: &mut Link) -> String {
        let mut pings = interval_at(tokio::time::Instant::now() + PING_EVERY, PING_EVERY);
        loop {
            pings.tick().await;
            if let Err(reason) = self.topology.check(link).await {
                return reason;
            }
        }
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
pub(super) async fn take(message: &Bytes, node: &NodeInbox) {
    match envelope::decode(message) {
        Ok(event) => node.event(Arc::new(event)).await,
        Err(error) => {
            skipped(message, &error);
            node.gap().await;
        }
    }
}

/// Tells of a message that is not an event.
pub(super) fn skipped(message: &Bytes, error: &envelope::EnvelopeError) {
    warn!(%error, bytes = message.len(), channel = CHANNEL, "skipped a message on Redis that is not an event");
    trace!(message = %String::from_utf8_lossy(message), "the message skipped");
}
