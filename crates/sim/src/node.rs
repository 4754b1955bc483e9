//! A node: engines side by side as its shards, what the bus has for them, and what the node remembers. The wiring around
//! them is the world's, after the server's own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use realtime_core::engine::Engine;
use realtime_core::event::Event;
use realtime_core::heard::Heard;
use realtime_core::settings::Settings;
use realtime_core::whereabouts::Whereabouts;

use crate::model::Number;
use crate::random::Random;
use crate::workload::Setting;

/// Milliseconds that a note may wait for others.
const GATHER: u64 = 100;

/// What a shard is to do.
#[derive(Debug, Clone)]
pub enum Job {
    /// An event from the bus.
    Publish(Number, Arc<Event>),
    /// An event that the bus has kept, and when it happened.
    PublishLate(Number, Arc<Event>, Instant),
    /// The same from before the node was there.
    Record(Number, Arc<Event>, Instant),
    /// The bus is listened to for the first time.
    Begin,
    /// The same, and what it has kept since then comes first.
    BeginFrom(Instant),
    /// What the bus had kept has come.
    Loaded,
    /// The bus is listened to no more.
    Deaf,
    /// Events may have been missed.
    Gap,
    /// Close every connection within this time.
    Drain(Duration),
}

/// How far a node has read a bus that keeps what happened.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// The next entry to read.
    pub next: usize,
    /// Whether what had been kept has been read, so that what follows happens now.
    pub is_there: bool,
    /// Whether it reads what happened before the node was there.
    pub looks_back: bool,
    /// How long it takes over some entries, in milliseconds.
    pub pace: u64,
}

/// What a shard was given by its node.
#[derive(Debug)]
pub struct Inbox {
    /// What it is to do, its number among what the node has heard, and when that was posted.
    pub jobs: VecDeque<(Job, u64, Instant)>,
    /// How much of what the node has heard it was given.
    pub heard: Heard,
    /// Until when newcomers wait for what happened before; `None` once it is there.
    pub history_due: Option<Instant>,
}

/// A process.
#[derive(Debug)]
pub struct Node {
    /// Where it runs.
    pub place: usize,
    /// When it started.
    pub started: Instant,
    /// One for each shard; none once it has ended.
    pub engines: Vec<Engine>,
    /// What each shard is to do.
    pub inboxes: Vec<Inbox>,
    /// How much it has heard from its bus.
    pub heard_total: u64,
    /// How far it has read, if its bus keeps what happened and it has begun to read.
    pub reader: Option<Reader>,
    /// What it remembers by itself.
    pub whereabouts: Whereabouts,
    /// Whether it has ever listened to the bus.
    pub has_listened: bool,
    /// It is stopping: until when its last connection is to be closed, and when the next one may start.
    pub leaving: Option<(Instant, Instant)>,
    /// Whether what it had to tell the memory reaches it though the node has ended.
    pub has_settled: bool,
    /// How far its clock on the wall is ahead.
    ahead: Duration,
    last_job: Vec<Instant>,
    last_note: Instant,
    random: Random,
}

/// How long newcomers wait for what happened before the node was there, as on a server.
pub const HISTORY_PATIENCE: Duration = Duration::from_secs(5);
/// No two clocks are further apart than nodes take for granted.
const MOST_AHEAD: u64 = 4_900;

impl Node {
    /// Starts.
    pub fn start(seed: u64, number: usize, place: usize, setting: &Setting, now: Instant) -> Self {
        let mut random = Random::of(seed, "node", number);
        let settings = Settings {
            outbox: setting.outbox,
            slow: setting.slow,
            heartbeat: setting.heartbeat,
            held_events: setting.held_events,
            replay: setting.replay,
            ..Settings::default()
        };
        let engines = (0..setting.shards).map(|_| Engine::new(settings.clone(), random.draw())).collect();
        Self {
            place,
            started: now,
            engines,
            inboxes: (0..setting.shards)
                .map(|_| Inbox {
                    jobs: VecDeque::new(),
                    heard: Heard::new(now),
                    history_due: Some(now + HISTORY_PATIENCE),
                })
                .collect(),
            heard_total: 0,
            reader: None,
            whereabouts: Whereabouts::new(setting.replay.window, Duration::ZERO),
            has_listened: false,
            leaving: None,
            has_settled: false,
            ahead: random.millis(0, MOST_AHEAD),
            last_job: vec![now; setting.shards],
            last_note: now,
            random,
        }
    }

    /// Whether it runs.
    pub fn is_alive(&self) -> bool {
        !self.engines.is_empty()
    }

    /// What its clock on the wall says so long after the start of the world.
    pub fn wall(&self, since_start: Duration) -> Duration {
        since_start + self.ahead
    }

    /// When a look-up of it is made, and how long its answer takes then.
    pub fn look_up(&mut self) -> (Duration, Duration) {
        let longest = if self.random.percent(15) { 700 } else { 20 };
        (self.random.millis(0, longest), self.random.millis(0, longest))
    }

    /// When a shard does what is posted now: in order, and mostly at once.
    pub fn post(&mut self, shard: usize, now: Instant) -> Instant {
        let longest = if self.random.percent(4) { 150 } else { 3 };
        let at = now + self.random.millis(0, longest);
        match self.last_job.get_mut(shard) {
            Some(last) => {
                *last = at.max(*last);
                *last
            }
            None => at,
        }
    }

    /// Begins to read a bus that keeps what happened, from an entry on; some nodes take their time.
    pub fn begin_to_read(&mut self, next: usize, looks_back: bool) {
        let pace = if self.random.percent(25) { 300 } else { 8 };
        self.reader = Some(Reader { next, is_there: false, looks_back, pace });
    }

    /// When the next entries have been read.
    pub fn read_on(&mut self, now: Instant) -> Instant {
        let pace = self.reader.map_or(0, |reader| reader.pace);
        now + self.random.millis(0, pace)
    }

    /// When the memory has what it is told now: in order. What may wait does, and what comes after it too, which is harder than the truth.
    pub fn note(&mut self, may_wait: bool, now: Instant) -> Instant {
        let longest = if self.random.percent(10) { 400 } else { 10 };
        let gather = if may_wait { GATHER } else { 0 };
        self.last_note = (now + self.random.millis(0, longest + gather)).max(self.last_note);
        self.last_note
    }
}
