//! P4: `connected` comes before any event, and the events of a subscription in the order in which the bus gave them.

use std::collections::{BTreeMap, BTreeSet};

use super::Property;
use crate::model::{Heard, LinkId, Model, Seen};

/// How far each subscription of each link has got.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    connected: BTreeSet<LinkId>,
    /// The place of the last event.
    last: BTreeMap<(LinkId, String), usize>,
}

impl Property for Ordered {
    fn name(&self) -> &'static str {
        "ordered"
    }

    fn see(&mut self, seen: &Seen<'_>, truth: &Model) -> Result<(), String> {
        let Seen::Heard(link, heard) = seen else { return Ok(()) };
        let client = truth.visits.get(*link).map(|visit| visit.client).unwrap_or_default();
        match heard {
            Heard::Connected(_) => drop(self.connected.insert(*link)),
            // It may go on from an earlier place now.
            Heard::Subscribed(items) => {
                for (name, _) in items {
                    self.last.remove(&(*link, name.clone()));
                }
            }
            Heard::Event(event, subscriptions) => {
                if !self.connected.contains(link) {
                    return Err(format!("client {client} got e{event} before `connected`"));
                }
                for name in subscriptions {
                    let last = self.last.entry((*link, name.clone())).or_default();
                    match truth.place_after(*link, *event, *last) {
                        Some(place) => *last = place,
                        None => {
                            return Err(format!("client {client} got e{event} for {name} out of order"));
                        }
                    }
                }
            }
            Heard::Gap | Heard::Refused(_) | Heard::Ping | Heard::Close(_) | Heard::Other => {}
        }
        Ok(())
    }
}
