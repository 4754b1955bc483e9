//! What one node remembers of where subscriptions stood, and how it takes what a memory that all nodes share says.

use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use hashlink::LinkedHashMap;

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

/// Places that there may be room for though they are not there.
const ROOM: usize = 16 * 1_024;

/// A subscription, whoever's it is.
pub type Key = (Owner, SubscriptionId);

/// The places that one node knows of.
#[derive(Debug)]
pub struct Whereabouts {
    keeps: Duration,
    keeps_requests: Duration,
    /// In the order in which they were last written.
    places: LinkedHashMap<Key, Known, RandomState>,
    /// When a place that was not old was last forgotten for want of room.
    forgot_at: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    parked: Parked,
    /// When it stood there.
    taken: Instant,
    /// When that was last written.
    written: Instant,
}

impl Whereabouts {
    /// Remembers places for as long as events are kept, and a little longer; those of requests in the URL for a time of
    /// their own.
    pub fn new(window: Duration, keeps_requests: Duration) -> Self {
        Self {
            keeps: window + LONGER,
            keeps_requests,
            places: LinkedHashMap::with_hasher(RandomState::default()),
            forgot_at: None,
        }
    }

    /// For how long a place is remembered.
    pub fn keeps(&self) -> Duration {
        self.keeps
    }

    fn known(&self, key: &Key, now: Instant) -> Option<&Known> {
        let keeps = if key.1.is_of_request() { self.keeps_requests } else { self.keeps };
        self.places.get(key).filter(|known| known.written + keeps >= now)
    }

    /// Remembers where a subscription stands; `None` is to be forgotten. Gives what others are to know of it.
    ///
    /// Several may have asked for the same in a URL. Whoever was cut off first has missed most: where that one stood stands
    /// for all who are cut off before it would be forgotten, and is kept for as long after each of them.
    pub fn remember(&mut self, key: Key, place: Option<Place>, now: Instant) -> Option<Place> {
        let Some(place) = place else {
            self.places.remove(&key);
            self.give_room_back();
            return None;
        };
        let first = self.known(&key, now).filter(|_| key.1.is_of_request());
        let first = first.filter(|known| known.taken + self.keeps_requests >= now);
        let (parked, taken, told) = match first {
            Some(Known { parked, taken, .. }) => {
                (parked.clone(), *taken, Place { position: parked.position.clone(), at: None })
            }
            None => {
                let parked = Parked { position: place.position.clone(), at: place.at.unwrap_or(now) };
                (parked, now, place)
            }
        };
        self.places.insert(key, Known { parked, taken, written: now });
        while let Some((_, oldest)) = self.places.front() {
            let is_old = oldest.written + self.keeps < now;
            if !is_old && self.places.len() <= MAX_PLACES {
                break;
            }
            if !is_old {
                self.forgot_at = Some(now);
            }
            self.places.pop_front();
        }
        self.give_room_back();
        Some(told)
    }

    /// Many clients that were here once need not have room for ever.
    fn give_room_back(&mut self) {
        if self.places.capacity() > ROOM + 4 * self.places.len() {
            self.places.shrink_to_fit();
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
            let known = self.known(&(owner.clone(), id.clone()), now).map(|known| &known.parked);
            Some((id.clone(), known.or(lost.as_ref())?.clone()))
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
    fn a_place_that_is_written_again_is_kept_for_as_long_as_a_new_one() {
        let start = Instant::now();
        let mut here = Whereabouts::new(WINDOW, SHORT);
        let place = || Some(Place { position: after("e1"), at: None });
        here.remember((owner(), "twice".into()), place(), start);
        here.remember((owner(), "once".into()), place(), start);
        here.remember((owner(), "twice".into()), place(), start + WINDOW);
        here.remember((owner(), "other".into()), place(), start + WINDOW + LONGER + SAME);
        let ids = ["once".into(), "twice".into()];
        let known = here.recall(&owner(), &ids, start + WINDOW + LONGER + SAME);
        assert_eq!(known.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["twice"]);
        assert_eq!(here.places.len(), 2, "what is too old makes room");
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
        let cut = |here: &mut Whereabouts, event: &str, at: Instant| {
            let place = Place { position: after(event), at: None };
            here.remember(key.clone(), Some(place), at).map(|place| place.position)
        };
        let stood = |here: &Whereabouts, at: Instant| {
            let found = here.recall(&owner(), std::slice::from_ref(&key.1), at);
            found.into_iter().next().map(|(_, parked)| parked.position)
        };
        assert_eq!(cut(&mut here, "e1", start), Some(after("e1")));
        assert_eq!(stood(&here, start + SHORT), Some(after("e1")));
        assert_eq!(stood(&here, start + SHORT + SAME), None);
        // Cut off again shortly before that, it must not be forgotten before it is back.
        assert_eq!(cut(&mut here, "e2", start + SHORT), Some(after("e1")));
        assert_eq!(stood(&here, start + SHORT + SHORT), Some(after("e1")));
        assert_eq!(
            cut(&mut here, "e3", start + SHORT + SAME),
            Some(after("e3")),
            "it does not go on for ever"
        );
        assert_eq!(stood(&here, start + SHORT + SAME + SHORT), Some(after("e3")));
        assert_eq!(stood(&here, start + SHORT + SAME + SHORT + SAME), None);
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
