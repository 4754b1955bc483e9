//! P1: an event reaches a client only if it asked for it and may see it, by roles no older than the last change that its
//! engine had been told of.

use super::Property;
use crate::model::{Heard, Model, Seen};

/// Looks at every event that a client reads off its link.
#[derive(Debug)]
pub(super) struct Authorized;

impl Property for Authorized {
    fn name(&self) -> &'static str {
        "authorized"
    }

    fn see(&mut self, seen: &Seen<'_>, truth: &Model) -> Result<(), String> {
        let Seen::Heard(link, Heard::Event(event, subscriptions)) = seen else { return Ok(()) };
        let Some(visit) = truth.visits.get(*link) else { return Err("an event came on no link".to_owned()) };
        let client = visit.client;
        let came_from_bus = truth.feeds.get(&visit.shard).is_some_and(|feed| feed.place(*event).is_some());
        if !came_from_bus {
            return Err(format!("client {client} got e{event}, which its engine was never given"));
        }
        for name in subscriptions {
            let Some(interest) = truth.interest(client, name) else {
                return Err(format!(
                    "client {client} got e{event} for {name}, which is no subscription of it"
                ));
            };
            if !truth.concerns(client, interest, *event) {
                return Err(format!("client {client} got e{event} for {name}, which is not about it"));
            }
        }
        let from = truth.roles_since(visit, *event);
        let as_guest = truth.is_guest_at_first(client)
            && truth
                .events
                .get(*event)
                .is_some_and(|event| event.audience == crate::workload::Audience::Guests);
        if subscriptions.is_empty() || (!as_guest && !truth.might_see(client, *event, from, truth.now)) {
            return Err(format!("client {client} got e{event}, which it might not see"));
        }
        Ok(())
    }
}
