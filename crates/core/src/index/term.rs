//! Roles as small numbers, each kept for as long as a connection holds it, and the subscriptions of those who hold it.

use std::collections::HashMap;

use foldhash::quality::FixedState;
use smallvec::SmallVec;

use super::CROWD;
use crate::role::Role;

/// A number that stands for a role inside one project.
pub(super) type Term = u32;

/// The subscriptions of those who hold a role; `None` if they are a crowd, which is found by channel and role.
pub(super) type Few<'a> = Option<&'a [u32]>;

/// The roles that connections of one project hold at the moment.
#[derive(Debug)]
pub(super) struct Terms {
    known: HashMap<Role, Known, FixedState>,
    held: Vec<Option<Held>>,
    free: Vec<Term>,
}

/// What an event has to know of a role, found by its name in one step.
#[derive(Debug)]
struct Known {
    term: Term,
    /// What its holders subscribe to; `None` once that was a crowd, for as long as anybody holds the role.
    few: Option<SmallVec<[u32; 4]>>,
}

/// A role that somebody holds.
#[derive(Debug)]
struct Held {
    role: Role,
    /// By how many connections.
    holds: u32,
}

impl Terms {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self { known: HashMap::with_hasher(hasher), held: Vec::new(), free: Vec::new() }
    }

    /// The number of a role that somebody holds.
    pub(super) fn find(&self, role: &Role) -> Option<Term> {
        Some(self.known.get(role)?.term)
    }

    /// The same, and who listens.
    pub(super) fn look_up(&self, role: &Role) -> Option<(Term, Few<'_>)> {
        let known = self.known.get(role)?;
        Some((known.term, known.few.as_deref()))
    }

    /// The role behind a number.
    pub(super) fn role(&self, term: Term) -> Option<&Role> {
        Some(&self.held(term)?.role)
    }

    /// Whether those who hold a role subscribe to so much that they are found by channel and role.
    pub(super) fn is_crowd(&self, term: Term) -> bool {
        let known = self.held(term).and_then(|held| self.known.get(&held.role));
        known.is_some_and(|known| known.few.is_none())
    }

    /// The numbers of these roles, without duplicates; one hold is taken on each.
    pub(super) fn hold(&mut self, roles: &[Role]) -> SmallVec<[Term; 6]> {
        let mut terms: SmallVec<[Term; 6]> = SmallVec::with_capacity(roles.len());
        for role in roles {
            let term = self.find(role).unwrap_or_else(|| self.add(role.clone()));
            if terms.contains(&term) {
                continue;
            }
            if let Some(held) = self.held_mut(term) {
                held.holds += 1;
            }
            terms.push(term);
        }
        terms
    }

    /// Gives one hold on each back.
    pub(super) fn release(&mut self, terms: &[Term]) {
        for term in terms {
            let Some(place) = self.held.get_mut(*term as usize) else { continue };
            let Some(held) = place else { continue };
            held.holds -= 1;
            if held.holds == 0 {
                self.known.remove(&held.role);
                *place = None;
                self.free.push(*term);
            }
        }
    }

    /// Adds a subscription of somebody who holds the role. Those that are to be found by channel and role from now on
    /// are returned.
    pub(super) fn join(&mut self, term: Term, subscription: u32) -> SmallVec<[u32; 4]> {
        let Some(known) = self.known_mut(term) else { return SmallVec::new() };
        let Some(few) = &mut known.few else { return SmallVec::from_iter([subscription]) };
        few.push(subscription);
        if few.len() > CROWD { known.few.take().unwrap_or_default() } else { SmallVec::new() }
    }

    /// Removes one. Whether it was one of few; of a crowd, the channels have to forget it.
    pub(super) fn part(&mut self, term: Term, subscription: u32) -> bool {
        let Some(few) = self.known_mut(term).and_then(|known| known.few.as_mut()) else { return false };
        if let Some(place) = few.iter().position(|other| *other == subscription) {
            few.swap_remove(place);
        }
        true
    }

    fn known_mut(&mut self, term: Term) -> Option<&mut Known> {
        let held = self.held.get(term as usize)?.as_ref()?;
        self.known.get_mut(&held.role)
    }

    fn held(&self, term: Term) -> Option<&Held> {
        self.held.get(term as usize)?.as_ref()
    }

    fn held_mut(&mut self, term: Term) -> Option<&mut Held> {
        self.held.get_mut(term as usize)?.as_mut()
    }

    fn add(&mut self, role: Role) -> Term {
        let held = Some(Held { role: role.clone(), holds: 0 });
        let term = match self.free.pop() {
            Some(term) => {
                if let Some(place) = self.held.get_mut(term as usize) {
                    *place = held;
                }
                term
            }
            None => {
                self.held.push(held);
                self.held.len() as Term - 1
            }
        };
        self.known.insert(role, Known { term, few: Some(SmallVec::new()) });
        term
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_forgotten_when_its_last_holder_lets_go() {
        let mut terms = Terms::new(FixedState::with_seed(1));
        let first = terms.hold(&[Role::users(), Role::users(), Role::guests()]);
        let second = terms.hold(&[Role::users()]);
        assert_eq!(first.len(), 2, "a role named twice is held once");
        terms.release(&first);
        assert!(terms.find(&Role::users()).is_some());
        assert!(terms.find(&Role::guests()).is_none());
        terms.release(&second);
        assert!(terms.find(&Role::users()).is_none());
        assert_eq!(terms.hold(&[Role::any()]).len(), 1, "numbers are used again");
        assert!(terms.held.len() <= 2);
    }

    #[test]
    fn a_crowd_is_handed_over_once_and_its_newcomers_after_it() {
        let mut terms = Terms::new(FixedState::with_seed(1));
        let held = terms.hold(&[Role::users()]);
        let Some(term) = held.first().copied() else { return };
        let crowd = CROWD as u32;
        assert!((0..crowd).all(|number| terms.join(term, number).is_empty()));
        assert!(terms.part(term, 0));
        assert_eq!(
            terms.look_up(&Role::users()).map(|(_, few)| few.map(<[u32]>::len)),
            Some(Some(CROWD - 1))
        );
        assert!(terms.join(term, 0).is_empty());
        assert_eq!(terms.join(term, crowd).len(), CROWD + 1);
        assert_eq!(terms.join(term, crowd + 1).as_slice(), [crowd + 1]);
        assert_eq!(terms.look_up(&Role::users()), Some((term, None)));
        assert!(!terms.part(term, crowd + 1), "which only its channels know");
        terms.release(&held);
        let held = terms.hold(&[Role::users()]);
        assert_eq!(held.len(), 1);
        let few = terms.look_up(&Role::users()).and_then(|(_, few)| few);
        assert_eq!(few, Some(&[][..]), "forgotten with its last holder");
    }
}
