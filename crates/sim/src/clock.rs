//! The one clock of a world, and what happens next on it.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The one clock: it stands still until something happens.
#[derive(Debug)]
pub struct Clock<T> {
    start: Instant,
    now: Instant,
    count: u64,
    agenda: BTreeMap<(Instant, u64), T>,
}

impl<T> Default for Clock<T> {
    /// A clock at its start, which has enough time before it for whoever looks back.
    fn default() -> Self {
        // The same for every world of a process, so that two runs can be compared by what they write down.
        static START: OnceLock<Instant> = OnceLock::new();
        let start = *START.get_or_init(|| Instant::now() + Duration::from_secs(1_000_000));
        Self { start, now: start, count: 0, agenda: BTreeMap::new() }
    }
}

impl<T> Clock<T> {
    /// What time it is.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Seconds since the start.
    pub fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.start).as_secs_f64()
    }

    /// The moment so long after the start.
    pub fn at(&self, since_start: Duration) -> Instant {
        self.start + since_start
    }

    /// Lets something happen at a moment, after whatever happens at the same moment already. Not before now.
    pub fn plan(&mut self, at: Instant, what: T) {
        self.count += 1;
        self.agenda.insert((at.max(self.now), self.count), what);
    }

    /// When the next thing happens.
    pub fn next(&self) -> Option<Instant> {
        self.agenda.keys().next().map(|(at, _)| *at)
    }

    /// The next thing that happens by then; the clock goes on to it.
    pub fn take(&mut self, until: Instant) -> Option<T> {
        let entry = self.agenda.first_entry().filter(|entry| entry.key().0 <= until)?;
        let ((at, _), what) = entry.remove_entry();
        self.now = self.now.max(at);
        Some(what)
    }

    /// The clock goes on.
    pub fn pass(&mut self, to: Instant) {
        self.now = self.now.max(to);
    }
}
