//! P5: a client that reads slowly is late itself and nobody else is, and what waits for it and for who is away is bounded.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Property;
use crate::model::{Heard, LinkId, Model, Seen};

/// An event that concerns a client in good order is there after the way it has to go and this much more.
const TOLERANCE: Duration = Duration::from_millis(50);
/// A link that holds so many bytes takes the largest burst, of 100 events of 2 KB that each come twice, in a few turns.
const WIDE: usize = 64 * 1024;
const TURNS: u32 = 8;
/// Bytes of the smallest frame of an event.
const SMALLEST: usize = 150;
/// Roles are read again within this time while the directory is there.
const RECHECK: Duration = Duration::from_secs(3);

/// What is known of each link.
#[derive(Debug, Default)]
pub(super) struct Slow {
    links: BTreeMap<LinkId, Pace>,
}

#[derive(Debug, Default)]
struct Pace {
    /// Whether it came back for something, so that events come to it from the log.
    came_back: bool,
    /// Whether it has ever not read for a while.
    has_stalled: bool,
    /// Events read since it reads again that had happened before.
    backlog: usize,
    /// Whether its roles may have been read again since it stalled.
    was_rechecked: bool,
}

impl Slow {
    fn event(&mut self, link: LinkId, event: usize, truth: &Model) -> Result<(), String> {
        let Some(visit) = truth.visits.get(link) else { return Ok(()) };
        let client = visit.client;
        let Some(taken_at) = truth.feeds.get(&visit.shard).and_then(|feed| feed.taken_at(event)) else {
            return Ok(());
        };
        let resumed_at = visit.stalled_until.unwrap_or(visit.opened_at);
        let rechecked = self.rechecked(client, link, truth);
        let Some(pace) = self.links.get_mut(&link) else { return Ok(()) };
        if pace.has_stalled && taken_at < resumed_at && !pace.came_back {
            pace.backlog += 1;
            // Those that waited for roles when it read on were not in the outbox yet.
            pace.was_rechecked |= rechecked;
            let since = resumed_at.checked_sub(RECHECK + truth.setting.outage).unwrap_or(resumed_at);
            let takes = truth.feeds.get(&visit.shard).into_iter().flat_map(|feed| feed.takes.iter().rev());
            let recent = takes.take_while(|(_, at)| *at >= since).filter(|(_, at)| *at <= resumed_at);
            let held = if pace.was_rechecked { recent.count().min(truth.setting.held_events) } else { 0 };
            let most = truth.setting.outbox.count + truth.setting.link_bytes / SMALLEST + 2 + held;
            if pace.backlog > most {
                let read = pace.backlog;
                return Err(format!("{read} events waited for client {client}; {most} had room"));
            }
        }
        let took = truth.now.saturating_duration_since(taken_at);
        let pace = pace.has_stalled || pace.came_back;
        let plain = truth.setting.clients.get(client).is_some_and(|plan| plan.pace.is_zero());
        // A link that holds little takes a burst in many turns.
        if truth.setting.link_bytes >= WIDE
            && took > TURNS * truth.setting.latency + TOLERANCE
            && taken_at >= visit.opened_at
            && plain
            && !pace
            && !rechecked
        {
            return Err(format!("client {client} is in order and got e{event} after {took:?}"));
        }
        Ok(())
    }

    /// Whether the client's roles may just have been read again.
    fn rechecked(&self, client: usize, link: LinkId, truth: &Model) -> bool {
        let Some(feed) = truth.visits.get(link).and_then(|visit| truth.feeds.get(&visit.shard)) else {
            return true;
        };
        let since = truth.trouble_until.max(truth.now.checked_sub(RECHECK));
        if truth.trouble_until.is_some_and(|until| until + RECHECK > truth.now) {
            return true;
        }
        let recent = feed.takes.iter().rev().take_while(|(_, at)| since.is_none_or(|since| *at >= since));
        let mut changes = recent.filter_map(|(event, _)| truth.events.get(*event)?.changes);
        changes.any(|(user, _)| Some(user) == truth.user_of(client))
    }
}

impl Property for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn see(&mut self, seen: &Seen<'_>, truth: &Model) -> Result<(), String> {
        match seen {
            Seen::Opened(link) => drop(self.links.insert(*link, Pace::default())),
            Seen::Stalled(link, _) => {
                if let Some(pace) = self.links.get_mut(link) {
                    pace.has_stalled = true;
                    pace.backlog = 0;
                    pace.was_rechecked = false;
                }
            }
            Seen::Heard(link, Heard::Subscribed(items)) => {
                if let Some(pace) = self.links.get_mut(link) {
                    pace.came_back |= items.iter().any(|(_, recovered)| *recovered == Some(true));
                }
            }
            Seen::Heard(link, Heard::Connected(recovered)) => {
                if let Some(pace) = self.links.get_mut(link) {
                    pace.came_back |= *recovered == Some(true);
                }
            }
            Seen::Heard(link, Heard::Event(event, _)) => self.event(*link, *event, truth)?,
            Seen::Keeps(shard, bytes) => {
                let most = truth.setting.replay.total_bytes as u64;
                if *bytes > most {
                    return Err(format!("engine {shard:?} keeps {bytes} bytes of {most}"));
                }
            }
            Seen::Heard(..)
            | Seen::Published(_)
            | Seen::Took(..)
            | Seen::Gapped(_)
            | Seen::Acknowledged(_)
            | Seen::Left(_)
            | Seen::Told(..)
            | Seen::Cut(_)
            | Seen::Resumed(_)
            | Seen::Drains(..)
            | Seen::Trouble(_) => {}
        }
        Ok(())
    }
}
