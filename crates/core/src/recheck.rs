//! Users who are being read again, and changes that overtake a look-up.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::event::Event;
use crate::id::{ConnectionId, ProjectId, UserId};
use crate::replay::Mark;

/// An event kept back.
#[derive(Debug, Clone)]
pub(crate) struct Withheld {
    pub(crate) event: Arc<Event>,
    pub(crate) mark: Mark,
    /// The connections that got it already.
    pub(crate) met: SmallVec<[ConnectionId; 2]>,
}

/// Events kept back, in order.
pub(crate) type Held = Vec<Withheld>;

/// A user who is being read again.
#[derive(Debug, Default)]
pub(crate) struct Recheck {
    /// Its connections that wait, each with how many events had been held when it began to. None is left when all have
    /// closed, or became somebody else, before the answer came.
    pub(crate) connections: SmallVec<[(ConnectionId, usize); 2]>,
    /// Events of the project since, and who got each already under the old roles.
    pub(crate) held: Held,
    /// The roles changed once more meanwhile, so the answer under way is already old.
    pub(crate) again: bool,
    /// Whether the question under way is asked until it is answered.
    pub(crate) is_awaited: bool,
    /// Whether the answer is for all that the user is concerned with, those that do not wait too.
    pub(crate) is_for_all: bool,
}

/// Which users' roles changed while look-ups were under way, so that no answer read before a change is believed.
///
/// A change is remembered for as long as a look-up that began before it is under way, and no longer.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    count: u64,
    /// The look-ups under way, by the count when they began.
    look_ups: BTreeMap<u64, usize>,
    /// The last change of each user, by its count.
    users: HashMap<(ProjectId, UserId), u64>,
    /// The changes in order.
    order: VecDeque<(u64, (ProjectId, UserId))>,
}

impl Changes {
    /// A look-up begins. The count to give to [`Self::changed_since`] and [`Self::end`] when it is answered.
    pub(crate) fn begin(&mut self) -> u64 {
        *self.look_ups.entry(self.count).or_default() += 1;
        self.count
    }

    /// A look-up that began at this count was answered or given up.
    pub(crate) fn end(&mut self, asked_at: u64) {
        if let Some(under_way) = self.look_ups.get_mut(&asked_at) {
            *under_way -= 1;
            if *under_way == 0 {
                self.look_ups.remove(&asked_at);
            }
        }
        let oldest = self.look_ups.keys().next().copied().unwrap_or(self.count);
        while let Some((count, key)) = self.order.pop_front_if(|(count, _)| *count <= oldest) {
            if self.users.get(&key) == Some(&count) {
                self.users.remove(&key);
            }
        }
    }

    pub(crate) fn note(&mut self, key: &(ProjectId, UserId)) {
        self.count += 1;
        if !self.look_ups.is_empty() {
            self.users.insert(key.clone(), self.count);
            self.order.push_back((self.count, key.clone()));
        }
    }

    pub(crate) fn changed_since(&self, key: &(ProjectId, UserId), asked_at: u64) -> bool {
        self.users.get(key).is_some_and(|changed| *changed > asked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(user: &str) -> (ProjectId, UserId) {
        ("p".into(), user.into())
    }

    #[test]
    fn a_change_is_seen_by_look_ups_that_began_before_it_alone() {
        let mut changes = Changes::default();
        let early = changes.begin();
        changes.note(&key("ann"));
        let late = changes.begin();
        assert!(changes.changed_since(&key("ann"), early));
        assert!(!changes.changed_since(&key("ann"), late));
        assert!(!changes.changed_since(&key("bob"), early));
    }

    #[test]
    fn changes_are_forgotten_though_there_is_always_a_look_up_under_way() {
        let mut changes = Changes::default();
        let mut under_way = changes.begin();
        for number in 0..1_000 {
            changes.note(&key(&format!("u{}", number % 100)));
            let next = changes.begin();
            assert!(changes.changed_since(&key(&format!("u{}", number % 100)), under_way));
            changes.end(under_way);
            under_way = next;
        }
        assert!(changes.users.len() <= 1 && changes.order.len() <= 1, "{changes:?}");
    }
}
