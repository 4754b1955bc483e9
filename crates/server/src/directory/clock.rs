//! What time a directory thinks it is.

use std::fmt::Debug;

use jiff::Timestamp;

/// Tells expiry from validity. A trait, so that tests decide what time it is.
pub trait Clock: Send + Sync + Debug {
    /// The time at this moment.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
