//! How much of what a node has heard one of its engines has been given: an engine that is behind cannot tell that nothing
//! has happened since an event.

use std::time::Instant;

/// What one engine has been given of what its node has heard.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    /// The number of what it was given last.
    last: u64,
    /// When it was last known that there was nothing else.
    all_at: Instant,
}

impl Heard {
    /// Neither the node nor the engine has heard anything.
    pub fn new(now: Instant) -> Self {
        Self { last: 0, all_at: now }
    }

    /// The engine is about to be given what the node has heard under this number; they count up from one, and some may
    /// never be given. `total` is the last that there is for it, read after `now`.
    pub fn give(&mut self, number: u64, total: u64, now: Instant) {
        self.last = number;
        self.all_at = self.until(total, now);
    }

    /// Until when nothing has happened that the engine was not given. `total` is the last number that there is for it,
    /// read after `now`; the time of what was heard is to be taken after it has got its number.
    pub fn until(&self, total: u64, now: Instant) -> Instant {
        if self.last == total { now } else { self.all_at }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's clock must begin somewhere")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_is_behind_knows_of_nothing_after_the_last_time_it_was_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heard = Heard::new(start);
        assert_eq!(heard.until(0, at(1)), at(1));
        heard.give(1, 1, at(2));
        assert_eq!(heard.until(1, at(3)), at(3));
        assert_eq!(heard.until(3, at(4)), at(2), "two more are on their way to it");
        heard.give(2, 3, at(5));
        assert_eq!(heard.until(3, at(6)), at(2));
        heard.give(3, 3, at(7));
        assert_eq!(heard.until(3, at(8)), at(8));
        assert_eq!(heard.until(4, at(9)), at(7));
        heard.give(5, 5, at(10));
        assert_eq!(
            heard.until(5, at(11)),
            at(11),
            "whoever was to give it the one before did not come to it"
        );
    }
}
