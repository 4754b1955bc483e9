//! Putting what comes over pub/sub into the stream.
//!
//! Every node does so, and what one has put in the others leave alone: nobody has to be elected, and as long as one node
//! listens nothing is missed. When nobody did, that stands in the stream as a gap.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use realtime_protocol::appwrite::envelope::MAX_MESSAGE_BYTES;
use redis::RedisError;
use tokio::time::{interval, sleep};
use tracing::{info, warn};

use super::backlog::{Backlog, Next};
use super::outage::{Missed, Outage};
use super::settings::Durable;
use super::stream;
use super::topology::Link;
use super::{CHANNEL, Redis};
use crate::bus::NodeInbox;

/// How often a node says that it has heard everything so far.
const VOUCH_EVERY: Duration = Duration::from_millis(500);
/// How long a node that begins to listen waits for another one that has listened all along.
const OTHERS_VOUCH_WITHIN: Duration = Duration::from_millis(2_500);
/// Messages put in at once.
const AT_ONCE: usize = 100;

/// What a node knows of what was published before it listened.
enum Before {
    /// It looks whether another node vouches for it: how often each had done so by then.
    Unknown { vouched: HashMap<String, u64>, since: Instant },
    /// Somebody listened, or the stream says that nobody did.
    Known,
}

impl Redis {
    /// Hands on what comes over pub/sub for as long as the node lives.
    pub(super) async fn bridge_for_ever(&self, durable: &Durable, node: &NodeInbox) -> Infallible {
        let mut outage = Outage::new("messages of pub/sub for the stream");
        // Whether something was heard and may not have been handed on.
        let mut owes = false;
        node.carries(false);
        loop {
            let reason = self.bridge(durable, node, &mut owes, &mut outage).await;
            self.hears.store(false, Ordering::Relaxed);
            node.carries(false);
            self.forget_commands().await;
            sleep(outage.go_on(self.topology.name(), &reason)).await;
        }
    }

    /// Hands on what comes over pub/sub until that is not possible any more; says why.
    async fn bridge(
        &self,
        durable: &Durable,
        node: &NodeInbox,
        owes: &mut bool,
        outage: &mut Outage,
    ) -> String {
        let mut link = match self.topology.subscribe(CHANNEL).await {
            Ok(link) => link,
            Err(error) => return error.to_string(),
        };
        let vouched = match self.vouched().await {
            Ok(vouched) => vouched,
            Err(error) => return error.to_string(),
        };
        self.hears.store(true, Ordering::Relaxed);
        node.carries(true);
        outage.end(self.topology.name(), &link.server, Missed::Unheard);
        let (mut watched, backlog) = (link.clone(), Arc::clone(&link.backlog));
        let handed_on = async {
            let mut before = Before::Unknown { vouched, since: Instant::now() };
            let mut ticks = interval(VOUCH_EVERY);
            loop {
                let done = tokio::select! {
                    next = backlog.next() => self.hand_on(next, &backlog, durable, owes).await,
                    _ = ticks.tick() => self.vouch(&mut link, &mut before, durable, owes).await,
                };
                if let Err(reason) = done {
                    return reason;
                }
            }
        };
        tokio::select! {
            reason = handed_on => reason,
            reason = self.watch(&mut watched) => reason,
        }
    }

    /// Hands on what is next, and what waits behind it.
    async fn hand_on(
        &self,
        next: Next,
        backlog: &Backlog,
        durable: &Durable,
        owes: &mut bool,
    ) -> Result<(), String> {
        let mut commands = redis::pipe();
        let mut next = Some(next);
        let mut ended = None;
        // Until it is in the stream, it is lost if this fails.
        let owed = std::mem::replace(owes, true);
        while let Some(one) = next {
            let add = match one {
                Next::Message(message) if message.len() <= MAX_MESSAGE_BYTES => {
                    stream::add(&message, durable, None)
                }
                Next::Message(message) => {
                    warn!(bytes = message.len(), "a message on pub/sub is too large for an event");
                    stream::add_gap(durable)
                }
                Next::Dropped(messages) => {
                    warn!(
                        messages,
                        "events from Redis came faster than this server takes them; they are lost"
                    );
                    stream::add_gap(durable)
                }
                Next::Ended(reason) => {
                    ended = Some(reason);
                    break;
                }
            };
            commands.add_command(add);
            next = if commands.len() < AT_ONCE { backlog.take() } else { None };
        }
        if !commands.is_empty() {
            self.ask::<()>(&commands).await.map_err(|error| error.to_string())?;
        }
        *owes = owed;
        ended.map_or(Ok(()), Err)
    }

    /// Tells the others that everything so far is in the stream; or, as long as that is not known of what was before,
    /// looks whether others say so.
    async fn vouch(
        &self,
        link: &mut Link,
        before: &mut Before,
        durable: &Durable,
        owes: &mut bool,
    ) -> Result<(), String> {
        let failed = |error: RedisError| error.to_string();
        // What was published before the answer has come before it.
        self.topology.ask_for_a_sign_of_life(link).await.map_err(failed)?;
        while let Some(next) = link.backlog.take() {
            self.hand_on(next, &link.backlog, durable, owes).await?;
        }
        if let Before::Unknown { vouched, since } = before {
            let now = self.vouched().await.map_err(failed)?;
            // Once may have been for what was before this node listened; twice is not.
            let advance = |(name, count): (&String, &u64)| {
                count.saturating_sub(vouched.get(name).copied().unwrap_or_default()) >= 2
            };
            let is_vouched_for = now.iter().any(advance) && !*owes;
            if !is_vouched_for && !*owes && since.elapsed() < OTHERS_VOUCH_WITHIN {
                return Ok(());
            }
            if !is_vouched_for {
                warn!("nobody listened to pub/sub for a while; what was published meanwhile is lost");
                self.ask::<()>(redis::pipe().add_command(stream::add_gap(durable)).ignore())
                    .await
                    .map_err(failed)?;
                *owes = false;
            }
            info!(is_vouched_for, "listening to pub/sub for all servers");
            *before = Before::Known;
        }
        let mut say = redis::pipe();
        say.cmd("HINCRBY").arg(stream::HEARD).arg(&self.name).arg(1).ignore();
        say.cmd("EXPIRE").arg(stream::HEARD).arg(3_600).ignore();
        self.ask(&say).await.map_err(failed)
    }

    /// How often each node has said that everything was in the stream.
    async fn vouched(&self) -> Result<HashMap<String, u64>, RedisError> {
        let mut ask = redis::pipe();
        ask.cmd("HGETALL").arg(stream::HEARD);
        let (vouched,): (HashMap<String, u64>,) = self.ask(&ask).await?;
        Ok(vouched)
    }
}
