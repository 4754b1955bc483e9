//! How much of what a node has heard one of its engines has been given: an engine that is behind cannot tell that nothing
//! has happened since an event.

use std::time::Instant;

/// What one engine has been given of what its node has heard.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    count: u64,
    /// When it was last known that there was nothing else.
    all_at: Instant,
}

impl Heard {
    /// Neither the node nor the engine has heard anything.
    pub fn new(now: Instant) -> Self {
        Self { count: 0, all_at: now }
    }

    /// The engine is about to be given one more thing. `total` is how many there are for it, read after `now`.
    pub fn one_more(&mut self, total: u64, now: Instant) {
        self.count += 1;
        self.all_at = self.until(total, now);
    }

    /// Until when nothing has happened that the engine was not given. `total` is how many things there are for it, read
    /// after `now`; the time of each is to be taken after it was counted.
    pub fn until(&self, total: u64, now: Instant) -> Instant {
        if self.count == total { now } else { self.all_at }
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
        heard.one_more(1, at(2));
        assert_eq!(heard.until(1, at(3)), at(3));
        assert_eq!(heard.until(3, at(4)), at(2), "two more are on their way to it");
        heard.one_more(3, at(5));
        assert_eq!(heard.until(3, at(6)), at(2));
        heard.one_more(3, at(7));
        assert_eq!(heard.until(3, at(8)), at(8));
        assert_eq!(heard.until(4, at(9)), at(7));
    }
}
