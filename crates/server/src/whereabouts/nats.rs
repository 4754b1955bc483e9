//! Where subscriptions stood, in a bucket of the NATS that servers share.

use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::kv::{Operation, Store};
use bytes::Bytes;
use futures_util::future::join_all;
use realtime_core::id::UserId;
use realtime_core::replay::Position;
use realtime_core::whereabouts::Key;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tracing::debug;

use super::redis::{read, written};
use super::{MemoryFuture, Note, SharedMemory};
use crate::bus::nats::{Nats, Places};

/// How long somebody who comes back waits for the answer.
const QUERY_TIMEOUT: Duration = Duration::from_millis(500);
/// How long it may take until notes are kept.
const NOTE_TIMEOUT: Duration = Duration::from_secs(5);
/// The header and its value by which NATS deletes a key (its ADR-8).
const DELETE: (&str, &str) = ("KV-Operation", "DEL");

/// NATS takes few characters in keys, and clients choose the names of subscriptions.
fn key_of((owner, subscription): &Key) -> String {
    let user = owner.user.as_ref().map(UserId::as_str);
    let whose = json!([owner.project.as_str(), user, subscription.as_str()]).to_string();
    Sha256::digest(whose).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl SharedMemory for Nats {
    fn remember<'a>(&'a self, notes: &'a [Note], _keeps: Duration) -> MemoryFuture<'a, ()> {
        Box::pin(async move {
            match self.places() {
                // What follows was said when it was found out.
                Places::None => Some(()),
                Places::Unreachable => None,
                Places::At(jetstream, store) => {
                    match timeout(NOTE_TIMEOUT, note_down(&jetstream, &store, notes)).await {
                        Ok(Ok(())) => Some(()),
                        Ok(Err(error)) => {
                            debug!(%error, "NATS does not keep places");
                            None
                        }
                        Err(_) => None,
                    }
                }
            }
        })
    }

    fn recall<'a>(&'a self, keys: &'a [Key]) -> MemoryFuture<'a, Vec<Option<(Position, SystemTime)>>> {
        Box::pin(async move {
            let Places::At(_, store) = self.places() else { return None };
            let entries = join_all(keys.iter().map(|key| store.entry(key_of(key))));
            let entries = timeout(QUERY_TIMEOUT, entries).await.ok()?;
            let place = |entry: Result<_, _>| {
                let entry: Option<async_nats::jetstream::kv::Entry> = entry.ok()?;
                Some(
                    entry
                        .filter(|entry| entry.operation == Operation::Put)
                        .and_then(|entry| read(std::str::from_utf8(&entry.value).ok()?)),
                )
            };
            entries.into_iter().map(place).collect()
        })
    }
}

/// Sends all of them, and then waits until all are kept: one round trip, not one for each.
async fn note_down(jetstream: &Context, store: &Store, notes: &[Note]) -> Result<(), async_nats::Error> {
    let mut sent: Vec<PublishAckFuture> = Vec::with_capacity(notes.len());
    for (key, place) in notes {
        let subject = format!("$KV.{}.{}", store.name, key_of(key));
        sent.push(match place {
            Some((position, at)) => jetstream.publish(subject, Bytes::from(written(position, *at))).await?,
            None => {
                let mut headers = HeaderMap::new();
                headers.insert(DELETE.0, DELETE.1);
                jetstream.publish_with_headers(subject, headers, Bytes::new()).await?
            }
        });
    }
    for kept in sent {
        kept.await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use realtime_core::effect::Owner;

    use super::*;

    #[test]
    fn keys_are_of_one_subscription_and_nothing_that_a_client_chose_stands_in_them() {
        let key = |project: &str, user: Option<&str>, subscription: &str| {
            let owner = Owner { project: project.into(), user: user.map(UserId::new) };
            key_of(&(owner, subscription.into()))
        };
        let one = key("p", Some("u"), "a.b*> c");
        assert!(one.len() == 64 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
        for other in [key("p", None, "a.b*> c"), key("p", Some("u"), "a"), key("q", Some("u"), "a.b*> c")] {
            assert_ne!(one, other);
        }
    }
}
