//! How fast a session may talk.

use std::time::{Duration, Instant};

/// Messages that may be sent at once. With one more each [`REFILL`] and a ping each 20 s that is at most 30 in any minute:
/// Appwrite's server takes 32 from a connection, pings counted.
const BURST: u32 = 12;
/// How long it takes to earn one message more.
const REFILL: Duration = Duration::from_secs(4);

/// A bucket of messages that may be sent.
#[derive(Debug)]
pub(crate) struct Pace {
    left: u32,
    refilled: Instant,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: BURST, refilled: now }
    }

    /// Takes one message out, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let taken = self.left.checked_sub(1);
        self.left = taken.unwrap_or_default();
        taken.is_some()
    }

    /// The server says that it was too much.
    pub(crate) fn pause(&mut self, until: Instant) {
        self.left = 0;
        self.refilled = until;
    }

    /// When the next message may be sent.
    pub(crate) fn next(&self) -> Instant {
        if self.left > 0 { self.refilled } else { self.refilled + REFILL }
    }

    fn refill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.refilled);
        let earned = u32::try_from(since.as_secs() / REFILL.as_secs()).unwrap_or(u32::MAX);
        if self.left.saturating_add(earned) >= BURST {
            self.left = BURST;
            self.refilled = self.refilled.max(now);
        } else {
            self.left += earned;
            self.refilled += REFILL * earned;
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's clock must begin somewhere")]
mod tests {
    use super::*;

    #[test]
    fn no_minute_has_more_than_27_messages() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut sent: Vec<Duration> = Vec::new();
        for tick in 0..6000 {
            let at = Duration::from_millis(tick * 100);
            while pace.take(start + at) {
                sent.push(at);
            }
        }
        assert!(sent.len() > 150, "{}", sent.len());
        for first in &sent {
            let minute = sent.iter().filter(|at| *at >= first && **at < *first + Duration::from_secs(60));
            assert!(minute.count() <= 27);
        }
    }

    #[test]
    fn the_next_message_may_be_sent_when_it_says() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        while pace.take(now) {}
        let next = pace.next();
        assert!(next > now && !pace.take(next - Duration::from_millis(1)) && pace.take(next));
    }
}
