//! The subscriptions on one channel by the value that their queries ask for.
//!
//! A subscription whose queries all hold only if an attribute equals one of some values is looked at only for an event
//! with such a value. It is a candidate then and no more: its queries are asked in full.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::postings::Postings;
use crate::query::{Filter, Fingerprint, Fingerprints, Payload};

/// Subscriptions by value, and those that no value is needed for.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// Those that any payload may satisfy.
    open: Postings,
    /// How many are under an attribute.
    keyed: usize,
    attributes: BTreeMap<Box<str>, HashMap<Fingerprint, Postings, FixedState>>,
}

impl Values {
    /// Adds a subscription with this filter: under the attribute where it has least company.
    pub(super) fn insert(&mut self, subscription: u32, filter: &Filter, fingerprints: &Fingerprints) {
        let least = filter.equalities(fingerprints).min_by_key(|(attribute, values)| {
            values.iter().map(|value| self.len(attribute, *value)).sum::<usize>()
        });
        let Some((attribute, values)) = least else {
            self.open.insert(subscription);
            return;
        };
        self.keyed += 1;
        if values.is_empty() {
            // Nothing equals one of no values, so there is no event to find it by.
            return;
        }
        let by_value = match self.attributes.get_mut(attribute) {
            Some(by_value) => by_value,
            None => self.attributes.entry(attribute.into()).or_default(),
        };
        for value in values {
            by_value.entry(value).or_default().insert(subscription);
        }
    }

    /// Removes a subscription with this filter.
    pub(super) fn remove(&mut self, subscription: u32, filter: &Filter, fingerprints: &Fingerprints) {
        let mut is_keyed = false;
        for (attribute, values) in filter.equalities(fingerprints) {
            is_keyed = true;
            let Some(by_value) = self.attributes.get_mut(attribute) else { continue };
            for value in values {
                let Some(postings) = by_value.get_mut(&value) else { continue };
                postings.remove(subscription);
                if postings.is_empty() {
                    by_value.remove(&value);
                }
            }
            if by_value.is_empty() {
                self.attributes.remove(attribute);
            }
        }
        if is_keyed {
            self.keyed -= 1;
        } else {
            self.open.remove(subscription);
        }
    }

    /// Whether no subscription is under an attribute, so that nothing is to be gained here.
    pub(super) fn is_pointless(&self) -> bool {
        self.keyed == 0
    }

    /// How many attributes have to be looked up in a payload.
    pub(super) fn lookups(&self) -> usize {
        self.attributes.len()
    }

    /// All that the payload may satisfy.
    pub(super) fn candidates<'a>(
        &'a self,
        payload: &Payload,
        fingerprints: &Fingerprints,
    ) -> SmallVec<[&'a [u32]; 4]> {
        let mut lists = SmallVec::new();
        lists.push(self.open.as_slice());
        for (attribute, by_value) in &self.attributes {
            let value = payload.attribute(attribute).and_then(|value| fingerprints.of(value));
            if let Some(postings) = value.and_then(|value| by_value.get(&value)) {
                lists.push(postings.as_slice());
            }
        }
        lists
    }

    fn len(&self, attribute: &str, value: Fingerprint) -> usize {
        self.attributes.get(attribute).and_then(|by_value| by_value.get(&value)).map_or(0, Postings::len)
    }
}
