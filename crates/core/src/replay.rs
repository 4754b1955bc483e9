//! The events of the last while, so that a client that was away gets what it missed, or is told that nobody can vouch
//! for it.
//!
//! Every engine keeps its own log, in the order in which the bus gave the events. A [`Position`] speaks of an event by
//! its id, which is the same everywhere, so that one taken on one engine is understood by every other one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::FixedState;

use crate::event::Event;
use crate::id::{EventId, ProjectId};

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// For how long. Zero keeps nothing, and nobody resumes.
    pub window: Duration,
    /// Events of one project.
    pub events: usize,
    /// Bytes of event data of one project.
    pub bytes: usize,
    /// The same of all projects together.
    pub total_bytes: usize,
    /// How far apart two engines may hear the same two events in another order: who comes back from elsewhere gets what
    /// happened so long before its place once more.
    pub disorder: Duration,
}

impl Default for Bounds {
    /// A phone in a tunnel is back within two minutes; 16 MiB are 130 events of 1 KiB a second.
    fn default() -> Self {
        Self {
            window: Duration::from_secs(120),
            events: 50_000,
            bytes: 16 * 1024 * 1024,
            total_bytes: 128 * 1024 * 1024,
            disorder: Duration::ZERO,
        }
    }
}

/// A place in a project's stream of events that every engine understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// Right after this event.
    After(EventId),
    /// Before anything had happened, as far as was known.
    Beginning,
    /// It is not known any more where.
    Lost,
}

/// A position that is to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The place.
    pub position: Position,
    /// The last moment when nothing had happened that is not before it; `None` is now.
    pub at: Option<Instant>,
}

impl Place {
    /// The same as a node knows it that has heard nothing for at most so long: it cannot tell that nothing happened
    /// meanwhile.
    #[must_use]
    pub fn unheard_for(self, unheard: Duration, now: Instant) -> Self {
        let at = self.at.or_else(|| now.checked_sub(unheard));
        Self { at, ..self }
    }
}

/// A position, and when it was so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The place.
    pub position: Position,
    /// When nothing had happened yet that is not before it.
    pub at: Instant,
}

/// Why it cannot be told what came after a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The log does not reach back to it: it is older than what is kept, or of events that never came here.
    Unknown,
    /// The source of events was away since.
    Gap,
}

/// A moment in the stream of events: what one engine counts them by, meaningless to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mark(u64);

/// What a client is to give back once it has got everything that was sent to it by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// How far it has been told then.
    pub(crate) told: Mark,
    /// When it was asked for.
    pub(crate) asked: Mark,
}

#[cfg(test)]
impl Receipt {
    /// One for having been told so much.
    pub(crate) fn of(told: u64) -> Self {
        Self { told: Mark(told), asked: Mark(told) }
    }
}

impl Mark {
    /// The place before it.
    pub(crate) fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// What an event costs beside its data, roughly.
const OVERHEAD: usize = 256;
/// Logs of projects that have gone quiet, at most; the quietest are forgotten beyond it.
const MAX_LOGS: usize = 10_000;
/// How many times in a window all logs are looked at for events that are too old.
const SWEEPS: u32 = 4;

/// What a log can vouch for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// Nothing comes in, so that what happens now is missing.
    Deaf,
    /// What the source has kept since this moment is on its way into the log, and events may be missing until it is there.
    Loading(Instant),
    /// Nothing is known to be missing since this moment.
    Whole(Instant),
}

/// The log of one engine.
#[derive(Debug)]
pub(crate) struct Replay {
    bounds: Bounds,
    logs: HashMap<ProjectId, Log, FixedState>,
    bytes: usize,
    last: Mark,
    hearing: Hearing,
    gap_at: Option<Instant>,
    /// The moment of the last gap.
    gap: Mark,
    /// The last event of the logs that were forgotten.
    forgotten: Mark,
    swept_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Log {
    kept: VecDeque<Kept>,
    marks: HashMap<EventId, Mark, FixedState>,
    /// How many more times each event is kept that came more than once.
    copies: HashMap<EventId, usize, FixedState>,
    bytes: usize,
    /// The event before the first that is kept.
    dropped: Option<Dropped>,
}

#[derive(Debug)]
struct Kept {
    mark: Mark,
    at: Instant,
    event: Arc<Event>,
}

#[derive(Debug)]
struct Dropped {
    id: EventId,
    /// Whether its id speaks of it, and not of an earlier time when it came.
    is_known: bool,
    mark: Mark,
    at: Instant,
}

impl Log {
    fn drop_first(&mut self) -> usize {
        let Some(first) = self.kept.pop_front() else { return 0 };
        let size = size_of(&first.event);
        self.bytes -= size;
        // The same event may have come twice. Its id speaks of the first time alone: who has seen that may not have seen
        // what came between the two.
        let is_known = self.marks.get(&first.event.id) == Some(&first.mark);
        if is_known {
            self.marks.remove(&first.event.id);
        } else if let Some(copies) = self.copies.get_mut(&first.event.id) {
            *copies -= 1;
            if *copies == 0 {
                self.copies.remove(&first.event.id);
            }
        }
        // What a source had kept may be recorded after what is later by the clock here.
        let at = self.dropped.as_ref().map_or(first.at, |before| before.at.max(first.at));
        self.dropped = Some(Dropped { id: first.event.id.clone(), is_known, mark: first.mark, at });
        size
    }

    /// The place after which is kept everything that another engine may have heard after this one, where nothing is missing
    /// since a moment; `None` is the beginning of the log.
    fn before_disorder(&self, mark: Mark, since: Instant, disorder: Duration) -> Result<Option<Mark>, Lost> {
        if disorder.is_zero() {
            return Ok(Some(mark));
        }
        let later = self.kept.partition_point(|kept| kept.mark <= mark);
        let at = later.checked_sub(1).and_then(|place| self.kept.get(place)).map(|kept| kept.at);
        let Some(from) = at.or(self.dropped.as_ref().map(|dropped| dropped.at)) else {
            return Ok(Some(mark));
        };
        let is_before = |at: Instant| at + disorder < from;
        let first = self.kept.partition_point(|kept| is_before(kept.at));
        match (first.checked_sub(1).and_then(|place| self.kept.get(place)), &self.dropped) {
            (Some(kept), _) => Ok(Some(kept.mark.min(mark))),
            (None, Some(dropped)) if is_before(dropped.at) => Ok(Some(dropped.mark)),
            (None, None) if is_before(since) => Ok(None),
            (None, _) => Err(Lost::Unknown),
        }
    }

    fn drop_before(&mut self, oldest: Instant) -> usize {
        let mut freed = 0;
        while self.kept.front().is_some_and(|first| first.at < oldest) {
            freed += self.drop_first();
        }
        if self.kept.is_empty() {
            self.kept.shrink_to(16);
            self.marks.shrink_to(16);
        }
        freed
    }
}

/// The first moment after this one: what happened at this very moment may have been before what is known.
fn after(moment: Instant) -> Instant {
    moment + Duration::from_nanos(1)
}

fn size_of(event: &Event) -> usize {
    event.data.len() + OVERHEAD
}

impl Replay {
    pub(crate) fn new(bounds: Bounds, seed: u64) -> Self {
        Self {
            bounds,
            logs: HashMap::with_hasher(FixedState::with_seed(seed)),
            bytes: 0,
            last: Mark::default(),
            hearing: Hearing::Deaf,
            gap_at: None,
            gap: Mark::default(),
            forgotten: Mark::default(),
            swept_at: None,
        }
    }

    /// Whether anything is kept at all.
    pub(crate) fn is_on(&self) -> bool {
        !self.bounds.window.is_zero()
    }

    /// The mark of everything that has happened so far.
    pub(crate) fn last(&self) -> Mark {
        self.last
    }

    /// A moment of its own, after everything that has happened so far.
    pub(crate) fn tick(&mut self) -> Mark {
        self.last.0 += 1;
        self.last
    }

    /// Keeps an event that happened at this moment.
    pub(crate) fn record(&mut self, event: &Arc<Event>, now: Instant) -> Mark {
        self.tick();
        if !self.is_on() {
            return self.last;
        }
        self.sweep(now);
        let log = self.logs.entry(event.project.clone()).or_default();
        let before = log.bytes;
        log.kept.push_back(Kept { mark: self.last, at: now, event: Arc::clone(event) });
        if log.marks.contains_key(&event.id) || log.copies.contains_key(&event.id) {
            *log.copies.entry(event.id.clone()).or_default() += 1;
        } else {
            log.marks.insert(event.id.clone(), self.last);
        }
        log.bytes += size_of(event);
        while log.kept.len() > self.bounds.events || (log.bytes > self.bounds.bytes && log.kept.len() > 1) {
            log.drop_first();
        }
        self.bytes = self.bytes + log.bytes - before;
        if self.bytes > self.bounds.total_bytes {
            self.make_room();
        }
        self.last
    }

    /// Nothing comes in any more: nobody is vouched for until it is known what was missed.
    pub(crate) fn deaf(&mut self) {
        self.hearing = Hearing::Deaf;
    }

    /// What has happened may be missing something from now on back: no earlier position can be vouched for.
    pub(crate) fn gap(&mut self, now: Instant) {
        self.gap_at = Some(now);
        match self.hearing {
            // What is still on its way comes after the gap, and is as little there as before it.
            Hearing::Loading(_) => self.load_from(after(now)),
            Hearing::Deaf | Hearing::Whole(_) => self.restart(now),
        }
    }

    /// What is known begins now.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.clear();
        self.hearing = Hearing::Whole(after(now));
    }

    /// What is known begins at a moment of the past: everything since then is recorded next, with the time when it was.
    /// Until [`Self::loaded`] it is not told where anybody stood, for what came after may be still to be recorded.
    pub(crate) fn load_from(&mut self, since: Instant) {
        self.clear();
        self.hearing = Hearing::Loading(since);
    }

    /// What the source had kept has been recorded.
    pub(crate) fn loaded(&mut self) {
        if let Hearing::Loading(since) = self.hearing {
            self.hearing = Hearing::Whole(since);
        }
    }

    fn clear(&mut self) {
        self.logs.clear();
        self.bytes = 0;
        self.gap = self.tick();
    }

    /// Since when nothing is missing, or why nobody can be vouched for.
    fn whole_since(&self) -> Result<Instant, Lost> {
        match self.hearing {
            Hearing::Deaf => Err(Lost::Gap),
            Hearing::Loading(_) => Err(Lost::Unknown),
            Hearing::Whole(since) => Ok(since),
        }
    }

    /// The place of everything up to a mark, in words that other engines understand.
    pub(crate) fn place_at(&self, project: &ProjectId, mark: Mark) -> Place {
        let now = |position| Place { position, at: None };
        if mark < self.gap {
            return now(Position::Lost);
        }
        let Some(log) = self.logs.get(project) else {
            return now(if mark < self.forgotten { Position::Lost } else { Position::Beginning });
        };
        let later = log.kept.partition_point(|kept| kept.mark <= mark);
        let before = later.checked_sub(1).and_then(|place| log.kept.get(place));
        // Nothing more had happened until the next event came, which is not now.
        let until = |position| Place { position, at: log.kept.get(later).map(|next| next.at) };
        match (before, &log.dropped) {
            (Some(kept), _) => until(Position::After(kept.event.id.clone())),
            (None, None) => until(Position::Beginning),
            (None, Some(dropped)) if dropped.mark <= mark => until(Position::After(dropped.id.clone())),
            (None, Some(_)) => now(Position::Lost),
        }
    }

    /// The mark of a position, if everything after it is kept.
    pub(crate) fn find(&self, project: &ProjectId, parked: &Parked) -> Result<Mark, Lost> {
        self.whole_since()?;
        let lost = match self.gap_at {
            Some(gap) if gap >= parked.at => Lost::Gap,
            Some(_) | None => Lost::Unknown,
        };
        match &parked.position {
            Position::Lost => Err(Lost::Unknown),
            Position::After(id) => match self.find_event(project, id) {
                Ok(mark) => Ok(mark),
                // Where a project has long been quiet, its last event may be from before what is known here.
                Err(_) => self.find_moment(project, parked.at).ok_or(lost),
            },
            Position::Beginning => self.find_moment(project, parked.at).ok_or(lost),
        }
    }

    /// A mark after which is kept everything that has happened since a moment.
    fn find_moment(&self, project: &ProjectId, at: Instant) -> Option<Mark> {
        self.whole_since().ok().filter(|since| *since <= at)?;
        let log = self.logs.get(project);
        match log.and_then(|log| log.dropped.as_ref()) {
            Some(dropped) if dropped.at >= at => None,
            Some(dropped) => Some(dropped.mark),
            None => Some(self.beginning_of(log)),
        }
    }

    /// The last mark before everything in a log that has dropped nothing, at which a place can be told again.
    fn beginning_of(&self, log: Option<&Log>) -> Mark {
        let begins = self.gap.max(self.forgotten);
        match log.and_then(|log| log.kept.front()) {
            Some(first) => begins.min(first.mark.before()),
            None => begins,
        }
    }

    /// The mark of an event that a client says it has seen, if everything after it is kept.
    pub(crate) fn find_event(&self, project: &ProjectId, event: &EventId) -> Result<Mark, Lost> {
        let since = self.whole_since()?;
        let lost = if self.gap_at.is_some() { Lost::Gap } else { Lost::Unknown };
        let log = self.logs.get(project).ok_or(lost)?;
        let dropped = log.dropped.as_ref().filter(|dropped| dropped.is_known && dropped.id == *event);
        let found = log.marks.get(event).copied().or_else(|| dropped.map(|dropped| dropped.mark));
        let mark = log.before_disorder(found.ok_or(lost)?, since, self.bounds.disorder)?;
        Ok(mark.unwrap_or_else(|| self.beginning_of(Some(log))))
    }

    /// Up to `limit` events after a mark, in order; `None` if some of them are not kept any more.
    pub(crate) fn after(
        &self,
        project: &ProjectId,
        mark: Mark,
        limit: usize,
    ) -> Option<Vec<(Mark, Arc<Event>)>> {
        // Of a log that was forgotten nobody knows what was in it.
        let Some(log) = self.logs.get(project) else { return (mark >= self.forgotten).then(Vec::new) };
        if log.dropped.as_ref().is_some_and(|dropped| dropped.mark > mark) {
            return None;
        }
        let first = log.kept.partition_point(|kept| kept.mark <= mark);
        let kept = log.kept.range(first..).take(limit);
        Some(kept.map(|kept| (kept.mark, Arc::clone(&kept.event))).collect())
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops what is too old, now and then.
    fn sweep(&mut self, now: Instant) {
        let due = self.swept_at.is_none_or(|swept| now >= swept + self.bounds.window / SWEEPS);
        let Some(oldest) = now.checked_sub(self.bounds.window).filter(|_| due) else { return };
        self.swept_at = Some(now);
        let mut freed = 0;
        for log in self.logs.values_mut() {
            freed += log.drop_before(oldest);
        }
        self.bytes -= freed;
        if self.logs.len() > MAX_LOGS {
            let is_recent = |dropped: &Dropped| dropped.at >= oldest;
            self.logs.retain(|_, log| {
                let keeps = !log.kept.is_empty() || log.dropped.as_ref().is_some_and(is_recent);
                if let Some(dropped) = log.dropped.as_ref().filter(|_| !keeps) {
                    self.forgotten = self.forgotten.max(dropped.mark);
                }
                keeps
            });
            // What was in those that are forgotten is older than that.
            match &mut self.hearing {
                Hearing::Deaf => {}
                Hearing::Loading(since) | Hearing::Whole(since) => *since = oldest.max(*since),
            }
        }
    }

    /// Takes from the largest logs what they have beyond a size that leaves some room: they are all looked at for it, which
    /// is not to be for every event.
    fn make_room(&mut self) {
        let enough = self.bounds.total_bytes - self.bounds.total_bytes / 8;
        let level = level(self.logs.values().map(|log| log.bytes).collect(), enough);
        for log in self.logs.values_mut() {
            while log.bytes > level && !log.kept.is_empty() {
                self.bytes -= log.drop_first();
            }
        }
    }
}

/// The size that the larger ones of these are to be cut to, so that all together are no more than enough.
fn level(mut sizes: Vec<usize>, enough: usize) -> usize {
    sizes.sort_unstable();
    let (mut left, mut others) = (enough, sizes.len());
    for size in sizes {
        let share = left / others.max(1);
        if size > share {
            return share;
        }
        left -= size;
        others -= 1;
    }
    usize::MAX
}

#[cfg(test)]
mod tests;
