//! Counts in the Redis of an Appwrite installation, where Appwrite's own servers count too.

use std::pin::Pin;
use std::time::Duration;

use super::SharedCounter;
use crate::bus::redis::Redis;

/// How long a count is kept: its minute.
const KEEPS: Duration = Duration::from_secs(60);

impl SharedCounter for Redis {
    fn add<'a>(&'a self, key: &'a str) -> Pin<Box<dyn Future<Output = Option<u64>> + Send + 'a>> {
        Box::pin(self.count(key, KEEPS))
    }
}
