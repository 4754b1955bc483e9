//! Latencies by their size, filled by many threads: a bucket for each sixteenth of a power of two.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Buckets of each power of two, as a power of two: what is read is at most 6 % too large.
const FINE: u32 = 4;
const BUCKETS: usize = 64 << FINE;

/// Counts of nanoseconds.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: Vec<AtomicU64>,
}

/// What a histogram held: how many by bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts(BTreeMap<usize, u64>);

/// What came out of it, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Quantiles {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) most: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Histogram {
    pub(crate) fn record(&self, nanoseconds: u64) {
        if let Some(count) = self.counts.get(bucket(nanoseconds)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads it and begins anew.
    pub(crate) fn take(&self) -> Counts {
        let counts = self.counts.iter().map(|count| count.swap(0, Ordering::Relaxed)).enumerate();
        Counts(counts.filter(|(_, count)| *count > 0).collect())
    }
}

impl Counts {
    /// Adds what another process counted.
    pub(crate) fn add(&mut self, other: Self) {
        for (bucket, count) in other.0 {
            *self.0.entry(bucket).or_default() += count;
        }
    }

    pub(crate) fn quantiles(&self) -> Quantiles {
        let total: u64 = self.0.values().sum();
        let at = |thousandths: u64| {
            let wanted = (total * thousandths).div_ceil(1_000).max(1);
            let mut seen = 0;
            let place = self.0.iter().find(|(_, count)| {
                seen += **count;
                seen >= wanted
            });
            place.map_or(0, |(bucket, _)| end(*bucket))
        };
        Quantiles { p50: at(500), p90: at(900), p99: at(990), p999: at(999), most: at(1_000) }
    }
}

impl Quantiles {
    pub(crate) fn to_json(self) -> Value {
        let ms = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        json!({
            "p50_ms": ms(self.p50),
            "p90_ms": ms(self.p90),
            "p99_ms": ms(self.p99),
            "p99_9_ms": ms(self.p999),
            "max_ms": ms(self.most),
        })
    }
}

fn bucket(value: u64) -> usize {
    let value = value.max(1 << FINE);
    let power = value.ilog2();
    let fine = (value >> (power - FINE)) & ((1 << FINE) - 1);
    ((power as usize) << FINE) + fine as usize
}

/// The largest value of a bucket.
fn end(bucket: usize) -> u64 {
    let (power, fine) = (bucket >> FINE, (bucket & ((1 << FINE) - 1)) as u64);
    let step = 1u64.checked_shl((power as u32).saturating_sub(FINE)).unwrap_or(u64::MAX);
    ((1u64 << FINE) + fine + 1).saturating_mul(step) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_the_bucket_that_ends_little_above_it() {
        for value in [16, 17, 31, 32, 1_000, 1_000_000, 123_456_789, u64::from(u32::MAX)] {
            let end = end(bucket(value));
            assert!(end >= value && end as f64 <= value as f64 * 1.07, "{value} is told as {end}");
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded_and_reading_empties_it() {
        let histogram = Histogram::default();
        (1..=1_000u64).for_each(|number| histogram.record(number * 1_000));
        let mut counts = histogram.take();
        assert_eq!(histogram.take(), Counts::default());
        counts.add(counts.clone());
        let told = counts.quantiles();
        for (told, exact) in [(told.p50, 500_000), (told.p99, 990_000), (told.most, 1_000_000)] {
            assert!(told >= exact && told as f64 <= exact as f64 * 1.07, "{told} for {exact}");
        }
    }
}
