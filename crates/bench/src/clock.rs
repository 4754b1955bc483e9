//! The clock of a run: moments that both ends of a delivery can name, as nanoseconds since the run began.

use std::sync::LazyLock;
use std::time::Instant;

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A moment as nanoseconds since the run began.
pub(crate) fn told(moment: Instant) -> u64 {
    u64::try_from(moment.saturating_duration_since(*BEGAN).as_nanos()).unwrap_or(u64::MAX)
}

/// This moment.
pub(crate) fn now() -> u64 {
    told(Instant::now())
}
