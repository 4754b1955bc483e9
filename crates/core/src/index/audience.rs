//! The subscriptions on one channel, split by role and by what their queries ask for once there are many.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::CROWD;
use super::postings::Postings;
use super::term::Term;
use super::values::Values;
use crate::query::{Filter, Fingerprints, Payload};

/// Everyone on a channel.
#[derive(Debug, Default)]
pub(super) struct Audience {
    all: Postings,
    split: Option<Box<Split>>,
}

/// What there is only of a crowd.
#[derive(Debug, Default)]
struct Split {
    /// By those of their roles that a crowd subscribes under.
    by_role: HashMap<Term, Postings, FixedState>,
    /// Only if queries are asked at all.
    by_value: Option<Values>,
}

/// What a subscription is split by.
#[derive(Debug)]
pub(super) struct Traits<'a> {
    /// Roles that a crowd subscribes under.
    pub(super) crowded: SmallVec<[Term; 6]>,
    pub(super) filter: &'a Filter,
}

/// Who may be meant by an event.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    pub(super) lists: SmallVec<[&'a [u32]; 4]>,
    /// Whether they were found by their role, which then need not be asked for.
    pub(super) by_role: bool,
}

impl Audience {
    /// Adds a subscription. `traits_of` tells those of any subscription, for the moment of the split; after it, roles come
    /// and go with [`Self::add_role`] and [`Self::remove_role`].
    pub(super) fn insert<'a>(
        &mut self,
        subscription: u32,
        filter: &Filter,
        fingerprints: &Fingerprints,
        traits_of: impl Fn(u32) -> Option<Traits<'a>>,
    ) {
        self.all.insert(subscription);
        let everyone =
            || self.all.as_slice().iter().filter_map(|member| Some((*member, traits_of(*member)?)));
        let mut asks = filter.has_equality();
        if self.split.is_none() && self.all.len() > CROWD {
            let mut split = Split::default();
            for (member, traits) in everyone() {
                for role in traits.crowded {
                    split.by_role.entry(role).or_default().insert(member);
                }
                asks |= traits.filter.has_equality();
            }
            self.split = Some(Box::new(split));
        }
        let Some(split) = &mut self.split else { return };
        match &mut split.by_value {
            Some(by_value) => by_value.insert(subscription, filter, fingerprints),
            None if asks => {
                let by_value = split.by_value.insert(Values::default());
                for (member, traits) in everyone() {
                    by_value.insert(member, traits.filter, fingerprints);
                }
            }
            None => {}
        }
    }

    /// Removes a subscription with this filter, whose roles have been removed.
    pub(super) fn remove(&mut self, subscription: u32, filter: &Filter, fingerprints: &Fingerprints) {
        self.all.remove(subscription);
        if self.all.len() < CROWD / 2 {
            self.split = None;
        }
        let Some(split) = &mut self.split else { return };
        if let Some(by_value) = &mut split.by_value {
            by_value.remove(subscription, filter, fingerprints);
            if by_value.is_pointless() {
                split.by_value = None;
            }
        }
    }

    /// From now on the subscription is found by this role.
    pub(super) fn add_role(&mut self, subscription: u32, role: Term) {
        if let Some(split) = &mut self.split {
            split.by_role.entry(role).or_default().insert(subscription);
        }
    }

    /// From now on it is not.
    pub(super) fn remove_role(&mut self, subscription: u32, role: Term) {
        let Some(split) = &mut self.split else { return };
        let Some(postings) = split.by_role.get_mut(&role) else { return };
        postings.remove(subscription);
        if postings.is_empty() {
            split.by_role.remove(&role);
        }
    }

    /// Those who may be meant by an event about this payload, for these crowded roles or for everybody: by their role or
    /// by what they ask for, whichever are fewer.
    pub(super) fn candidates(
        &self,
        roles: Option<&[Term]>,
        payload: &Payload,
        fingerprints: &Fingerprints,
    ) -> Candidates<'_> {
        let everyone = || SmallVec::from_iter([self.all.as_slice()]);
        let Some(split) = &self.split else { return Candidates { lists: everyone(), by_role: false } };
        let by_role: SmallVec<[&[u32]; 4]> = match roles {
            Some(roles) => {
                roles.iter().filter_map(|role| split.by_role.get(role)).map(Postings::as_slice).collect()
            }
            None => everyone(),
        };
        if let Some(by_value) = &split.by_value
            && count(&by_role) > FEW + by_value.lookups()
        {
            let by_value = by_value.candidates(payload, fingerprints);
            if count(&by_value) < count(&by_role) {
                return Candidates { lists: by_value, by_role: false };
            }
        }
        Candidates { lists: by_role, by_role: true }
    }

    /// Whether a subscription is on the channel.
    pub(super) fn contains(&self, subscription: u32) -> bool {
        self.all.contains(subscription)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// So many candidates are asked sooner than the payload is opened for what it says.
const FEW: usize = if cfg!(test) { 1 } else { 4 };

fn count(lists: &[&[u32]]) -> usize {
    lists.iter().map(|list| list.len()).sum()
}
