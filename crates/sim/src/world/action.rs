//! What befalls the world, and how it is mended in the end.

use std::time::Duration;

use realtime_core::id::{EventId, UserId};
use realtime_core::outbox::Slow;
use realtime_core::role::Role;
use realtime_protocol::appwrite::envelope::{Envelope, Object};

use super::{Grant, Happening, World};
use crate::bus::Message;
use crate::directory::id_of;
use crate::model::{LinkId, NodeId, Published, Seen};
use crate::node::{Job, Node};
use crate::workload::{Action, Audience, CHANNELS, Kind, PROJECTS};

/// How much longer than its window a stopping node waits for clients that do not take leave.
const LAST_WORDS: Duration = Duration::from_secs(6);
/// Roles that a team gives; an event that changes them says so itself, and is for the team.
const TEAM: &str = "team:";
/// How long the clients of a node that was killed take to notice.
const NOTICED: u64 = 1_000;

impl World {
    pub(super) fn act(&mut self, action: Action) {
        let now = self.now();
        if self.prints {
            self.print_action(&action);
        }
        match action {
            Action::Publish { project, channel, audience, number, document, count, filling, copies } => {
                for _ in 0..count {
                    let subject = format!("databases.d.collections.c.documents.D{document}");
                    let event = Published {
                        at: now,
                        project,
                        channels: vec![channel],
                        audience,
                        number,
                        subject,
                        changes: None,
                    };
                    self.publish(event, None, filling, copies);
                }
            }
            Action::Grant { project, user, role, holds, told_after } => {
                self.model.grant((project, user), role, holds, now);
                let grant = Grant { user: (project, user), role, holds, at: now };
                self.clock.plan(now + told_after, Happening::Tell(grant));
            }
            Action::Cut { client, swallows, client_notices, server_notices } => {
                let Some(link) = self.link_of(client) else { return };
                self.see(&Seen::Cut(link));
                self.network.cut(link, swallows);
                self.clock.plan(now + client_notices, Happening::ClientNotices(link));
                self.clock.plan(now + server_notices, Happening::ServerNotices(link));
            }
            Action::Stall { client, lasts } => {
                let Some(link) = self.link_of(client) else { return };
                let Some(held) = self.network.link(link) else { return };
                // It may have stalled already, for longer.
                let until = held.readable_at.max(now + lasts);
                held.readable_at = until;
                self.see(&Seen::Stalled(link, until));
                if let Some(client) = self.clients.get_mut(client) {
                    client.driver.stalls(until);
                }
                self.clock.plan(until, Happening::Resume(link));
            }
            Action::Toggle { client, interest } => {
                if let Some(client) = self.clients.get_mut(client) {
                    client.driver.toggle(interest, now);
                }
                self.serve(client);
            }
            Action::Leave { client, back_after } => {
                if let Some(client) = self.clients.get_mut(client) {
                    client.driver.leave(now + back_after, now);
                }
                self.serve(client);
            }
            Action::BreakBus { place, lasts } => {
                let Some(node) = self.node_at(place) else { return };
                self.see(&Seen::Trouble(now + lasts));
                if self.bus.has(node) {
                    self.bus.leave(node);
                    self.lose_bus(node);
                }
                self.clock.plan(now + lasts, Happening::Listen(node));
            }
            Action::StopBus { lasts } => {
                self.see(&Seen::Trouble(now + lasts));
                for node in self.bus.stop(now + lasts) {
                    self.lose_bus(node);
                    let at = now + lasts + self.bus.pause();
                    self.clock.plan(at, Happening::Listen(node));
                }
            }
            Action::Garble { project } => self.carry(project, &Message::Garbled),
            Action::LoseMemory { lasts } => {
                self.see(&Seen::Trouble(now + lasts));
                self.memory.down_until = self.memory.down_until.max(Some(now + lasts));
            }
            Action::LoseDirectory { lasts } => {
                self.see(&Seen::Trouble(now + lasts));
                self.directory.down_until = self.directory.down_until.max(Some(now + lasts));
            }
            Action::Kill { place, back_after } => {
                let Some(node) = self.node_at(place) else { return };
                self.see(&Seen::Trouble(now + back_after));
                self.end(node);
                self.clock.plan(now + back_after, Happening::Start(place));
            }
            Action::Drain { place, window, back_after } => {
                let Some(number) = self.node_at(place) else { return };
                let Some(node) = self.nodes.get_mut(number).filter(|node| node.leaving.is_none()) else {
                    return;
                };
                node.leaving = Some((now + window, now + back_after));
                self.see(&Seen::Drains(number, now + window));
                self.post(number, &Job::Drain(window));
                self.clock.plan(now + window + LAST_WORDS, Happening::End(number));
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "somebody wants to read along")]
    fn print_action(&self, action: &Action) {
        println!("{:10.3} ── {action:?}", self.clock.seconds(self.clock.now()));
    }

    /// A node starts where none is.
    pub(super) fn start(&mut self, place: usize) {
        let now = self.now();
        let number = self.nodes.len();
        let Some(free) = self.places.get_mut(place).filter(|place| place.is_none()) else { return };
        *free = Some(number);
        self.nodes.push(Node::start(self.plan.seed, number, place, &self.plan.setting, now));
        // Clients may come before it listens to the bus.
        let at = now + self.bus.pause();
        self.clock.plan(at, Happening::Listen(number));
    }

    /// What a node misses of a bus that keeps it, it reads later.
    fn lose_bus(&mut self, node: NodeId) {
        if !self.plan.setting.durable {
            self.post(node, &Job::Deaf);
        }
    }

    fn node_at(&self, place: usize) -> Option<NodeId> {
        self.places.get(place).copied().flatten()
    }

    fn link_of(&self, client: usize) -> Option<LinkId> {
        self.clients.get(client)?.link
    }

    /// A stopping node ends once everybody has gone, or it has waited long enough.
    pub(super) fn end_if_empty(&mut self, number: NodeId) {
        let now = self.now();
        let Some(node) = self.nodes.get_mut(number).filter(|node| node.is_alive()) else { return };
        let Some((until, back_at)) = node.leaving else { return };
        if !self.network.of_node(number).is_empty() && now < until + LAST_WORDS {
            return;
        }
        node.has_settled = true;
        let place = node.place;
        self.end(number);
        self.clock.plan(back_at, Happening::Start(place));
    }

    /// A process is no more, and neither is what it knew.
    fn end(&mut self, number: NodeId) {
        let now = self.now();
        self.bus.leave(number);
        for link in self.network.of_node(number) {
            self.see(&Seen::Cut(link));
            self.network.cut(link, true);
            if let Some(link) = self.network.link(link) {
                link.connection = None;
            }
            if let Some(visit) = self.model.visits.get_mut(link) {
                visit.ended_at = Some(now);
            }
            let at = now + self.random.millis(0, NOTICED);
            self.clock.plan(at, Happening::ClientNotices(link));
        }
        let Some(node) = self.nodes.get_mut(number) else { return };
        node.engines.clear();
        node.inboxes.clear();
        if let Some(place) = self.places.get_mut(node.place)
            && *place == Some(number)
        {
            *place = None;
        }
    }

    /// A backend publishes an event, if the bus takes it.
    fn publish(&mut self, event: Published, grant: Option<Grant>, filling: usize, copies: usize) {
        let now = self.now();
        if self.bus.is_down(now) {
            return;
        }
        let project = event.project;
        let name = match grant {
            Some(grant) if grant.role.starts_with(TEAM) => format!("{}.update", event.subject),
            Some(_) => format!("{}.update.labels", event.subject),
            None => format!("{}.update", event.subject),
        };
        let payload = format!("{{\"n\":{},\"filling\":\"{}\"}}", event.number, "x".repeat(filling));
        let envelope = Envelope {
            project: PROJECTS.get(project).copied().unwrap_or_default().into(),
            roles: vec![role_of(event.audience)],
            permissions_changed: grant.is_some_and(|grant| grant.role.starts_with(TEAM)),
            user: grant.map(|grant| UserId::new(id_of(grant.user.1))),
            events: vec![name],
            channels: event.channels.iter().map(|channel| (*channel).to_owned()).collect(),
            timestamp: "2026-01-01T00:00:00.000+00:00".to_owned(),
            payload: Object::of_text(&payload),
            id: EventId::new(format!("e{}", self.model.events.len())),
        };
        let number = self.model.publish(event);
        self.figures.events += 1;
        self.see(&Seen::Published(number));
        // A bus that keeps what it has been told is told nothing twice.
        for _ in 0..if self.plan.setting.durable { 1 } else { copies } {
            self.carry(project, &Message::Envelope(number, envelope.encode()));
        }
    }

    fn carry(&mut self, project: usize, message: &Message) {
        let now = self.now();
        if self.plan.setting.durable {
            for arrival in self.bus.keep(message.clone(), now) {
                let happening = Happening::Browse(arrival.node, arrival.subscription);
                self.clock.plan(arrival.at, happening);
            }
            return;
        }
        for arrival in self.bus.publish(project, now) {
            let happening = Happening::Arrive(arrival.node, arrival.subscription, message.clone());
            self.clock.plan(arrival.at, happening);
        }
    }

    /// The event that tells of a change of roles.
    pub(super) fn tell_of(&mut self, grant: Grant) {
        let (project, user) = grant.user;
        let is_team = grant.role.starts_with(TEAM);
        let event = Published {
            at: self.now(),
            project,
            channels: vec!["files", "rows"],
            audience: if is_team { Audience::Granted(grant.role) } else { Audience::User(user) },
            number: u64::from(grant.holds),
            subject: format!("users.{}", id_of(user)),
            changes: Some((grant.user, grant.at)),
        };
        self.publish(event, Some(grant), 0, 1);
    }

    /// Everything is in order from now on.
    pub(super) fn mend(&mut self) {
        self.bus.down_until = None;
        self.memory.down_until = None;
        self.directory.down_until = None;
    }

    /// Clients to which events were not sent because they were slow get them when they come back, so now they do.
    pub(super) fn part_with_the_spared(&mut self) {
        if self.plan.setting.slow != Slow::Drop {
            return;
        }
        for client in 0..self.clients.len() {
            let kind = self.plan.setting.clients.get(client).map(|plan| plan.kind);
            if let Some(link) = self.link_of(client).filter(|_| kind == Some(Kind::Sdk)) {
                self.server_notices(link);
                self.client_notices(link);
            }
        }
    }

    /// One more event on every channel, for everybody.
    pub(super) fn publish_last(&mut self) {
        for project in 0..PROJECTS.len() {
            for channel in CHANNELS {
                let event = Published {
                    at: self.now(),
                    project,
                    channels: vec![channel],
                    audience: Audience::Any,
                    number: 100,
                    subject: "databases.d.collections.c.documents.last".to_owned(),
                    changes: None,
                };
                self.publish(event, None, 0, 1);
            }
        }
    }
}

fn role_of(audience: Audience) -> Role {
    match audience {
        Audience::Any => Role::any(),
        Audience::Users => Role::users(),
        Audience::Guests => Role::guests(),
        Audience::User(user) => Role::user(&UserId::new(id_of(user))),
        Audience::Granted(role) => Role::new(role),
    }
}
