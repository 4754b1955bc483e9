//! What one node remembers of where subscriptions stood, and how it takes what a memory that all nodes share says.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::effect::Owner;
use crate::id::SubscriptionId;
use crate::replay::{Parked, Place, Position};

/// How much longer a place is remembered than events are kept, so that who comes back too late is told so.
const LONGER: Duration = Duration::from_secs(60);
/// How far the clocks of two nodes may be apart.
pub const SKEW: Duration = Duration::from_secs(5);
/// How long a node may hear nothing before its bus says so.
const DEAF: Duration = Duration::from_secs(10);
/// Two notes that are no further apart are taken for one.
const SAME: Duration = Duration::from_millis(100);
/// Places remembered at most; the oldest are forgotten beyond it.
const MAX_PLACES: usize = 1_000_000;

/// A subscription, whoever's it is.
pub type Key = (Owner, SubscriptionId);

/// The places that one node knows of.
#[derive(Debug)]
pub struct Whereabouts {
    keeps: Duration,
    keeps_requests: Duration,
    places: HashMap<Key, Known>,
    /// In the order in which they were written; some have been written again since.
    order: VecDeque<(Instant, Key)>,
}

#[derive(Debug)]
struct Known {
    parked: Parked,
    written: Instant,
}

impl Whereabouts {
    /// Remembers places for as long as events are kept, and a little longer; those of requests in the URL for a time of
    /// their own.
    pub fn new(window: Duration, keeps_requests: Duration) -> Self {
        Self { keeps: window + LONGER, keeps_requests, places: HashMap::new(), order: VecDeque::new() }
    }

    /// For how long a place is remembered.
    pub fn keeps(&self) -> Duration {
        self.keeps
    }

    /// Whether a note about it is to be taken. Several may have asked for the same in a URL: whoever was cut off first has
    /// missed most.
    pub fn is_news(&self, key: &Key, now: Instant) -> bool {
        !key.1.is_of_request() || self.known(key, now).is_none()
    }

    fn known(&self, key: &Key, now: Instant) -> Option<&Parked> {
        let keeps = if key.1.is_of_request() { self.keeps_requests } else { self.keeps };
        let known = self.places.get(key).filter(|known| known.written + keeps >= now)?;
        Some(&known.parked)
    }

    /// Remembers where a subscription stands; `None` is to be forgotten.
    pub fn remember(&mut self, key: Key, place: Option<Place>, now: Instant) {
        let Some(Place { position, at }) = place else {
            self.places.remove(&key);
            return;
        };
        let parked = Parked { position, at: at.unwrap_or(now) };
        self.order.push_back((now, key.clone()));
        self.places.insert(key, Known { parked, written: now });
        let keeps = self.keeps;
        while let Some((at, key)) =
            self.order.pop_front_if(|(at, _)| *at + keeps < now || self.places.len() > MAX_PLACES)
        {
            if self.places.get(&key).is_some_and(|known| known.written == at) {
                self.places.remove(&key);
            }
        }
    }

    /// Where these stood; those that are not known are left out.
    pub fn recall(
        &self,
        owner: &Owner,
        ids: &[SubscriptionId],
        now: Instant,
    ) -> Vec<(SubscriptionId, Parked)> {
        let known = ids.iter().filter_map(|id| {
            let parked = self.known(&(owner.clone(), id.clone()), now)?;
            Some((id.clone(), parked.clone()))
        });
        known.collect()
    }
}

/// Puts what the shared memory says of a subscription beside what is known here. `age` is how long ago the place was
/// taken, by the difference of two clocks on the wall.
pub fn merge(
    known: &mut Vec<(SubscriptionId, Parked)>,
    id: &SubscriptionId,
    position: Position,
    age: Duration,
    now: Instant,
) {
    let Some(at) = now.checked_sub(age) else { return };
    // Taken by another clock, and by a node that may have heard nothing for a while without knowing it.
    let parked = Parked { position, at: at.checked_sub(SKEW + DEAF).unwrap_or(at) };
    match known.iter_mut().find(|(known, _)| known == id) {
        // It was somewhere else since; what this node shared itself looks as old as it is here.
        Some((_, here)) if here.at + SAME < at => *here = parked,
        Some(_) => {}
        None => known.push((id.clone(), parked)),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's clock must begin somewhere")]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(120);
    const SHORT: Duration = Duration::from_secs(10);

    fn owner() -> Owner {
        Owner { project: "p".into(), user: None }
    }

    fn after(event: &str) -> Position {
        Position::After(event.into())
    }

    #[test]
    fn a_place_is_known_for_a_while_longer_than_events_are_kept() {
        let start = Instant::now();
        let mut here = Whereabouts::new(WINDOW, SHORT);
        here.remember((owner(), "s".into()), Some(Place { position: after("e1"), at: None }), start);
        let known = |at: Instant| !here.recall(&owner(), &["s".into()], at).is_empty();
        assert!(known(start + WINDOW + LONGER) && !known(start + WINDOW + LONGER + SAME));
    }

    #[test]
    fn of_those_who_asked_for_the_same_in_a_url_the_first_that_was_cut_off_counts_for_a_while() {
        let start = Instant::now();
        let mut here = Whereabouts::new(WINDOW, SHORT);
        let key = (owner(), SubscriptionId::of_request(1));
        assert!(here.is_news(&key, start));
        here.remember(key.clone(), Some(Place { position: after("e1"), at: None }), start);
        assert!(!here.is_news(&key, start + SHORT) && here.is_news(&key, start + SHORT + SAME));
        assert!(here.recall(&owner(), &[key.1], start + SHORT + SAME).is_empty());
    }

    #[test]
    fn the_later_note_counts_and_one_of_the_same_moment_is_our_own() {
        let now = Instant::now() + WINDOW;
        let at = |age: u64| now - Duration::from_millis(age);
        for (here, there, expected) in [(1_000, 500, "there"), (1_000, 950, "here"), (500, 1_000, "here")] {
            let mut known = vec![("s".into(), Parked { position: after("here"), at: at(here) })];
            merge(&mut known, &"s".into(), after("there"), Duration::from_millis(there), now);
            assert_eq!(known.iter().map(|(_, parked)| &parked.position).next(), Some(&after(expected)));
        }
    }

    #[test]
    fn what_another_clock_says_may_be_older_than_it_looks() {
        let now = Instant::now() + WINDOW;
        let mut known = Vec::new();
        merge(&mut known, &"s".into(), Position::Beginning, Duration::ZERO, now);
        assert_eq!(known, [("s".into(), Parked { position: Position::Beginning, at: now - SKEW - DEAF })]);
    }
}
