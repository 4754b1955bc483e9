//! Where subscriptions stood, in the Redis that the servers of an installation share.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use realtime_core::id::{EventId, UserId};
use realtime_core::replay::Position;
use realtime_core::whereabouts::Key;
use serde_json::{Value, json};

use super::{MemoryFuture, Note, SharedMemory};
use crate::bus::redis::Redis;

/// What the keys begin with; project, user and subscription follow as a JSON array.
const PREFIX: &str = "realtime:resume:";

fn key_of((owner, subscription): &Key) -> String {
    let user = owner.user.as_ref().map(UserId::as_str);
    format!("{PREFIX}{}", json!([owner.project.as_str(), user, subscription.as_str()]))
}

pub(super) fn written(position: &Position, at: SystemTime) -> String {
    let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    match position {
        Position::After(event) => json!({ "after": event.as_str(), "at": at }),
        Position::Beginning => json!({ "beginning": true, "at": at }),
        Position::Lost => json!({ "lost": true, "at": at }),
    }
    .to_string()
}

pub(super) fn read(text: &str) -> Option<(Position, SystemTime)> {
    let value: Value = serde_json::from_str(text).ok()?;
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(value.get("at")?.as_u64()?))?;
    let position = match value.get("after").and_then(Value::as_str) {
        Some(event) => Position::After(EventId::new(event)),
        None if value.get("beginning").is_some() => Position::Beginning,
        None => Position::Lost,
    };
    Some((position, at))
}

impl SharedMemory for Redis {
    fn remember<'a>(&'a self, notes: &'a [Note], keeps: Duration) -> MemoryFuture<'a, ()> {
        Box::pin(async move {
            let command = |(key, place): &Note| match place {
                Some((position, at)) => {
                    let mut set = redis::cmd("SET");
                    set.arg(key_of(key)).arg(written(position, *at));
                    set.arg("PX").arg(keeps.as_millis() as u64).take()
                }
                None => redis::cmd("DEL").arg(key_of(key)).take(),
            };
            let commands: Vec<redis::Cmd> = notes.iter().map(command).collect();
            self.each::<redis::Value>(&commands).await.map(drop)
        })
    }

    fn recall<'a>(&'a self, keys: &'a [Key]) -> MemoryFuture<'a, Vec<Option<(Position, SystemTime)>>> {
        Box::pin(async move {
            let command = |key| redis::cmd("GET").arg(key_of(key)).take();
            let commands: Vec<redis::Cmd> = keys.iter().map(command).collect();
            let found: Vec<Option<String>> = self.each(&commands).await?;
            Some(found.iter().map(|text| read(text.as_deref()?)).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let at = UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
        for position in [Position::After("e\"1".into()), Position::Beginning, Position::Lost] {
            assert_eq!(read(&written(&position, at)), Some((position, at)));
        }
        for text in ["", "{}", r#"{"after":"e"}"#, r#"{"at":"1"}"#] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
