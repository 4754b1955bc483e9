//! Ids and spreads from a seed, so that the same run comes out of the same inputs.

use std::time::Duration;

use crate::id::SubscriptionId;

/// Numbers from a seed (SplitMix64, Steele et al. 2014): enough to tell ids apart and to spread moments.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between nothing and the whole of it.
    pub(crate) fn part_of(&mut self, whole: Duration) -> Duration {
        whole.mul_f64((self.next() >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// Twenty hexadecimal digits, the shape of Appwrite's own ids.
    pub(crate) fn subscription_id(&mut self) -> SubscriptionId {
        SubscriptionId::new(format!("{:016x}{:04x}", self.next(), self.next() as u16))
    }
}
