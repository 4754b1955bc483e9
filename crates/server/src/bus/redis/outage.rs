//! The time without a subscription, and what has been said of it.

use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

/// The longest pause before the first attempt to come back; it doubles with each one that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two attempts: within 2 s of its coming back, Redis is to be found again.
const LONGEST_PAUSE: Duration = Duration::from_millis(1_500);

/// The time without a subscription.
#[derive(Debug, Default)]
pub(super) struct Outage {
    since: Option<Instant>,
    /// The server that events came from before, if ever there was one.
    server: Option<String>,
    attempts: u32,
    told: String,
}

impl Outage {
    /// Whether events have come in before.
    pub(super) fn was_connected(&self) -> bool {
        self.server.is_some()
    }

    /// It goes on: tells of it if there is something new to tell, and says how long to wait.
    pub(super) fn go_on(&mut self, place: &str, reason: &str) -> Duration {
        self.since.get_or_insert_with(Instant::now);
        if self.told == reason {
            debug!(place, reason, attempts = self.attempts, "Redis still cannot be reached");
        } else {
            error!(place, reason, "cannot receive events from Redis; trying again. {}", advice(reason));
            reason.clone_into(&mut self.told);
        }
        let longest = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(10)).min(LONGEST_PAUSE);
        self.attempts += 1;
        // Nodes that lost the same Redis do not all come back at once.
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// There is a subscription again, at this server.
    pub(super) fn end(&mut self, place: &str, server: &str) {
        let missing = self.since.map(|since| since.elapsed()).unwrap_or_default();
        match &self.server {
            None => info!(place, server, "receiving events from Redis"),
            Some(before) if before == server => warn!(
                place,
                server,
                ?missing,
                "receiving events from Redis again; those published meanwhile are lost"
            ),
            Some(before) => warn!(
                place,
                server,
                before,
                ?missing,
                "receiving events from Redis again, from another server; those published meanwhile are lost"
            ),
        }
        *self = Self { server: Some(server.to_owned()), ..Self::default() };
    }
}

fn advice(reason: &str) -> &'static str {
    let reason = reason.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if says(&["auth", "wrongpass", "noperm", "invalid username-password"]) {
        "Check redis.user and redis.password (_APP_REDIS_USER, _APP_REDIS_PASS)"
    } else if says(&["sentinel"]) {
        "Check redis.sentinels, redis.sentinel_master and redis.sentinel_password, and that the sentinels know a master \
         that is up"
    } else if says(&["hello", "noproto"]) {
        "Redis 6 or newer is needed"
    } else {
        "Check redis.host and redis.port (_APP_REDIS_HOST, _APP_REDIS_PORT), and that Redis runs there"
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut outage = Outage::default();
        let pauses: Vec<Duration> = (0..40).map(|_| outage.go_on("redis:6379", "refused")).collect();
        assert!(*pauses.first().unwrap() <= FIRST_PAUSE);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
        assert!(*pauses.last().unwrap() >= LONGEST_PAUSE / 2);
    }
}
