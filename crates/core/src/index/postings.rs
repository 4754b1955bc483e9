//! A set of small numbers that is walked often and changed sometimes.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

/// From this many members on, removal looks a member's place up instead of searching for it.
const SEARCH_LIMIT: usize = 32;

/// Members in a dense list, for walking; places by member, for removal from long lists.
#[derive(Debug, Default)]
pub(super) struct Postings {
    members: SmallVec<[u32; 4]>,
    #[expect(
        clippy::box_collection,
        reason = "most lists are short; a table in place would be six words for each"
    )]
    places: Option<Box<HashMap<u32, u32, FixedState>>>,
}

impl Postings {
    /// Adds a member that is not in yet.
    pub(super) fn insert(&mut self, member: u32) {
        debug_assert!(!self.members.contains(&member) || self.members.len() > SEARCH_LIMIT);
        let place = self.members.len();
        self.members.push(member);
        match &mut self.places {
            Some(places) => {
                places.insert(member, place as u32);
            }
            None if self.members.len() > SEARCH_LIMIT => {
                self.places =
                    Some(Box::new(self.members.iter().enumerate().map(|(at, m)| (*m, at as u32)).collect()));
            }
            None => {}
        }
    }

    /// Removes a member, if it is in.
    pub(super) fn remove(&mut self, member: u32) {
        let place = match &mut self.places {
            Some(places) => places.remove(&member).map(|place| place as usize),
            None => self.members.iter().position(|m| *m == member),
        };
        let Some(place) = place else { return };
        self.members.swap_remove(place);
        if let Some(places) = &mut self.places {
            if let Some(moved) = self.members.get(place) {
                places.insert(*moved, place as u32);
            }
            if self.members.len() <= SEARCH_LIMIT / 2 {
                self.places = None;
                self.members.shrink_to_fit();
            }
        }
    }

    pub(super) fn contains(&self, member: u32) -> bool {
        match &self.places {
            Some(places) => places.contains_key(&member),
            None => self.members.contains(&member),
        }
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        &self.members
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn postings_hold_what_a_plain_set_holds(steps in prop::collection::vec((any::<bool>(), 0u32..80), 0..400)) {
            let mut postings = Postings::default();
            let mut model = BTreeSet::new();
            for (insert, member) in steps {
                if insert {
                    if model.insert(member) {
                        postings.insert(member);
                    }
                } else {
                    model.remove(&member);
                    postings.remove(member);
                }
                prop_assert_eq!(postings.as_slice().iter().copied().collect::<BTreeSet<_>>(), model.clone());
                prop_assert_eq!(postings.len(), model.len());
                prop_assert_eq!(postings.contains(member), insert);
            }
        }
    }
}
