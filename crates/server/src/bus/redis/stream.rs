//! The durable bus: a Redis stream, which every node reads from where it stood.
//!
//! Each entry has a number, one more than the entry before, so that a reader sees by itself whether something is missing.
//! All keys share the hash tag `{realtime}`, whose slot is that of the channel `realtime`.

use std::time::Duration;

use bytes::Bytes;
use redis::streams::{StreamId, StreamReadReply};
use redis::{Cmd, FromRedisValue, RedisError, Value};
use sha2::{Digest, Sha256};

use super::settings::Durable;

/// The entries.
pub(super) const STREAM: &str = "{realtime}:events";
/// The number of the last entry.
const COUNT: &str = "{realtime}:events:count";
/// How often somebody said that it hears pub/sub.
pub(super) const HEARD: &str = "{realtime}:events:heard";
/// What the keys begin with that say which messages are in the stream already.
const KNOWN: &str = "{realtime}:events:known:";
/// For how long they say so: longer than a node takes to put in what the others have put in already.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// How much longer entries are kept than somebody may come back for them.
const LONGER: Duration = Duration::from_secs(60);
/// Entries taken at once.
const AT_ONCE: usize = 200;
/// How long Redis waits for an entry before it answers that there is none.
const WAIT: Duration = Duration::from_secs(2);

/// Adds an entry, unless it is known; drops those that are too old or too many. KEYS: entries, count, known. ARGV: field,
/// value, how long entries are kept (ms), how many, how long it is known (ms), and what publishes it and where, if it is
/// to be.
const ADD: &str = r"
if not redis.call('SET', KEYS[3], 1, 'NX', 'PX', ARGV[5]) then return 0 end
local now = redis.call('TIME')
local oldest = string.format('%.0f', now[1] * 1000 - ARGV[3])
local number = redis.call('INCR', KEYS[2])
redis.call('XADD', KEYS[1], 'MINID', '~', oldest, '*', 'number', number, ARGV[1], ARGV[2])
redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[4])
if ARGV[6] ~= '' then redis.call(ARGV[6], ARGV[7], ARGV[2]) end
return 1";

/// What stands in an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// An envelope, or what came as one.
    Message(Bytes),
    /// Messages may have been missed until then.
    Gap,
}

/// An entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: Standing,
    pub(super) said: Said,
}

/// Where a reader stands: at the last entry that it has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// The entry's id in the stream.
    pub(super) id: String,
    /// Its number; `None` is not known, so that any may follow.
    pub(super) number: Option<u64>,
}

impl Standing {
    /// Before the first entry after a time by Redis's clock, in milliseconds.
    pub(super) fn before(millis: u64) -> Self {
        Self { id: format!("{millis}-0"), number: None }
    }

    /// Whether nothing is missing between this entry and that one.
    pub(super) fn is_followed_by(&self, next: &Self) -> bool {
        match (self.number, next.number) {
            (Some(number), Some(next)) => next == number + 1,
            (None, _) => true,
            (Some(_), None) => false,
        }
    }

    /// When it was written by Redis's clock, in milliseconds.
    pub(super) fn millis(&self) -> u64 {
        self.id.split('-').next().and_then(|millis| millis.parse().ok()).unwrap_or_default()
    }
}

/// The command that puts in a message. A message that is in the stream already is left alone, so that it may be said
/// again, and by every node that heard it.
pub(super) fn add(message: &[u8], durable: &Durable, publish: Option<(&str, &str)>) -> Cmd {
    let hash = Sha256::digest(message);
    let name: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    entry("message", message, &name, durable, publish)
}

/// The command that says that messages may have been missed until now.
pub(super) fn add_gap(durable: &Durable) -> Cmd {
    entry("gap", b"", &format!("gap:{:016x}", rand::random::<u64>()), durable, None)
}

fn entry(field: &str, value: &[u8], name: &str, durable: &Durable, publish: Option<(&str, &str)>) -> Cmd {
    let (verb, channel) = publish.unwrap_or_default();
    let mut add = redis::cmd("EVAL");
    add.arg(ADD).arg(3).arg(STREAM).arg(COUNT).arg(format!("{KNOWN}{name}"));
    add.arg(field).arg(value).arg((durable.window + LONGER).as_millis() as u64).arg(durable.entries);
    add.arg(KNOWN_FOR.as_millis() as u64).arg(verb).arg(channel);
    add
}

/// Asks for Redis's clock in milliseconds and the number of the last entry.
pub(super) async fn now(connection: &mut impl redis::aio::ConnectionLike) -> Result<(u64, u64), RedisError> {
    let mut ask = redis::pipe();
    ask.cmd("TIME").cmd("GET").arg(COUNT);
    let ((seconds, micros), count): ((u64, u64), Option<u64>) = ask.query_async(connection).await?;
    Ok((seconds * 1_000 + micros / 1_000, count.unwrap_or_default()))
}

/// The last entry up to a time by Redis's clock, in milliseconds.
pub(super) async fn last_before(
    connection: &mut impl redis::aio::ConnectionLike,
    millis: u64,
) -> Result<Option<Standing>, RedisError> {
    let mut ask = redis::cmd("XREVRANGE");
    ask.arg(STREAM).arg(millis).arg("-").arg("COUNT").arg(1);
    let found: redis::streams::StreamRangeReply = ask.query_async(connection).await?;
    Ok(found.ids.first().and_then(read).map(|entry| entry.at))
}

/// The entries after a place, in order; waits for them if told to.
pub(super) async fn after(
    connection: &mut impl redis::aio::ConnectionLike,
    standing: &Standing,
    waits: bool,
) -> Result<Vec<Entry>, RedisError> {
    let mut ask = redis::cmd("XREAD");
    ask.arg("COUNT").arg(AT_ONCE);
    if waits {
        ask.arg("BLOCK").arg(WAIT.as_millis() as u64);
    }
    ask.arg("STREAMS").arg(STREAM).arg(&standing.id);
    let found: Option<StreamReadReply> = ask.query_async(connection).await?;
    let ids = found.into_iter().flat_map(|found| found.keys).flat_map(|key| key.ids);
    // What is none of ours leaves a hole in the numbers, which is seen.
    Ok(ids.filter_map(|id| read(&id)).collect())
}

fn read(entry: &StreamId) -> Option<Entry> {
    let number = u64::from_redis_value(entry.map.get("number")?.clone()).ok();
    let said = match entry.map.get("message") {
        Some(Value::BulkString(message)) => Said::Message(Bytes::copy_from_slice(message)),
        Some(_) | None if entry.map.contains_key("gap") => Said::Gap,
        Some(_) | None => return None,
    };
    Some(Entry { at: Standing { id: entry.id.clone(), number }, said })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(number: Option<u64>) -> Standing {
        Standing { id: "1790000000123-0".to_owned(), number }
    }

    #[test]
    fn a_hole_in_the_numbers_is_seen() {
        assert!(standing(Some(7)).is_followed_by(&standing(Some(8))));
        assert!(standing(None).is_followed_by(&standing(Some(8))), "whoever has read nothing misses nothing");
        for next in [Some(9), Some(7), Some(1), None] {
            assert!(!standing(Some(7)).is_followed_by(&standing(next)), "{next:?}");
        }
    }

    #[test]
    fn an_entry_says_when_it_was_written() {
        assert_eq!(standing(None).millis(), 1_790_000_000_123);
        assert_eq!(Standing::before(5).millis(), 5);
    }

    #[test]
    fn what_is_none_of_ours_is_no_entry() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let with = |fields: &[(&str, &str)]| StreamId {
            id: "5-1".to_owned(),
            map: fields.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect(),
            ..StreamId::default()
        };
        let said = |fields: &[(&str, &str)]| read(&with(fields)).map(|entry| entry.said);
        assert_eq!(said(&[("number", "3"), ("message", "m")]), Some(Said::Message("m".into())));
        assert_eq!(said(&[("number", "3"), ("gap", "")]), Some(Said::Gap));
        assert_eq!(said(&[("number", "3")]), None);
        assert_eq!(said(&[("message", "m")]), None);
    }
}
