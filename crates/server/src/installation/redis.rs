//! The copies of documents that Appwrite's API servers keep in the Redis of an installation.

use std::future::Future;
use std::pin::Pin;

use tracing::warn;

use crate::bus::redis::Redis;
use crate::directory::appwrite::copies::{Copies, CopyKey};

/// Takes a copy out of the list of copies. KEYS: the list. ARGV: the document's key.
///
/// A server that reads the document at this moment would put back what it read before; newer ones (Appwrite 1.9) look at
/// a count of generations first, which therefore goes up. Older ones do not mind it.
const STRIKE: &str = r"
local generation = tonumber(redis.call('HGET', KEYS[1], '__utopia_gen__') or 0)
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], '__utopia_gen__', generation + 1)
return 1";
/// Removes a copy, the count of its generations apart. KEYS: the copy.
const REMOVE: &str = r"
local generation = tonumber(redis.call('HGET', KEYS[1], '__utopia_gen__') or 0)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], '__utopia_gen__', generation + 1)
return 1";

impl Copies for Redis {
    fn forget<'a>(&'a self, key: &'a CopyKey) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let strike = redis::cmd("EVAL").arg(STRIKE).arg(1).arg(&key.collection).arg(&key.document).take();
            let remove = redis::cmd("EVAL").arg(REMOVE).arg(1).arg(&key.document).take();
            if self.each::<redis::Value>(&[strike, remove]).await.is_none() {
                warn!(
                    key = key.document,
                    "Appwrite's API may show an old presence for a while: its copy in Redis could not be removed"
                );
            }
        })
    }
}
