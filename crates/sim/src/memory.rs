//! What all nodes share of where subscriptions stood: whoever asks gets what came last, unless it is out of reach.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use realtime_core::replay::Position;
use realtime_core::whereabouts::Key;

/// A place, and when it was taken by its node's clock on the wall; `None` is to be forgotten.
pub type Note = (Key, Option<(Position, Duration)>);

/// The memory.
#[derive(Debug, Default)]
pub struct Memory {
    /// Out of reach until then.
    pub down_until: Option<Instant>,
    notes: BTreeMap<Key, (Position, Duration, Instant)>,
}

impl Memory {
    /// Whether nobody can ask or tell it anything.
    pub fn is_down(&self, now: Instant) -> bool {
        self.down_until.is_some_and(|until| now < until)
    }

    /// Takes a note, which is lost if it is out of reach. Whether it was taken.
    pub fn remember(&mut self, (key, place): Note, keeps: Duration, now: Instant) -> bool {
        if self.is_down(now) {
            return false;
        }
        match place {
            Some((position, taken)) => drop(self.notes.insert(key, (position, taken, now + keeps))),
            None => drop(self.notes.remove(&key)),
        }
        true
    }

    /// Whether it has a note of a subscription, in reach or not.
    pub fn knows(&self, key: &Key, now: Instant) -> bool {
        self.notes.get(key).is_some_and(|(_, _, until)| now <= *until)
    }

    /// What it knows of each; `None` if it is out of reach.
    pub fn recall(&self, keys: &[Key], now: Instant) -> Option<Vec<Option<(Position, Duration)>>> {
        let known = |key: &Key| {
            let (position, taken, until) = self.notes.get(key)?;
            (now <= *until).then(|| (position.clone(), *taken))
        };
        (!self.is_down(now)).then(|| keys.iter().map(known).collect())
    }
}
