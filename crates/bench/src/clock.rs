//! The clock of a run: nanoseconds that all processes of this machine count alike.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// This moment, as nanoseconds of the system's monotonic clock.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

/// Waits for a moment; not at all if it has passed.
pub(crate) fn sleep_until(moment: u64) {
    std::thread::sleep(Duration::from_nanos(moment.saturating_sub(now())));
}

/// Nanoseconds between things that happen so often in a second.
pub(crate) fn interval(each_second: u32) -> u64 {
    1_000_000_000 / u64::from(each_second.max(1))
}
