//! What goes between clients and nodes: handshakes, frames both ways, and how links end.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use realtime_core::notice::{Notice, Outgoing};
use realtime_core::receipts::Receipts;
use realtime_core::replay::Receipt;
use realtime_protocol::appwrite::{Appwrite, hello};
use realtime_protocol::codec::Codec as _;
use serde_json::Value;

use super::{Happening, World};
use crate::client::{Head, Wish};
use crate::model::{Heard, LinkId, NodeId, Seen, Told, Visit};
use crate::network::{Frame, Said};

/// A link that ended without a word (RFC 6455 §7.4.1).
const NO_FRAME: u16 = 1006;
/// A stopping node looks this often whether everybody has gone.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl World {
    /// Does what a client wants done.
    pub(super) fn serve(&mut self, number: usize) {
        while let Some(wish) = self.clients.get_mut(number).and_then(|client| client.driver.poll()) {
            let now = self.now();
            match wish {
                Wish::Connect(head) => {
                    let latency = self.random.millis(0, self.plan.setting.latency.as_millis() as u64);
                    let Some(client) = self.clients.get_mut(number) else { return };
                    client.attempt += 1;
                    self.clock.plan(now + latency, Happening::Knock(number, client.attempt, head));
                }
                Wish::Disconnect(leave) => {
                    let Some(client) = self.clients.get_mut(number) else { return };
                    client.attempt += 1;
                    if let Some(link) = client.link.take() {
                        self.let_go(link);
                        self.say(link, Said::Close(leave));
                    }
                }
                Wish::Send(text) => {
                    if let Some(link) = self.clients.get(number).and_then(|client| client.link) {
                        self.say(link, Said::Text(text));
                    }
                }
                Wish::Tell(told) => {
                    match &told {
                        Told::Recovered(_) => self.figures.recovered += 1,
                        Told::Doubt(_) => self.figures.doubted += 1,
                        Told::Listens(_) | Told::Event(..) | Told::Ended(_) | Told::Stopped => {}
                    }
                    self.see(&Seen::Told(number, &told));
                }
                Wish::Name(name, interest) => drop(self.model.names.insert((number, name), interest)),
            }
        }
    }

    fn say(&mut self, link: LinkId, said: Said) {
        let now = self.now();
        if let Some(at) = self.network.say(link, now) {
            self.clock.plan(at, Happening::Hear(link, said));
        }
    }

    /// The client has nothing to do with a link any more.
    fn let_go(&mut self, link: LinkId) {
        if let Some(link) = self.network.link(link) {
            link.is_held = false;
        }
        self.see(&Seen::Left(link));
    }

    /// A request reaches whichever node it is led to.
    pub(super) fn knock(&mut self, number: usize, attempt: u64, head: &Head) {
        let now = self.now();
        if self.clients.get(number).is_none_or(|client| client.attempt != attempt) {
            return;
        }
        let open: Vec<NodeId> = self.places.iter().flatten().copied().collect();
        let open: Vec<NodeId> = open.into_iter().filter(|node| self.takes_clients(*node)).collect();
        let Some(node) = self.random.pick(&open) else {
            if let Some(client) = self.clients.get_mut(number) {
                client.driver.failed(now);
            }
            self.serve(number);
            return;
        };
        let mut request = Request::get(head.uri.as_str());
        for (name, value) in &head.headers {
            request = request.header(*name, value);
        }
        let parts = request.body(()).map(|request| request.into_parts().0);
        let Ok(Ok(hello)) = parts.map(|parts| hello::read(&parts, IpAddr::V4(Ipv4Addr::LOCALHOST), &[]))
        else {
            self.fail("running", format!("a request cannot be read: {}", head.uri));
            return;
        };
        let shard = (node, self.random.below(self.plan.setting.shards));
        let receipts = Receipts::new(hello.wants_gaps);
        let Some(connection) = self.engine(shard).map(|engine| engine.open(hello, now)) else { return };
        let link = self.network.open(number, shard, connection, receipts, now);
        self.figures.links += 1;
        self.model.visits.push(Visit {
            client: number,
            shard,
            opened_at: now,
            left_at: None,
            ended_at: None,
            cut_at: None,
            stalled_until: None,
        });
        if let Some(client) = self.clients.get_mut(number) {
            client.link = Some(link);
        }
        self.see(&Seen::Opened(link));
        self.put(link, Frame::Opened);
        self.step(shard, |_| ());
        self.send(link);
    }

    fn takes_clients(&self, node: NodeId) -> bool {
        self.nodes.get(node).is_some_and(|node| node.is_alive() && node.leaving.is_none())
    }

    fn put(&mut self, link: LinkId, frame: Frame) {
        let now = self.now();
        if let Some(at) = self.network.send(link, frame, now) {
            self.clock.plan(at, Happening::Read(link));
        }
    }

    /// Every connection that was woken sends what it has.
    pub(super) fn send_all(&mut self) {
        while let Some((shard, connection)) = self.woken.pop_front() {
            if let Some(link) = self.network.find(shard, connection) {
                self.send(link);
            }
        }
    }

    /// Puts on a link what there is to say, as the server's WebSocket does.
    fn send(&mut self, link: LinkId) {
        let codec = Appwrite::default();
        while self.network.has_room(link) {
            let Some((shard, connection)) = self.connection_of(link) else { return };
            let Some(outgoing) = self.step(shard, |engine| engine.poll_outgoing(connection)) else { break };
            if let Outgoing::Notice(Notice::Subscribed(made)) = &outgoing {
                for made in made.iter().filter(|made| made.recovery.is_none()) {
                    self.model.answered(made.id.as_str());
                }
            }
            match &outgoing {
                Outgoing::Notice(Notice::Heartbeat) => self.ping(link, Receipts::beat),
                Outgoing::Close(close) => {
                    let (code, _) = codec.close(close);
                    self.hang_up(link, code);
                    return;
                }
                Outgoing::Event(_) | Outgoing::Notice(_) => {
                    if let Some(message) = codec.encode(&outgoing) {
                        self.put(link, Frame::Text([message.shared, message.own].concat().into()));
                    }
                    if matches!(outgoing, Outgoing::Event(_))
                        && let Some(link) = self.network.link(link)
                    {
                        link.receipts.event();
                    }
                    if self.network.link(link).is_some_and(|link| link.receipts.is_due()) {
                        self.ping(link, Receipts::ask);
                    }
                }
            }
        }
        self.end_if_over(link);
    }

    /// A client that takes nothing any more is let go once its engine has ended the connection.
    fn end_if_over(&mut self, link: LinkId) {
        let Some((shard, connection)) = self.connection_of(link) else { return };
        let is_over = self.engine(shard).is_some_and(|engine| engine.is_closing(connection));
        if self.network.has_room(link) || !is_over {
            return;
        }
        while let Some(outgoing) = self.step(shard, |engine| engine.poll_outgoing(connection)) {
            if let Outgoing::Close(close) = outgoing {
                let (code, _) = Appwrite::default().close(&close);
                self.hang_up(link, code);
                return;
            }
        }
    }

    fn connection_of(
        &mut self,
        link: LinkId,
    ) -> Option<(crate::model::ShardId, realtime_core::id::ConnectionId)> {
        let link = self.network.link(link)?;
        Some((link.shard, link.connection?))
    }

    fn ping(&mut self, link: LinkId, ask: impl Fn(&mut Receipts, Receipt) -> Bytes) {
        let Some((shard, connection)) = self.connection_of(link) else { return };
        let Some(receipt) = self.engine(shard).map(|engine| engine.receipt(connection)) else { return };
        let Some(payload) = self.network.link(link).map(|link| ask(&mut link.receipts, receipt)) else {
            return;
        };
        self.put(link, Frame::Ping(payload));
    }

    /// The server says the last word and has done with the link.
    fn hang_up(&mut self, link: LinkId, code: u16) {
        self.put(link, Frame::Close(code));
        self.drop_peer(link);
    }

    fn drop_peer(&mut self, link: LinkId) {
        let Some((shard, connection)) = self.connection_of(link) else { return };
        if let Some(link) = self.network.link(link) {
            link.connection = None;
        }
        let now = self.now();
        if let Some(visit) = self.model.visits.get_mut(link) {
            visit.ended_at = Some(now);
        }
        self.step(shard, |engine| engine.closed(connection));
        if self.nodes.get(shard.0).is_some_and(|node| node.leaving.is_some()) {
            let at = self.now() + LOOK_AGAIN;
            self.clock.plan(at, Happening::End(shard.0));
        }
    }

    /// Something of a client reaches its node.
    pub(super) fn hear(&mut self, link: LinkId, said: Said) {
        let now = self.now();
        if self.network.is_cut(link) {
            return;
        }
        let Some((shard, connection)) = self.connection_of(link) else { return };
        match said {
            Said::Text(text) => {
                if let Some(link) = self.network.link(link) {
                    link.receipts.heard();
                }
                let said = Appwrite::default().decode(text.as_bytes());
                self.step(shard, |engine| engine.receive(connection, said, now));
            }
            Said::Pong(payload) => {
                let receipt = self.network.link(link).and_then(|link| link.receipts.answered(&payload));
                if let Some(receipt) = receipt {
                    self.see(&Seen::Acknowledged(link));
                    self.step(shard, |engine| engine.acknowledge(connection, receipt, now));
                }
            }
            Said::Close(leave) => {
                self.step(shard, |engine| engine.took_leave(connection, leave));
                self.part(link);
            }
        }
        self.send(link);
    }

    /// The link is over for the server, which has to guess what a client has got that never says.
    fn part(&mut self, link: LinkId) {
        let now = self.now();
        let Some((shard, connection)) = self.connection_of(link) else { return };
        let is_mute = self.network.link(link).is_some_and(|link| link.receipts.is_mute());
        if is_mute && self.network.is_flushed(link) {
            let receipt = self.engine(shard).map(|engine| engine.receipt(connection)).unwrap_or_default();
            self.step(shard, |engine| engine.acknowledge(connection, receipt, now));
        }
        self.drop_peer(link);
    }

    pub(super) fn server_notices(&mut self, link: LinkId) {
        self.part(link);
    }

    pub(super) fn client_notices(&mut self, link: LinkId) {
        let now = self.now();
        let Some(number) = self.network.link(link).map(|link| link.client) else { return };
        let Some(client) = self.clients.get_mut(number).filter(|client| client.link == Some(link)) else {
            return;
        };
        client.link = None;
        client.driver.closed(NO_FRAME, now);
        self.let_go(link);
        self.serve(number);
    }

    /// A client reads what has come.
    pub(super) fn read(&mut self, link: LinkId) {
        loop {
            let now = self.now();
            let Some(number) = self.network.link(link).map(|link| link.client) else { return };
            let pace = self.plan.setting.clients.get(number).map(|plan| plan.pace).unwrap_or_default();
            match self.network.read(link, now, pace) {
                Ok(Some(frame)) => self.take(number, link, frame),
                Ok(None) => return,
                Err(at) => {
                    self.clock.plan(at, Happening::Read(link));
                    return;
                }
            }
            self.send(link);
        }
    }

    fn take(&mut self, number: usize, link: LinkId, frame: Frame) {
        let now = self.now();
        let Some(client) = self.clients.get_mut(number).filter(|client| client.link == Some(link)) else {
            return;
        };
        match frame {
            Frame::Opened => client.driver.opened(now),
            Frame::Text(bytes) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let heard = heard(&text);
                self.figures.read += usize::from(matches!(heard, Heard::Event(..)));
                self.see(&Seen::Heard(link, &heard));
                if let Some(client) = self.clients.get_mut(number) {
                    client.driver.heard(&text, now);
                }
            }
            Frame::Ping(payload) => {
                client.driver.pinged(now);
                self.see(&Seen::Heard(link, &Heard::Ping));
                if self.plan.setting.clients.get(number).is_some_and(|plan| plan.answers) {
                    self.say(link, Said::Pong(payload));
                }
            }
            Frame::Close(code) => {
                client.link = None;
                self.see(&Seen::Heard(link, &Heard::Close(code)));
                self.let_go(link);
                if let Some(client) = self.clients.get_mut(number) {
                    client.driver.closed(code, now);
                }
            }
        }
        self.serve(number);
    }
}

/// What a message says, read without any of the code that wrote it or that the client reads it with.
fn heard(text: &str) -> Heard {
    let message: Value = serde_json::from_str(text).unwrap_or_default();
    let data = message.get("data").cloned().unwrap_or_default();
    let strings = |name: &str| -> Vec<String> {
        let items = data.get(name).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    match message.get("type").and_then(Value::as_str) {
        Some("connected") => Heard::Connected(data.get("recovered").and_then(Value::as_bool)),
        Some("response") if data.get("to").and_then(Value::as_str) == Some("subscribe") => {
            let items = data.get("subscriptions").and_then(Value::as_array).into_iter().flatten();
            let item = |item: &Value| {
                let id = item.get("subscriptionId").and_then(Value::as_str)?;
                Some((id.to_owned(), item.get("recovered").and_then(Value::as_bool)))
            };
            Heard::Subscribed(items.filter_map(item).collect())
        }
        Some("event") => {
            let id = data.get("id").and_then(Value::as_str).and_then(|id| id.strip_prefix('e')?.parse().ok());
            Heard::Event(id.unwrap_or(usize::MAX), strings("subscriptions"))
        }
        Some("gap") => Heard::Gap,
        Some("error") => Heard::Refused(data.get("code").and_then(Value::as_i64).unwrap_or_default()),
        Some(_) | None => Heard::Other,
    }
}
