//! Nobody is sent away for good, and everybody is back soon after everything is in order again.

use std::collections::BTreeSet;

use super::Property;
use crate::model::{Model, Seen, Told};
use crate::workload::Kind;

/// Which subscriptions are over.
#[derive(Debug, Default)]
pub(super) struct Returned {
    ended: BTreeSet<(usize, String)>,
}

impl Returned {
    /// Whether a client has somebody to listen for. Official SDKs are there also for nobody.
    fn has_reason(&self, client: usize, truth: &Model) -> bool {
        let names = truth.names.keys().filter(|(of, _)| *of == client);
        truth.kind_of(client) != Kind::Session || names.clone().any(|name| !self.ended.contains(name))
    }
}

impl Property for Returned {
    fn name(&self) -> &'static str {
        "returned"
    }

    fn see(&mut self, seen: &Seen<'_>, _truth: &Model) -> Result<(), String> {
        let Seen::Told(client, told) = seen else { return Ok(()) };
        match told {
            Told::Stopped => return Err(format!("client {client} was sent away for good")),
            Told::Ended(name) => drop(self.ended.insert((*client, name.clone()))),
            Told::Listens(_) | Told::Recovered(_) | Told::Doubt(_) | Told::Event(..) => {}
        }
        Ok(())
    }

    fn settle(&mut self, truth: &Model) -> Result<(), String> {
        for client in 0..truth.setting.clients.len() {
            let is_here = truth.visits.iter().any(|visit| visit.client == client && visit.left_at.is_none());
            if !is_here && self.has_reason(client, truth) {
                return Err(format!("client {client} is not back though everything is in order"));
            }
        }
        Ok(())
    }
}
