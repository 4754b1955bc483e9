//! The floor: what it costs to look an event's names up and do nothing with them.

use std::collections::HashMap;

use foldhash::quality::RandomState;
use realtime_core::channel::Channel;
use realtime_core::event::Event;
use realtime_core::role::Role;

use super::population::Population;

/// Every channel that somebody listens to and every role that somebody holds.
pub(super) struct Lookups {
    channels: HashMap<Channel, u32, RandomState>,
    roles: HashMap<Role, u32, RandomState>,
}

impl Lookups {
    pub(super) fn of(population: &Population) -> Self {
        let mut this = Self { channels: HashMap::default(), roles: HashMap::default() };
        for member in population.members() {
            for channel in member.subscriptions.iter().flat_map(|subscription| &subscription.channels) {
                // A copy of the text, so that the floor's strings are not the ones that the index has just warmed.
                *this.channels.entry(Channel::new(channel.as_str())).or_default() += 1;
            }
            for role in member.roles {
                *this.roles.entry(Role::new(role.as_str())).or_default() += 1;
            }
        }
        this
    }

    pub(super) fn look_up(&self, event: &Event) -> u32 {
        let channels: u32 = event.channels.iter().filter_map(|channel| self.channels.get(channel)).sum();
        let roles: u32 = event.roles.iter().filter_map(|role| self.roles.get(role)).sum();
        channels.wrapping_add(roles)
    }
}
