//! The peer: Appwrite's way to find receivers, which walks every role of the project and asks it for each channel.

use std::collections::HashMap;

use foldhash::quality::RandomState;
use realtime_core::channel::Channel;
use realtime_core::event::Event;
use realtime_core::id::{ConnectionId, SubscriptionId};
use realtime_core::role::Role;

use super::population::Population;

type Subscribers = HashMap<ConnectionId, Vec<SubscriptionId>, RandomState>;

/// Role → channel → connection → subscriptions, as Appwrite's `Realtime` adapter keeps them for one project.
pub(super) struct Scan {
    roles: HashMap<Role, HashMap<Channel, Subscribers, RandomState>, RandomState>,
}

impl Scan {
    pub(super) fn of(population: &Population) -> Self {
        let mut this = Self { roles: HashMap::default() };
        for member in population.members() {
            for role in member.roles {
                let channels = this.roles.entry(role.clone()).or_default();
                for subscription in &member.subscriptions {
                    for channel in &subscription.channels {
                        let subscribers = channels.entry(channel.clone()).or_default();
                        subscribers.entry(member.connection).or_default().push(subscription.id.clone());
                    }
                }
            }
        }
        this
    }

    pub(super) fn receivers(&self, event: &Event) -> Subscribers {
        let mut found = Subscribers::default();
        for (role, channels) in &self.roles {
            for channel in &event.channels {
                let Some(subscribers) = channels.get(channel) else { continue };
                if !event.is_for_all() && !event.roles.contains(role) {
                    continue;
                }
                for (connection, subscriptions) in subscribers {
                    let known = found.entry(*connection).or_default();
                    for subscription in subscriptions {
                        if !known.contains(subscription) {
                            known.push(subscription.clone());
                        }
                    }
                }
            }
        }
        found
    }
}
