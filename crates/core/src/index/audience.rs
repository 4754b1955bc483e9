//! The subscriptions on one channel, split by role once there are many.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::postings::Postings;
use super::term::Term;

/// A channel with more subscriptions than this is split by role, so that an event for one role does not look at the
/// others; below it, comparing roles one by one costs less than keeping the split.
///
/// Tests split early, so that small cases reach both ways.
const CROWD: usize = if cfg!(test) { 4 } else { 48 };

/// Everyone on a channel.
#[derive(Debug, Default)]
pub(super) struct Audience {
    all: Postings,
    #[expect(
        clippy::box_collection,
        reason = "most channels are never split; a table in place would be six words for each"
    )]
    by_role: Option<Box<HashMap<Term, Postings, FixedState>>>,
}

impl Audience {
    /// Adds a subscription. `roles_of` tells the roles of any subscription, for the moment of the split.
    pub(super) fn insert<'a>(
        &mut self,
        subscription: u32,
        roles: &[Term],
        roles_of: impl Fn(u32) -> Option<&'a [Term]>,
    ) {
        self.all.insert(subscription);
        match &mut self.by_role {
            Some(by_role) => add(by_role, subscription, roles),
            None if self.all.len() > CROWD => {
                let mut by_role = Box::default();
                for member in self.all.as_slice() {
                    add(&mut by_role, *member, roles_of(*member).unwrap_or_default());
                }
                self.by_role = Some(by_role);
            }
            None => {}
        }
    }

    /// Removes a subscription that has these roles.
    pub(super) fn remove(&mut self, subscription: u32, roles: &[Term]) {
        self.all.remove(subscription);
        self.remove_roles(subscription, roles);
        if self.all.len() < CROWD / 2 {
            self.by_role = None;
        }
    }

    /// Follows a subscription from its old roles to its new ones.
    pub(super) fn swap_roles(&mut self, subscription: u32, old: &[Term], new: &[Term]) {
        self.remove_roles(subscription, old);
        if let Some(by_role) = &mut self.by_role {
            add(by_role, subscription, new);
        }
    }

    /// Everyone on the channel.
    pub(super) fn all(&self) -> &[u32] {
        self.all.as_slice()
    }

    /// Those on a split channel that have the role; `None` if the channel is not split.
    pub(super) fn with_role(&self, role: Term) -> Option<&[u32]> {
        let by_role = self.by_role.as_ref()?;
        Some(by_role.get(&role).map_or(&[], Postings::as_slice))
    }

    /// Whether [`Self::with_role`] has answers.
    pub(super) fn is_split(&self) -> bool {
        self.by_role.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn remove_roles(&mut self, subscription: u32, roles: &[Term]) {
        let Some(by_role) = &mut self.by_role else { return };
        for role in roles {
            if let Some(postings) = by_role.get_mut(role) {
                postings.remove(subscription);
                if postings.is_empty() {
                    by_role.remove(role);
                }
            }
        }
    }
}

fn add(by_role: &mut HashMap<Term, Postings, FixedState>, subscription: u32, roles: &[Term]) {
    for role in roles {
        by_role.entry(*role).or_default().insert(subscription);
    }
}
