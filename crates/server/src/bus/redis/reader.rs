//! Reading the stream: from where this node stood, or from as long ago as events are kept.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use realtime_protocol::appwrite::envelope;
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::time::sleep;
use tracing::{info, warn};

use super::outage::{Missed, Outage};
use super::settings::Durable;
use super::stream::{self, Entry, Said, Standing};
use super::subscription::skipped;
use super::{CHANNEL, Redis};
use crate::bus::NodeInbox;

/// When entries were written, as this node sees it.
#[derive(Debug, Clone, Copy)]
enum When {
    /// Before this node was there.
    Before(Clock),
    /// While it was cut off.
    Meanwhile(Clock),
    /// Now.
    Now,
}

/// A moment by Redis's clock, in milliseconds, and by ours.
#[derive(Debug, Clone, Copy)]
struct Clock(u64, SystemTime);

impl Clock {
    /// When something was by our clock that was then by Redis's.
    fn of(self, millis: u64) -> SystemTime {
        let Self(now, here) = self;
        here.checked_sub(Duration::from_millis(now.saturating_sub(millis))).unwrap_or(here)
    }
}

impl Redis {
    /// Reads the stream for as long as the node lives.
    pub(super) async fn read_for_ever(&self, durable: &Durable, node: &NodeInbox) -> Infallible {
        let (mut outage, mut standing) = (Outage::new("events from Redis"), None);
        loop {
            let reason = self.read(durable, node, &mut standing, &mut outage).await;
            self.reads.store(false, Ordering::Relaxed);
            node.behind();
            self.forget_commands().await;
            sleep(outage.go_on(self.topology.name(), &reason)).await;
        }
    }

    /// Reads the stream until that is not possible any more; says why.
    async fn read(
        &self,
        durable: &Durable,
        node: &NodeInbox,
        stood: &mut Option<Standing>,
        outage: &mut Outage,
    ) -> String {
        let link = match self.topology.reader(CHANNEL).await {
            Ok(link) => link,
            Err(error) => return error.to_string(),
        };
        let mut connection = link.connection();
        let read = async {
            let is_same = outage.server() == Some(link.server.as_str());
            let (standing, missed) = begin(&mut connection, durable.window, stood, is_same, node).await?;
            node.loaded().await;
            outage.end(self.topology.name(), &link.server, missed);
            self.reads.store(true, Ordering::Relaxed);
            loop {
                for entry in stream::after(&mut connection, standing, true).await? {
                    post(entry, When::Now, standing, node).await;
                }
            }
        };
        let mut watched = link.clone();
        tokio::select! {
            failed = read => match failed {
                Ok(never) => never,
                Err(error) => RedisError::to_string(&error),
            },
            reason = self.watch(&mut watched) => reason,
        }
    }
}

/// Gives the node what was written before now. Where it stands then, and what it has missed.
async fn begin<'a>(
    connection: &mut MultiplexedConnection,
    window: Duration,
    stood: &'a mut Option<Standing>,
    is_same_server: bool,
    node: &NodeInbox,
) -> Result<(&'a mut Standing, Missed), RedisError> {
    let (now, count) = stream::now(connection).await?;
    let clock = Clock(now, SystemTime::now());
    let (standing, when, missed) = match stood {
        Some(standing) => {
            let missed = go_on(connection, standing, (now, count), is_same_server).await?;
            if missed == Missed::Some {
                node.gap().await;
            }
            (standing, When::Meanwhile(clock), missed)
        }
        None => {
            let oldest = now.saturating_sub(window.as_millis() as u64);
            let first = look_back(connection, oldest, clock, node).await?;
            (stood.insert(first), When::Before(clock), Missed::None)
        }
    };
    loop {
        let entries = stream::after(connection, standing, false).await?;
        if entries.is_empty() {
            return Ok((standing, missed));
        }
        for entry in entries {
            post(entry, when, standing, node).await;
        }
    }
}

/// Where to begin to read for events since a moment; tells the node since when it will know all of them.
async fn look_back(
    connection: &mut MultiplexedConnection,
    oldest: u64,
    clock: Clock,
    node: &NodeInbox,
) -> Result<Standing, RedisError> {
    // Whoever has the entry before the oldest of these sees that none is missing.
    if let Some(before) = stream::last_before(connection, oldest).await? {
        node.begin_from(clock.of(oldest)).await;
        return Ok(before);
    }
    let standing = Standing::before(oldest);
    let entries = stream::after(connection, &standing, false).await?;
    match entries.first() {
        Some(first) => node.begin_from(clock.of(first.at.millis())).await,
        None => node.begin().await,
    }
    Ok(standing)
}

/// Whether what Redis has leads on from where this node stood; if not, it stands elsewhere then.
async fn go_on(
    connection: &mut MultiplexedConnection,
    standing: &mut Standing,
    (now, count): (u64, u64),
    is_same_server: bool,
) -> Result<Missed, RedisError> {
    if standing.number.is_some_and(|number| number > count) {
        warn!(had = standing.number, has = count, "Redis has lost entries of the stream");
        let last = stream::last_before(connection, now).await?;
        *standing = last.unwrap_or_else(|| Standing::before(now));
    } else if is_same_server {
        return Ok(Missed::None);
    } else {
        // A server that took over may not have got what the other one had last.
        standing.number = None;
    }
    Ok(Missed::Some)
}

/// Posts what an entry says.
async fn post(entry: Entry, when: When, standing: &mut Standing, node: &NodeInbox) {
    let doubt = async || match when {
        // There was nobody who could have been told.
        When::Before(clock) => node.begin_from(clock.of(entry.at.millis())).await,
        When::Meanwhile(_) | When::Now => node.gap().await,
    };
    if !standing.is_followed_by(&entry.at) {
        warn!(after = ?standing, before = ?entry.at, "entries of the stream are missing; they are lost");
        doubt().await;
    }
    match &entry.said {
        Said::Message(message) => match envelope::decode(message) {
            Ok(event) => {
                let event = Arc::new(event);
                match when {
                    When::Before(clock) | When::Meanwhile(clock) => {
                        node.past(event, clock.of(entry.at.millis())).await;
                    }
                    When::Now => node.event(event).await,
                }
            }
            Err(error) => {
                skipped(message, &error);
                doubt().await;
            }
        },
        Said::Gap => {
            info!(entry = entry.at.id, "nobody can vouch for what was published on pub/sub before");
            doubt().await;
        }
    }
    *standing = entry.at;
}
