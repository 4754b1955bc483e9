//! Roles as small numbers, each kept for as long as a connection holds it.

use std::collections::HashMap;

use foldhash::quality::FixedState;
use smallvec::SmallVec;

use crate::role::Role;

/// A number that stands for a role inside one project.
pub(super) type Term = u32;

/// The roles that connections of one project hold at the moment.
#[derive(Debug)]
pub(super) struct Terms {
    numbers: HashMap<Role, Term, FixedState>,
    holds: Vec<Option<(Role, u32)>>,
    free: Vec<Term>,
}

impl Terms {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self { numbers: HashMap::with_hasher(hasher), holds: Vec::new(), free: Vec::new() }
    }

    /// The number of a role that somebody holds.
    pub(super) fn find(&self, role: &Role) -> Option<Term> {
        self.numbers.get(role).copied()
    }

    /// The role behind a number.
    pub(super) fn role(&self, term: Term) -> Option<&Role> {
        self.holds.get(term as usize)?.as_ref().map(|(role, _)| role)
    }

    /// The numbers of these roles, without duplicates; one hold is taken on each.
    pub(super) fn hold(&mut self, roles: &[Role]) -> SmallVec<[Term; 6]> {
        let mut terms: SmallVec<[Term; 6]> = SmallVec::with_capacity(roles.len());
        for role in roles {
            let term = self.find(role).unwrap_or_else(|| self.add(role.clone()));
            if terms.contains(&term) {
                continue;
            }
            if let Some(Some((_, holds))) = self.holds.get_mut(term as usize) {
                *holds += 1;
            }
            terms.push(term);
        }
        terms
    }

    /// Gives one hold on each back.
    pub(super) fn release(&mut self, terms: &[Term]) {
        for term in terms {
            let Some(place) = self.holds.get_mut(*term as usize) else { continue };
            let Some((role, holds)) = place else { continue };
            *holds -= 1;
            if *holds == 0 {
                self.numbers.remove(role);
                *place = None;
                self.free.push(*term);
            }
        }
    }

    fn add(&mut self, role: Role) -> Term {
        let held = Some((role.clone(), 0));
        let term = match self.free.pop() {
            Some(term) => {
                if let Some(place) = self.holds.get_mut(term as usize) {
                    *place = held;
                }
                term
            }
            None => {
                self.holds.push(held);
                self.holds.len() as Term - 1
            }
        };
        self.numbers.insert(role, term);
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
        assert!(terms.holds.len() <= 2);
    }
}
