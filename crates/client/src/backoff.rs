//! How long to wait before connecting again.

use std::time::Duration;

use crate::random::Random;

/// Pauses whose upper bound doubles each time, drawn evenly from zero up to it ("full jitter"): clients that lost the
/// same server come back spread out.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    random: Random,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration, random: Random) -> Self {
        Self { first, longest, failures: 0, random }
    }

    /// The next pause, drawn from a window no shorter than `at_least`.
    pub(crate) fn next(&mut self, at_least: Duration) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let window = self.first.saturating_mul(factor).max(at_least).min(self.longest.max(at_least));
        self.failures = self.failures.saturating_add(1);
        self.random.up_to(window)
    }

    /// Connecting has succeeded for a while.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How often it has failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(seed: u64, count: usize) -> Vec<Duration> {
        let mut backoff =
            Backoff::new(Duration::from_millis(500), Duration::from_secs(30), Random::new(seed));
        (0..count).map(|_| backoff.next(Duration::ZERO)).collect()
    }

    #[test]
    fn a_pause_is_within_a_window_that_doubles_up_to_the_longest() {
        for seed in 0..200 {
            for (failures, pause) in pauses(seed, 40).into_iter().enumerate() {
                let window = 500_u64.saturating_mul(1 << failures.min(20)).min(30_000);
                assert!(pause <= Duration::from_millis(window), "seed {seed}, failure {failures}: {pause:?}");
            }
        }
    }

    #[test]
    fn clients_with_different_seeds_come_back_at_different_times() {
        let mut times: Vec<Duration> = (0..1000).filter_map(|seed| pauses(seed, 8).pop()).collect();
        times.sort();
        let quarter = times.iter().filter(|pause| **pause < Duration::from_millis(7_500)).count();
        assert!((180..320).contains(&quarter), "{quarter} of 1000 in the first quarter");
    }

    #[test]
    fn a_server_that_asks_for_more_time_widens_the_window_only() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30), Random::new(1));
        let longest = (0..100)
            .map(|_| {
                backoff.reset();
                backoff.next(Duration::from_secs(10))
            })
            .max();
        assert!(longest > Some(Duration::from_secs(8)) && longest <= Some(Duration::from_secs(10)));
    }
}
