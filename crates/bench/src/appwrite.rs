//! What Appwrite's own server takes (PHP 8.4 and Swoole 6.2, its real event loop), measured elsewhere, so that this server
//! can be held against it.
//!
//! It is no peer of a run: installing it takes more than a package. Its figures were taken on a machine of two cores beside
//! the same floor, a bare `writev`, so they are compared as multiples of that floor: a slower machine makes both slower.

/// A figure as it was measured there, in nanoseconds: the least and the most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elsewhere(f64, f64);

/// A bare `writev` there.
const FLOOR: Elsewhere = Elsewhere(6_400.0, 8_200.0);
/// Processor time of a delivery at 10,000 deliveries a second, with 100 to 5,000 receivers.
pub(crate) const PACED: Elsewhere = Elsewhere(15_000.0, 19_000.0);
/// The same, as fast as it goes (95,000 to 134,000 a second) with 5,000 receivers.
pub(crate) const SATURATED: Elsewhere = Elsewhere(14_000.0, 16_500.0);
/// The 99th percentile of the latency then.
pub(crate) const SATURATED_P99: Elsewhere = Elsewhere(257e6, 257e6);
/// Processor time of an event for one of 100,000 users.
pub(crate) const ONE_USER: Elsewhere = Elsewhere(0.4e9, 0.6e9);
/// Processor time of a connect.
pub(crate) const CONNECT: Elsewhere = Elsewhere(0.5e6, 0.5e6);

impl Elsewhere {
    pub(crate) fn middle(self) -> f64 {
        f64::midpoint(self.0, self.1)
    }

    /// In multiples of the floor of that machine.
    pub(crate) fn times_floor(self) -> f64 {
        self.middle() / FLOOR.middle()
    }

    /// How many times less it is here, each against the floor of its own machine.
    pub(crate) fn over(self, here: f64, floor: f64) -> f64 {
        self.times_floor() / (here / floor)
    }

    /// For people, with the floor there.
    pub(crate) fn text(self) -> String {
        use crate::report::{nanoseconds, ratio};
        let of = |Self(least, most): Self| match least < most {
            true => format!("{}–{}", nanoseconds(least), nanoseconds(most)),
            false => nanoseconds(least),
        };
        format!("Appwrite {} = {} × its floor", of(self), ratio(self.times_floor()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_twice_as_slow_changes_no_comparison() {
        let (here, floor) = (2_000.0, 6_000.0);
        let once = SATURATED.over(here, floor);
        assert!((once - SATURATED.over(here * 2.0, floor * 2.0)).abs() < 1e-9);
        assert!((once - 15_250.0 / 7_300.0 * 3.0).abs() < 1e-9, "{once}");
    }
}
