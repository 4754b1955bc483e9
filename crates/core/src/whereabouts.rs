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
const MAX_PLACES: usize = if cfg!(test) { 10_000 } else { 1_000_000 };
/// Former writings of places that are remembered still, at most, beside as many as there are places.
const MAX_REWRITTEN: usize = 1_024;

/// A subscription, whoever's it is.
pub type Key = (Owner, SubscriptionId);

/// The places that one node knows of.
#[derive(Debug)]
pub struct Whereabouts {
    keeps: Duration,
    keeps_requests: Duration,
    places: HashMap<Key, Known>,
    /// In the order in which they were written, by the number of the writing; some have been written again since.
    order: VecDeque<(Instant, u64, Key)>,
    writings: u64,
    /// When a place that was not old was last forgotten for want of room.
    forgot_at: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    parked: Parked,
    written: Instant,
    writing: u64,
}

impl Whereabouts {
    /// Remembers places for as long as events are kept, and a little longer; those of requests in the URL for a time of
    /// their own.
    pub fn new(window: Duration, keeps_requests: Duration) -> Self {
        Self {
            keeps: window + LONGER,
            keeps_requests,
            places: HashMap::new(),
            order: VecDeque::new(),
            writings: 0,
            forgot_at: None,
        }
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
        self.writings += 1;
        self.order.push_back((now, self.writings, key.clone()));
        self.places.insert(key, Known { parked, written: now, writing: self.writings });
        let keeps = self.keeps;
        while let Some((at, writing, key)) =
            self.order.pop_front_if(|(at, _, _)| *at + keeps < now || self.places.len() > MAX_PLACES)
        {
            if is_current(&self.places, &key, writing) {
                self.places.remove(&key);
                if at + keeps >= now {
                    self.forgot_at = Some(now);
                }
            }
        }
        // However often the same places are written, they cost no more.
        if self.order.len() > MAX_REWRITTEN + 2 * self.places.len() {
            self.order.retain(|(_, writing, key)| is_current(&self.places, key, *writing));
        }
    }

    /// Where these stood; those that are not known are left out, unless they may have been forgotten too early.
    pub fn recall(
        &self,
        owner: &Owner,
        ids: &[SubscriptionId],
        now: Instant,
    ) -> Vec<(SubscriptionId, Parked)> {
        // As old as can be, so that whatever the shared memory knows counts.
        let forgotten = self.forgot_at.filter(|at| *at + self.keeps >= now);
        let at = now.checked_sub(self.keeps).unwrap_or(now);
        let lost = forgotten.map(|_| Parked { position: Position::Lost, at });
        let known = ids.iter().filter_map(|id| {
            let parked = self.known(&(owner.clone(), id.clone()), now).or(lost.as_ref())?;
            Some((id.clone(), parked.clone()))
        });
        known.collect()
    }
}

/// Whether a place has not been written since this writing.
fn is_current(places: &HashMap<Key, Known>, key: &Key, writing: u64) -> bool {
    places.get(key).is_some_and(|known| known.writing == writing)
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
    fn places_that_are_written_over_and_over_cost_no_more() {
        let start = Instant::now();
        let mut here = Whereabouts::new(WINDOW, SHORT);
        for number in 0..10_000 {
            let place = Place { position: Position::Beginning, at: None };
            here.remember(
                (owner(), format!("s{}", number % 10).as_str().into()),
                Some(place),
                start + SAME * number,
            );
        }
        assert!(here.order.len() <= MAX_REWRITTEN + 2 * 10 + 1, "{}", here.order.len());
        for _ in 0..10_000 {
            let place = Place { position: Position::Beginning, at: None };
            here.remember((owner(), "s3".into()), Some(place), start + SAME * 9_999);
        }
        assert!(here.order.len() <= MAX_REWRITTEN + 2 * 10 + 1, "at one moment: {}", here.order.len());
        assert_eq!(here.recall(&owner(), &["s3".into()], start + SAME * 10_000).len(), 1);
    }

    #[test]
    fn nobody_is_taken_for_new_whose_place_had_to_make_room() {
        let start = Instant::now();
        let mut here = Whereabouts::new(WINDOW, SHORT);
        let place = |event: &str| Some(Place { position: after(event), at: None });
        here.remember((owner(), "first".into()), place("e"), start);
        assert!(here.recall(&owner(), &["new".into()], start).is_empty());
        for number in 0..MAX_PLACES {
            here.remember((owner(), number.to_string().as_str().into()), place("e"), start + SAME);
        }
        let mut found = here.recall(&owner(), &["first".into()], start + SAME);
        assert_eq!(found.iter().map(|(_, parked)| &parked.position).next(), Some(&Position::Lost));
        merge(&mut found, &"first".into(), after("there"), WINDOW, start + SAME);
        assert_eq!(found.iter().map(|(_, parked)| &parked.position).next(), Some(&after("there")));
        let later = start + SAME + WINDOW + LONGER + SAME;
        assert!(here.recall(&owner(), &["first".into()], later).is_empty());
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
