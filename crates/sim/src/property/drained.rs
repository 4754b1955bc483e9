//! P8: a node that stops sends everybody away in time, to come back elsewhere, where they are vouched for and get nothing
//! again that they had said to have.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use realtime_core::outbox;

use super::Property;
use crate::model::{Heard, LinkId, Model, NodeId, Number, Seen, Told};
use crate::workload::Kind;

/// Codes after which a client comes back (RFC 6455 §7.4.1: going away, service restart, try again later).
const COME_BACK: [u16; 3] = [1001, 1012, 1013];
/// Whoever is gone this long before it comes back finds that the memory knows where it stood.
const SETTLED: Duration = Duration::from_millis(600);
/// What has been in order for this long has left no traces.
const CALM: Duration = Duration::from_secs(6);
/// So much more than any drain lasts or is missed by it.
const ENOUGH_EVENTS: usize = 10_000;
const ENOUGH_BYTES: usize = 4 * 1024 * 1024;
const ENOUGH_TIME: Duration = Duration::from_secs(60);
/// The last words of a node take this much longer at most.
const GRACE: Duration = Duration::from_millis(500);

/// Who was sent away, and what it had got.
#[derive(Debug, Default)]
pub(super) struct Drained {
    drains: BTreeMap<NodeId, (Instant, Instant)>,
    links: BTreeMap<LinkId, Held>,
    away: BTreeMap<usize, Away>,
}

/// What a client has got on a link.
#[derive(Debug, Default)]
struct Held {
    /// Events, and when; with the subscriptions that they were for.
    got: Vec<(Number, Vec<String>, Instant)>,
    /// What of it had come when it answered each of the Pings whose Pongs are on their way.
    answered: VecDeque<usize>,
    /// Subscriptions that the server has confirmed.
    confirmed: BTreeSet<String>,
    acknowledged: usize,
    acknowledged_at: Option<Instant>,
    /// Whether it came back to this link from a drain in good order, and what it may not get again.
    had: BTreeSet<(Number, String)>,
}

/// A client that was sent away.
#[derive(Debug)]
struct Away {
    at: Instant,
    drain_began: Instant,
    had: BTreeSet<(Number, String)>,
    confirmed: BTreeSet<String>,
}

impl Drained {
    /// Whether nothing but drains has happened for a while to this client and to the engine behind its link.
    fn is_calm(link: LinkId, since: Instant, truth: &Model) -> bool {
        let Some(visit) = truth.visits.get(link) else { return false };
        let until = since;
        let since = since.checked_sub(CALM).unwrap_or(since);
        let own = truth.visits.iter().filter(|other| other.client == visit.client);
        // Two notes of where it stood that are about the same moment say nothing of which is the later one.
        let has_moved =
            own.clone().any(|other| other.left_at.is_some_and(|left| left >= since && left < until));
        // A server that has not noticed yet tells where the client stood on a link of before once it does.
        let is_whole = own.clone().all(|other| {
            other.cut_at.is_none_or(|_| other.ended_at.is_some_and(|at| at < since))
                && other.stalled_until.is_none_or(|until| until < since)
        });
        let feed = truth.feeds.get(&visit.shard);
        let mut gaps = feed.into_iter().flat_map(|feed| feed.gaps.iter());
        let plain =
            truth.setting.clients.get(visit.client).is_some_and(|plan| plan.pace.is_zero() && plan.answers);
        is_whole
            && !has_moved
            && plain
            && truth.trouble_until.is_none_or(|until| until < since)
            && gaps.all(|(_, at)| *at < since)
    }

    fn closed(&mut self, link: LinkId, code: u16, truth: &Model) -> Result<(), String> {
        let Some(visit) = truth.visits.get(link) else { return Ok(()) };
        let Some((began, _)) = self.drains.get(&visit.shard.0).copied() else {
            // What it stood at may have been said to be lost, in an answer that went down with the link.
            self.away.remove(&visit.client);
            return Ok(());
        };
        if !COME_BACK.contains(&code) {
            let client = visit.client;
            return Err(format!("client {client} was closed with {code} by a node that stops"));
        }
        let Some(held) = self.links.remove(&link) else { return Ok(()) };
        let had = held.got.get(..held.acknowledged).unwrap_or_default().iter();
        let had: BTreeSet<(Number, String)> =
            had.flat_map(|(event, names, _)| names.iter().map(|name| (*event, name.clone()))).collect();
        let away = Away { at: truth.now, drain_began: began, had, confirmed: held.confirmed };
        // Only what was confirmed on this link, and said to have come since it was closed to.
        if held.acknowledged_at.is_some_and(|at| at >= began) && Self::is_calm(link, began, truth) {
            self.away.insert(visit.client, away);
        }
        Ok(())
    }

    /// Whether engines keep all that a client may miss by a drain.
    fn keeps_enough(truth: &Model) -> bool {
        let replay = &truth.setting.replay;
        replay.events >= ENOUGH_EVENTS
            && replay.bytes.min(replay.total_bytes) >= ENOUGH_BYTES
            && replay.window >= ENOUGH_TIME
    }

    /// Whether the bus gave an engine one of the events twice: a place behind it is the first of the two then.
    fn has_twins(link: LinkId, had: &BTreeSet<(Number, String)>, truth: &Model) -> bool {
        let feed = truth.visits.get(link).and_then(|visit| truth.feeds.get(&visit.shard));
        had.iter().any(|(event, _)| feed.is_some_and(|feed| feed.has_twice(*event)))
    }

    /// Whether the engine that a client has come back to can know all that the client may have missed: it has heard
    /// everything since before an event that the client had said to have.
    fn can_vouch(link: LinkId, away: &Away, truth: &Model) -> bool {
        let Some(visit) = truth.visits.get(link) else { return false };
        let Some(feed) = truth.feeds.get(&visit.shard) else { return false };
        away.had.iter().any(|(event, _)| feed.place(*event).is_some())
    }

    fn came_back(
        &mut self,
        link: LinkId,
        items: &[(String, Option<bool>)],
        truth: &Model,
    ) -> Result<(), String> {
        let Some(client) = truth.visits.get(link).map(|visit| visit.client) else { return Ok(()) };
        let Some(away) = self.away.get_mut(&client) else { return Ok(()) };
        let is_settled = truth.now.saturating_duration_since(away.at) >= SETTLED;
        let in_time = truth.now.saturating_duration_since(away.at) < truth.setting.replay.window / 2;
        let in_time = in_time && Self::keeps_enough(truth);
        let is_calm = in_time && Self::is_calm(link, away.drain_began, truth);
        // Whoever was spared some comes back to where they were left out, if that is known, and gets all since then.
        let may_lack = truth.setting.slow == outbox::Slow::Drop && truth.kind_of(client) != Kind::Session;
        for (name, recovered) in items {
            let is_owed = is_calm && !may_lack && Self::can_vouch(link, away, truth);
            if is_owed && away.confirmed.contains(name) && *recovered != Some(true) {
                return Err(format!(
                    "client {client} was sent away by a node that stopped, and {name} is not vouched for"
                ));
            }
            if *recovered != Some(true) {
                // It knows, and goes on from this answer: where it stood before it was sent away is not asked for again.
                away.confirmed.remove(name);
            }
        }
        if is_calm && is_settled && !may_lack && !Self::has_twins(link, &away.had, truth) {
            let is_owed = |(_, name): &(Number, String)| {
                items.iter().any(|(item, _)| item == name) && Self::can_vouch(link, away, truth)
            };
            let had: Vec<_> = away.had.iter().filter(|had| is_owed(had)).cloned().collect();
            if let Some(held) = self.links.get_mut(&link) {
                held.had.extend(had);
            }
        }
        Ok(())
    }

    fn heard(&mut self, link: LinkId, heard: &Heard, truth: &Model) -> Result<(), String> {
        match heard {
            Heard::Event(event, names) => {
                let Some(held) = self.links.get_mut(&link) else { return Ok(()) };
                if let Some(name) = names.iter().find(|name| held.had.contains(&(*event, (*name).clone()))) {
                    return Err(format!("e{event} came again for {name}, which had said to have it"));
                }
                held.got.push((*event, names.clone(), truth.now));
            }
            Heard::Ping => {
                if let Some(held) = self.links.get_mut(&link) {
                    held.answered.push_back(held.got.len());
                }
            }
            Heard::Subscribed(items) => {
                self.came_back(link, items, truth)?;
                if let Some(held) = self.links.get_mut(&link) {
                    held.confirmed.extend(items.iter().map(|(name, _)| name.clone()));
                }
            }
            Heard::Close(code) => self.closed(link, *code, truth)?,
            Heard::Connected(_) | Heard::Gap | Heard::Refused(_) | Heard::Other => {}
        }
        Ok(())
    }
}

impl Property for Drained {
    fn name(&self) -> &'static str {
        "drained"
    }

    fn see(&mut self, seen: &Seen<'_>, truth: &Model) -> Result<(), String> {
        match seen {
            Seen::Opened(link) => drop(self.links.insert(*link, Held::default())),
            Seen::Heard(link, heard) => self.heard(*link, heard, truth)?,
            Seen::Acknowledged(link) => {
                if let Some(held) = self.links.get_mut(link) {
                    held.acknowledged = held.answered.pop_front().unwrap_or(held.acknowledged);
                    held.acknowledged_at = Some(truth.now);
                }
            }
            Seen::Drains(node, until) => drop(self.drains.insert(*node, (truth.now, *until))),
            Seen::Told(client, Told::Ended(name)) => {
                self.away.remove(client);
                let is_theirs =
                    |link: &LinkId| truth.visits.get(*link).is_some_and(|visit| visit.client == *client);
                for (_, held) in self.links.iter_mut().filter(|(link, _)| is_theirs(link)) {
                    held.confirmed.remove(name);
                }
            }
            Seen::Left(link) => {
                let Some(visit) = truth.visits.get(*link) else { return Ok(()) };
                let Some((began, until)) = self.drains.get(&visit.shard.0) else { return Ok(()) };
                let late = truth.now > *until + truth.setting.latency + GRACE;
                // A link that is cut and does not know it yet hears no Close, however long ago that was.
                let could_hear = late && visit.cut_at.is_none() && visit.opened_at < *began;
                if could_hear && Self::is_calm(*link, *began, truth) {
                    return Err(format!("client {} was not sent away in time", visit.client));
                }
            }
            Seen::Told(..)
            | Seen::Published(_)
            | Seen::Took(..)
            | Seen::Gapped(_)
            | Seen::Cut(_)
            | Seen::Stalled(..)
            | Seen::Resumed(_)
            | Seen::Trouble(_)
            | Seen::Keeps(..) => {}
        }
        Ok(())
    }
}
