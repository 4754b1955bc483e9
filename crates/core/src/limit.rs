//! How often something may happen: to one connection, or to each of many keys.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// So many at once, and that many again spread evenly over each period. Unlike a fixed window, in which two
/// bursts may touch, no second burst is possible before the first one has been paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many fit into a period. Zero is none, ever.
    pub limit: u32,
    /// How long it takes to earn them all anew.
    pub per: Duration,
}

impl Rate {
    /// Messages of one connection (Appwrite realtime: 32 in 60 s).
    pub const MESSAGES: Self = Self { limit: 32, per: Duration::from_secs(60) };
    /// Connections from one network to one path (Appwrite realtime: 128 in 60 s).
    pub const CONNECTIONS: Self = Self { limit: 128, per: Duration::from_secs(60) };
    /// Failed authentications from one network. Appwrite has no such limit; this one slows guessing down and lets
    /// a household of clients with stale tokens through.
    pub const FAILED_AUTHENTICATIONS: Self = Self { limit: 32, per: Duration::from_secs(60) };
}

/// What one connection or key has left of a [`Rate`]. Starts full.
///
/// Holds nothing but the moment at which it will be full again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket(Option<Instant>);

impl Bucket {
    /// Takes one; whether there was one to take. A refusal costs nothing.
    pub fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.take_many(1, rate, now)
    }

    /// Takes so many, all or none; whether there were as many to take.
    pub fn take_many(&mut self, count: u32, rate: Rate, now: Instant) -> bool {
        match self.full_after(count, rate, now) {
            Some(full) => {
                self.0 = Some(full);
                true
            }
            None => false,
        }
    }

    /// Whether there is one to take.
    pub fn has(self, rate: Rate, now: Instant) -> bool {
        self.full_after(1, rate, now).is_some()
    }

    /// When the bucket will be full again if so many are taken now. `None` if there are not as many to take.
    fn full_after(self, count: u32, rate: Rate, now: Instant) -> Option<Instant> {
        let each = rate.per.checked_div(rate.limit)?;
        let full = self.0.map_or(now, |full| full.max(now)).checked_add(each.checked_mul(count)?)?;
        (full.duration_since(now) <= each.saturating_mul(rate.limit)).then_some(full)
    }
}

/// A [`Bucket`] for each key, for a bounded number of keys.
///
/// Keys live in two generations. A key that is met moves to the young one; when that is half of all, or a period
/// has passed, the old generation is forgotten and the young one grows old. So a key is forgotten only when its bucket
/// is full again, or when so many others came since that memory is worth more.
#[derive(Debug)]
pub struct Keyed<K> {
    rate: Rate,
    max_keys: usize,
    young: BTreeMap<K, Bucket>,
    old: BTreeMap<K, Bucket>,
    aged: Option<Instant>,
}

impl<K: Ord> Keyed<K> {
    /// A limit that remembers at most `max_keys` keys, at least two.
    pub fn new(rate: Rate, max_keys: usize) -> Self {
        Self { rate, max_keys: max_keys.max(2), young: BTreeMap::new(), old: BTreeMap::new(), aged: None }
    }

    /// Takes one for a key; whether there was one to take.
    pub fn take(&mut self, key: K, now: Instant) -> bool {
        self.age(now);
        let mut bucket = self.old.remove(&key).or_else(|| self.young.get(&key).copied()).unwrap_or_default();
        let taken = bucket.take(self.rate, now);
        self.young.insert(key, bucket);
        taken
    }

    /// Whether a key has one to take. Does not remember the key.
    pub fn has(&self, key: &K, now: Instant) -> bool {
        let bucket = self.young.get(key).or_else(|| self.old.get(key)).copied().unwrap_or_default();
        bucket.has(self.rate, now)
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn age(&mut self, now: Instant) {
        let aged = *self.aged.get_or_insert(now);
        let period_over = now.saturating_duration_since(aged) >= self.rate.per;
        if period_over || self.young.len() >= self.max_keys / 2 {
            self.old = std::mem::take(&mut self.young);
            self.aged = Some(now);
        }
    }
}

/// Where a client comes from, for counting: an IPv4 address, or the /64 of an IPv6 address, which is the smallest
/// network that one customer is given (RFC 6177) and any address of which is theirs to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let prefix = address.to_bits() & (u128::MAX << 64);
                Self(IpAddr::V6(Ipv6Addr::from_bits(prefix)))
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

/// A network and the path that it asks for, the key of [`Rate::CONNECTIONS`]. Small however long the path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Visit {
    network: Network,
    /// Two paths with one hash share a bucket, to the detriment of the client that went looking for them.
    path: u64,
}

impl Visit {
    /// A client's visit of a path.
    pub fn new(address: IpAddr, path: &str) -> Self {
        let path = foldhash::quality::FixedState::default().hash_one(path);
        Self { network: address.into(), path }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's clock must begin somewhere")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn taken(bucket: &mut Bucket, rate: Rate, now: Instant, times: u32) -> u32 {
        (0..times).map(|_| u32::from(bucket.take(rate, now))).sum()
    }

    #[test]
    fn thirty_two_messages_pass_at_once_and_the_thirty_third_does_not() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        assert_eq!(taken(&mut bucket, Rate::MESSAGES, now, 32), 32);
        assert!(!bucket.has(Rate::MESSAGES, now));
        assert!(!bucket.take(Rate::MESSAGES, now));
    }

    #[test]
    fn after_a_minute_of_silence_the_whole_allowance_is_back_and_no_more() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        assert_eq!(taken(&mut bucket, Rate::MESSAGES, now, 100), 32);
        assert_eq!(taken(&mut bucket, Rate::MESSAGES, now + 60 * SECOND, 100), 32);
        assert_eq!(taken(&mut bucket, Rate::MESSAGES, now + 6000 * SECOND, 100), 32);
    }

    #[test]
    fn two_bursts_cannot_touch() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        assert_eq!(taken(&mut bucket, Rate::MESSAGES, now + 59 * SECOND, 100), 32);
        assert_eq!(taken(&mut bucket, Rate::MESSAGES, now + 61 * SECOND, 100), 1);
    }

    #[test]
    fn a_refused_message_does_not_put_off_the_next_one() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        let each = Rate::MESSAGES.per / Rate::MESSAGES.limit;
        assert_eq!(taken(&mut bucket, Rate::MESSAGES, now, 1000), 32);
        assert!(!bucket.take(Rate::MESSAGES, now + each - Duration::from_nanos(1)));
        assert!(bucket.take(Rate::MESSAGES, now + each));
    }

    #[test]
    fn many_are_taken_at_once_or_none_of_them() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        assert!(bucket.take_many(30, Rate::MESSAGES, now));
        assert!(!bucket.take_many(3, Rate::MESSAGES, now));
        assert!(bucket.take_many(2, Rate::MESSAGES, now));
        assert!(!Bucket::default().take_many(33, Rate::MESSAGES, now), "never so many at once");
        assert!(!Bucket::default().take_many(u32::MAX, Rate { limit: 1, per: Duration::MAX }, now));
    }

    #[test]
    fn a_limit_that_does_not_divide_its_period_is_exact_all_the_same() {
        for limit in [1, 3, 7, 1000] {
            let rate = Rate { limit, per: 60 * SECOND };
            assert_eq!(taken(&mut Bucket::default(), rate, Instant::now(), 2000), limit);
        }
    }

    #[test]
    fn a_limit_of_zero_refuses_all_and_a_period_of_zero_none() {
        let now = Instant::now();
        assert_eq!(taken(&mut Bucket::default(), Rate { limit: 0, per: SECOND }, now, 10), 0);
        assert_eq!(taken(&mut Bucket::default(), Rate { limit: 1, per: Duration::ZERO }, now, 10), 10);
    }

    #[test]
    fn a_clock_that_steps_back_neither_panics_nor_gives_more() {
        let (mut bucket, now) = (Bucket::default(), Instant::now() + 100 * SECOND);
        assert_eq!(taken(&mut bucket, Rate::MESSAGES, now, 100), 32);
        assert!(!bucket.take(Rate::MESSAGES, now - 10 * SECOND));
    }

    #[test]
    fn a_connections_bucket_takes_sixteen_bytes() {
        assert!(size_of::<Bucket>() <= 16);
    }

    #[test]
    fn each_key_has_its_own_allowance() {
        let now = Instant::now();
        let mut keyed = Keyed::new(Rate { limit: 2, per: SECOND }, 100);
        let taken: Vec<bool> = ["a", "a", "a", "b"].into_iter().map(|key| keyed.take(key, now)).collect();
        assert_eq!(taken, [true, true, false, true]);
        assert!(!keyed.has(&"a", now) && keyed.has(&"b", now) && keyed.has(&"c", now));
        assert!(keyed.take("a", now + SECOND));
    }

    #[test]
    fn memory_is_bounded_and_a_busy_key_is_not_forgotten() {
        let now = Instant::now();
        let mut keyed = Keyed::new(Rate { limit: 1, per: 60 * SECOND }, 100);
        assert!(keyed.take(u32::MAX, now));
        for stranger in 0..10_000 {
            assert!(keyed.take(stranger, now));
            assert!(!keyed.take(u32::MAX, now), "after {stranger} strangers");
            assert!(keyed.len() <= 100);
        }
    }

    #[test]
    fn keys_are_forgotten_once_their_buckets_are_full_again() {
        let now = Instant::now();
        let mut keyed = Keyed::new(Rate::CONNECTIONS, 1000);
        for key in 0..100 {
            keyed.take(key, now);
        }
        keyed.take(0, now + 60 * SECOND);
        keyed.take(0, now + 120 * SECOND);
        assert_eq!(keyed.len(), 1);
        assert!(!keyed.is_empty());
    }

    #[test]
    fn a_key_keeps_its_debt_when_generations_change() {
        let now = Instant::now();
        let mut keyed = Keyed::new(Rate { limit: 60, per: 60 * SECOND }, 1000);
        keyed.take("first", now);
        for _ in 0..60 {
            keyed.take("late", now + 59 * SECOND);
        }
        assert!(keyed.take("late", now + 60 * SECOND));
        assert!(!keyed.take("late", now + 60 * SECOND));
    }

    #[test]
    fn an_ipv6_customer_counts_as_one_network_and_mapped_ipv4_as_ipv4() {
        let network = |address: &str| address.parse::<IpAddr>().ok().map(Network::from);
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:203.0.113.9"), network("203.0.113.9"));
        assert_ne!(network("203.0.113.8"), network("203.0.113.9"));
    }

    #[test]
    fn visits_differ_by_network_and_path() {
        let [here, there] = [IpAddr::from([203, 0, 113, 1]), IpAddr::from([203, 0, 113, 2])];
        assert_eq!(Visit::new(here, "/v1/realtime"), Visit::new(here, "/v1/realtime"));
        assert_ne!(Visit::new(here, "/v1/realtime"), Visit::new(there, "/v1/realtime"));
        assert_ne!(Visit::new(here, "/v1/realtime"), Visit::new(here, "/v1/other"));
    }
}
