//! How long this thread and this process have worked.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The processor time of the calling thread so far, in user and kernel together. It does not run while the thread
/// waits for a processor, so other work on the machine disturbs it less than it does a wall clock.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The same of all threads of this process.
pub(crate) fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
