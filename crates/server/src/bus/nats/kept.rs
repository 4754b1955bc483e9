//! Durable mode: a JetStream stream keeps what happened, also while every node is away, and a node that starts or comes
//! back reads what it has missed.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, StorageType};
use async_nats::jetstream::{self, ErrorCode};
use futures_util::StreamExt;
use realtime_protocol::appwrite::envelope;
use tracing::{info, warn};

use super::link::{Doorbell, Link};
use super::{CLOSED, Durable, Nats, Outage, heed, skip, take};
use crate::bus::{NodeInbox, SKEW};

/// Messages that are asked for at a time.
const AT_ONCE: usize = 500;
/// How often NATS says that there is nothing; twice as long without a word is the end of the connection.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// How long NATS keeps what it knows of a reader that has gone.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// How much longer than clients may be away events are read back: so much older than it looks may be where one stood.
const LONGER: Duration = Duration::from_secs(30);
/// How much longer than clients may be away places are kept.
const PLACES_KEPT_LONGER: Duration = Duration::from_secs(120);

/// How long NATS looks out for the same message twice unless told otherwise; no longer than messages are kept.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// How far a node has got in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reached {
    /// When the stream was made: another one counts anew.
    created: SystemTime,
    sequence: u64,
}

/// Where to begin to read, and what has to be said before.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// For the first time: everything since then is there.
    First(SystemTime),
    /// After what was read already.
    Next(u64),
    /// Something in between is not there any more.
    Gap(u64),
}

/// What a stream says of itself.
#[derive(Debug, Clone)]
struct Kept {
    created: SystemTime,
    first: u64,
    first_at: SystemTime,
    last: u64,
    last_at: SystemTime,
    messages: u64,
}

impl Kept {
    fn of(info: &Info) -> Self {
        let state = &info.state;
        Self {
            created: info.created.into(),
            first: state.first_sequence,
            first_at: state.first_timestamp.into(),
            last: state.last_sequence,
            last_at: state.last_timestamp.into(),
            messages: state.messages,
        }
    }

    fn start(&self, reached: Option<&Reached>, wanted: SystemTime) -> Start {
        match reached {
            Some(reached) if reached.created == self.created && reached.sequence <= self.last => {
                let next = reached.sequence + 1;
                if self.first > next { Start::Gap(self.first) } else { Start::Next(next) }
            }
            Some(_) => Start::Gap(self.first.max(1)),
            None if self.messages == 0 && self.last > 0 => {
                // Nothing has come since the last one, which is not there any more.
                Start::First(wanted.max(self.last_at))
            }
            // More may be dropped while it is read.
            None if self.first > 1 && self.first_at > wanted => Start::First(self.first_at + SKEW),
            None => Start::First(wanted.max(self.created)),
        }
    }
}

impl Nats {
    /// Posts what the stream has kept, and then what happens.
    pub(super) async fn follow(
        &self,
        link: &Link,
        doorbell: &mut Doorbell,
        durable: &Durable,
        node: &NodeInbox,
        outage: &mut Outage,
        reached: &mut Option<Reached>,
    ) -> Result<Infallible, String> {
        let stream = self.stream(&link.jetstream, durable).await?;
        let kept = Kept::of(stream.cached_info());
        let now = SystemTime::now();
        let wanted = now.checked_sub(self.settings.window + LONGER).unwrap_or(now);
        let start = kept.start(reached.as_ref(), wanted);
        let (deliver_policy, mut next) = match &start {
            Start::First(since) if kept.messages > 0 => {
                (DeliverPolicy::ByStartTime { start_time: (*since).into() }, None)
            }
            Start::First(_) => {
                let next = kept.last + 1;
                (DeliverPolicy::ByStartSequence { start_sequence: next }, Some(next))
            }
            Start::Next(next) | Start::Gap(next) => {
                (DeliverPolicy::ByStartSequence { start_sequence: *next }, Some(*next))
            }
        };
        let consumer = pull::Config {
            deliver_policy,
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGET_AFTER,
            memory_storage: true,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(consumer).await.map_err(|error| error.to_string())?;
        let mut is_past = consumer.cached_info().num_pending > 0;
        let messages = consumer.stream().max_messages_per_batch(AT_ONCE).heartbeat(HEARTBEAT).messages();
        let mut messages = messages.await.map_err(|error| error.to_string())?;
        match start {
            Start::First(since) => node.begin_from(since).await,
            Start::Gap(_) => {
                warn!(
                    stream = durable.stream,
                    "the stream does not hold all that was missed; those events are lost"
                );
                node.gap().await;
            }
            Start::Next(_) => {}
        }
        if !is_past {
            // Nothing was there to be read, so that whatever comes is the next.
            next.get_or_insert(kept.last + 1);
        }
        if let Some(next) = next {
            *reached = Some(Reached { created: kept.created, sequence: next.saturating_sub(1) });
        }
        let mut behind = 0_u64;
        loop {
            if !is_past && !self.connected.load(Ordering::Relaxed) {
                node.loaded().await;
                self.connected.store(true, Ordering::Relaxed);
                info!(stream = durable.stream, events = behind, "read what the stream had kept");
                outage.end(&durable.stream, "what was published meanwhile has been read");
            }
            let message = tokio::select! {
                biased;
                event = doorbell.next() => {
                    heed(&event)?;
                    continue;
                }
                message = messages.next() => message.ok_or(CLOSED)?.map_err(|error| error.to_string())?,
            };
            let info = message.info().map_err(|error| error.to_string())?;
            if next.is_some_and(|next| info.stream_sequence != next) {
                warn!(stream = durable.stream, "events are missing in the stream");
                node.gap().await;
            }
            if is_past {
                behind += 1;
                match envelope::decode(&message.payload) {
                    Ok(event) => node.past(Arc::new(event), info.published.into()).await,
                    Err(error) => skip(&error, &message.payload, node).await,
                }
                is_past = info.pending > 0;
            } else {
                take(&message.payload, node).await;
            }
            *reached = Some(Reached { created: kept.created, sequence: info.stream_sequence });
            next = Some(info.stream_sequence + 1);
        }
    }

    /// The stream, which is made if there is none.
    async fn stream(
        &self,
        jetstream: &jetstream::Context,
        durable: &Durable,
    ) -> Result<jetstream::stream::Stream, String> {
        let found = match jetstream.get_stream(&durable.stream).await {
            Ok(stream) => stream,
            Err(error) if is_missing(&error.kind()) => {
                info!(stream = durable.stream, subject = self.settings.subject, "making the stream");
                let config = Config {
                    name: durable.stream.clone(),
                    description: Some("Events of Realtime".to_owned()),
                    subjects: vec![self.settings.subject.clone()],
                    max_age: durable.max_age,
                    max_bytes: durable.max_bytes,
                    storage: StorageType::File,
                    discard: DiscardPolicy::Old,
                    num_replicas: self.settings.replicas,
                    ..Config::default()
                };
                let made = jetstream.create_stream(config).await;
                made.map_err(|error| format!("the stream {} cannot be made: {error}", durable.stream))?
            }
            Err(error) => return Err(format!("JetStream cannot be used: {error}")),
        };
        let config = &found.cached_info().config;
        if config.subjects != [self.settings.subject.clone()] {
            return Err(format!(
                "the stream {} is for {:?} and not for {} alone",
                durable.stream, config.subjects, self.settings.subject
            ));
        }
        if !config.max_age.is_zero() && config.max_age < self.settings.window {
            warn!(
                stream = durable.stream,
                max_age = ?config.max_age,
                "the stream keeps events for less than resume.window; after a restart clients that were away for longer \
                 are not vouched for"
            );
        }
        Ok(found)
    }

    /// Finds or makes the bucket of places; says once what follows if there can be none.
    pub(super) async fn open_places(&self, link: &Link) {
        if self.settings.window.is_zero() || link.places.get().is_some() {
            return;
        }
        let bucket =
            format!("{}_places", self.settings.subject.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        let max_age = self.settings.window + PLACES_KEPT_LONGER;
        // As NATS's ADR-8 has buckets. The library's own way of making one fails with nats-server 2.9.
        let config = Config {
            name: format!("KV_{bucket}"),
            description: Some("Where subscriptions of Realtime stood".to_owned()),
            subjects: vec![format!("$KV.{bucket}.>")],
            max_messages_per_subject: 1,
            max_age,
            duplicate_window: max_age.min(DUPLICATE_WINDOW),
            // Without a stream a restart of NATS is a gap across which no place is good for anything.
            storage: if self.settings.durable.is_some() { StorageType::File } else { StorageType::Memory },
            discard: DiscardPolicy::New,
            num_replicas: self.settings.replicas,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            ..Config::default()
        };
        let opened = match link.jetstream.get_key_value(&bucket).await {
            Ok(store) => Ok(store),
            Err(_) => match link.jetstream.create_stream(config).await {
                Ok(_) => link.jetstream.get_key_value(&bucket).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            },
        };
        match opened {
            Ok(store) => drop(link.places.set(store)),
            Err(reason) => self.tell_of_places(&reason),
        }
    }
}

/// Whether there is JetStream, but no such stream.
fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A stream that was made at 100.
    fn kept(first: u64, first_at: u64, last: u64, last_at: u64) -> Kept {
        let messages = (last + 1).saturating_sub(first);
        Kept { created: at(100), first, first_at: at(first_at), last, last_at: at(last_at), messages }
    }

    #[test]
    fn what_a_new_node_knows_begins_where_the_stream_holds_everything() {
        let wanted = at(500);
        let start = |kept: Kept| kept.start(None, wanted);
        assert_eq!(start(kept(1, 110, 9, 600)), Start::First(wanted), "it reaches back further");
        assert_eq!(start(kept(1, 505, 9, 600)), Start::First(wanted), "nothing came before the first");
        assert_eq!(start(kept(5, 510, 9, 600)), Start::First(at(510) + SKEW), "what came before was dropped");
        assert_eq!(start(kept(5, 400, 9, 600)), Start::First(wanted), "it was dropped long ago");
        assert_eq!(start(kept(10, 0, 9, 450)), Start::First(wanted), "all of it is too old");
        assert_eq!(start(kept(10, 0, 9, 600)), Start::First(at(600)), "somebody emptied it");
        let made_now = Kept { created: at(550), ..kept(1, 0, 0, 0) };
        assert_eq!(start(made_now), Start::First(at(550)), "of before nobody knows");
    }

    #[test]
    fn a_node_that_comes_back_goes_on_unless_something_is_not_there_any_more() {
        let reached = Reached { created: at(100), sequence: 7 };
        let start = |kept: Kept| kept.start(Some(&reached), at(500));
        assert_eq!(start(kept(1, 110, 9, 600)), Start::Next(8));
        assert_eq!(start(kept(8, 110, 9, 600)), Start::Next(8));
        assert_eq!(start(kept(8, 0, 7, 600)), Start::Next(8), "all was dropped, and nothing came");
        assert_eq!(start(kept(9, 110, 9, 600)), Start::Gap(9));
        assert_eq!(start(kept(1, 110, 6, 600)), Start::Gap(1), "it was put back from a copy");
        let another = Kept { created: at(300), ..kept(1, 310, 9, 600) };
        assert_eq!(start(another), Start::Gap(1));
    }
}
