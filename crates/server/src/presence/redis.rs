//! Who keeps which presences, in the Redis that the servers of an installation share.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use realtime_core::id::{ProjectId, UserId};
use realtime_core::project::Project;
use serde_json::json;
use tracing::debug;

use super::{HoldFuture, Place, SharedHolds};
use crate::bus::redis::Redis;

/// Every presence that somebody keeps, by the time at which the last word of it lapses. Keys share a hash tag, so that a
/// cluster keeps them together.
const ALL: &str = "{realtime:presence}:held";
/// What the key begins with that has the servers that keep a presence.
const ONE: &str = "{realtime:presence}:held:";
/// How many that have lapsed are taken at once.
const AT_ONCE: usize = 100;
/// Where Appwrite's worker of usage statistics takes its messages (`utopia-queue`, Appwrite's default name).
const USAGE_QUEUE: &str = "v1-stats-usage";

/// Says that a server keeps a presence. KEYS: all, one. ARGV: server, place, lasts (ms).
const HOLD: &str = r"
local t = redis.call('TIME')
local until_ms = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[3]
redis.call('ZADD', KEYS[2], until_ms, ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3] * 2)
local known = redis.call('ZSCORE', KEYS[1], ARGV[2])
if not known or tonumber(known) < until_ms then redis.call('ZADD', KEYS[1], until_ms, ARGV[2]) end
return 1";
/// Takes that back; 1 if nobody keeps it any more. KEYS: all, one. ARGV: server, place.
const LET_GO: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if redis.call('ZCARD', KEYS[2]) > 0 then return 0 end
redis.call('ZREM', KEYS[1], ARGV[2])
return 1";
/// Takes those that lapsed. KEYS: all. ARGV: how many.
const LAPSED: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lapsed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, place in ipairs(lapsed) do redis.call('ZREM', KEYS[1], place) end
return lapsed";

fn written(place: &Place) -> String {
    json!([place.project.as_str(), place.user.as_str(), place.sequence]).to_string()
}

fn read(text: &str) -> Option<Place> {
    let [project, user, sequence]: [String; 3] = serde_json::from_str(text).ok()?;
    Some(Place { project: ProjectId::new(project), user: UserId::new(user), sequence })
}

impl SharedHolds for Redis {
    fn hold<'a>(&'a self, server: &'a str, places: &'a [Place], lasts: Duration) -> HoldFuture<'a, ()> {
        Box::pin(async move {
            let mut commands = redis::pipe();
            for place in places {
                let place = written(place);
                commands.cmd("EVAL").arg(HOLD).arg(2).arg(ALL).arg(format!("{ONE}{place}"));
                commands.arg(server).arg(place).arg(lasts.as_millis() as u64).ignore();
            }
            self.query(&commands).await
        })
    }

    fn let_go<'a>(&'a self, server: &'a str, place: &'a Place) -> HoldFuture<'a, bool> {
        Box::pin(async move {
            let place = written(place);
            let mut commands = redis::pipe();
            commands.cmd("EVAL").arg(LET_GO).arg(2).arg(ALL).arg(format!("{ONE}{place}"));
            commands.arg(server).arg(place);
            self.query(&commands).await.map(|(is_last,): (bool,)| is_last)
        })
    }

    fn lapsed(&self) -> HoldFuture<'_, Vec<Place>> {
        Box::pin(async move {
            let mut commands = redis::pipe();
            commands.cmd("EVAL").arg(LAPSED).arg(1).arg(ALL).arg(AT_ONCE);
            let (lapsed,): (Vec<String>,) = self.query(&commands).await?;
            Some(lapsed.iter().filter_map(|place| read(place)).collect())
        })
    }

    fn count<'a>(&'a self, project: &'a Project, made: i64) -> HoldFuture<'a, ()> {
        Box::pin(async move {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let message = json!({
                "pid": format!("{:013x}", now.as_micros()),
                "queue": USAGE_QUEUE,
                "timestamp": now.as_secs(),
                "payload": {
                    "project": {
                        "$id": project.id.as_str(),
                        "$sequence": project.sequence,
                        "database": project.database,
                    },
                    "metrics": [{ "key": "users.presence", "value": made }],
                    "reduce": [],
                },
            });
            let mut commands = redis::pipe();
            let queue = format!("utopia-queue.queue.{USAGE_QUEUE}");
            commands.cmd("LPUSH").arg(queue).arg(message.to_string()).ignore();
            let counted = self.query(&commands).await;
            if counted.is_none() {
                debug!(project = %project.id, made, "usage statistics miss a presence");
            }
            counted
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place = Place { project: "p\"1".into(), user: "a,b".into(), sequence: "7".to_owned() };
        assert_eq!(read(&written(&place)), Some(place));
        for text in ["", "[]", r#"["p","u"]"#, r#"["p","u",7]"#] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
