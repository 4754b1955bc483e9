//! Links between clients and nodes: frames take time, some links are slow to be read, and those that are cut lose what is
//! under way.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use realtime_core::id::ConnectionId;
use realtime_core::leave::Leave;
use realtime_core::receipts::Receipts;

use crate::model::{LinkId, ShardId};
use crate::random::Random;

/// What a frame costs beside its payload.
const OVERHEAD: usize = 8;

/// Something on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The link is there.
    Opened,
    /// A text message.
    Text(Bytes),
    /// A Ping.
    Ping(Bytes),
    /// The end, with a code.
    Close(u16),
}

/// Something on its way to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A text message.
    Text(String),
    /// The answer to a Ping.
    Pong(Bytes),
    /// The client ends the link.
    Close(Leave),
}

/// A client's link to an engine.
#[derive(Debug)]
pub struct Link {
    /// Whose.
    pub client: usize,
    /// Where to.
    pub shard: ShardId,
    /// The engine's name for it, until the engine has done with it.
    pub connection: Option<ConnectionId>,
    /// What the client is known to have got.
    pub receipts: Receipts,
    /// Whether the client still has to do with it.
    pub is_held: bool,
    /// Nothing is read before.
    pub readable_at: Instant,
    down: VecDeque<(Instant, Frame)>,
    bytes: usize,
    last_down: Instant,
    last_up: Instant,
    cut: Option<Swallows>,
    random: Random,
}

/// Whether something on the way takes bytes and loses them.
type Swallows = bool;

/// All links.
#[derive(Debug)]
pub struct Network {
    seed: u64,
    latency: Duration,
    room: usize,
    links: Vec<Link>,
}

impl Network {
    /// No links yet; each holds so many bytes on their way to the client.
    pub fn new(seed: u64, latency: Duration, room: usize) -> Self {
        Self { seed, latency, room, links: Vec::new() }
    }

    /// A new link.
    pub fn open(
        &mut self,
        client: usize,
        shard: ShardId,
        connection: ConnectionId,
        receipts: Receipts,
        now: Instant,
    ) -> LinkId {
        let id = self.links.len();
        self.links.push(Link {
            client,
            shard,
            connection: Some(connection),
            receipts,
            is_held: true,
            readable_at: now,
            down: VecDeque::new(),
            bytes: 0,
            last_down: now,
            last_up: now,
            cut: None,
            random: Random::of(self.seed, "link", id),
        });
        id
    }

    /// A link.
    pub fn link(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(id)
    }

    /// The links of a process that its engines still hold.
    pub fn of_node(&self, node: usize) -> Vec<LinkId> {
        let all = self.links.iter().enumerate();
        all.filter(|(_, link)| link.shard.0 == node && link.connection.is_some()).map(|(id, _)| id).collect()
    }

    /// The link of an engine's connection.
    pub fn find(&self, shard: ShardId, connection: ConnectionId) -> Option<LinkId> {
        let is_it = |link: &Link| link.shard == shard && link.connection == Some(connection);
        // Few of the links that there ever were are alive, and those are the latest.
        self.links.iter().rposition(is_it)
    }

    /// Whether the node may put more on a link.
    pub fn has_room(&self, id: LinkId) -> bool {
        self.links.get(id).is_some_and(|link| link.bytes < self.room)
    }

    /// Whether all that the node has put on a link was taken.
    pub fn is_flushed(&self, id: LinkId) -> bool {
        self.links.get(id).is_some_and(|link| link.bytes == 0)
    }

    /// Puts a frame on its way to the client; gives when it may be read.
    pub fn send(&mut self, id: LinkId, frame: Frame, now: Instant) -> Option<Instant> {
        let latency = self.latency.as_millis() as u64;
        let link = self.links.get_mut(id)?;
        match link.cut {
            Some(true) => None,
            Some(false) => {
                link.bytes += size_of(&frame);
                None
            }
            None => {
                let at = (now + link.random.millis(0, latency)).max(link.last_down);
                link.last_down = at;
                link.bytes += size_of(&frame);
                link.down.push_back((at, frame));
                Some(at.max(link.readable_at))
            }
        }
    }

    /// Takes what the client can read by now. `Err` is when to try again.
    pub fn read(&mut self, id: LinkId, now: Instant, pace: Duration) -> Result<Option<Frame>, Instant> {
        let Some(link) = self.links.get_mut(id).filter(|link| link.is_held) else { return Ok(None) };
        let Some((at, _)) = link.down.front() else { return Ok(None) };
        let at = (*at).max(link.readable_at);
        if at > now {
            return Err(at);
        }
        link.readable_at = now + pace;
        let frame = link.down.pop_front().map(|(_, frame)| frame);
        link.bytes -= frame.as_ref().map_or(0, size_of);
        Ok(frame)
    }

    /// When something of the client reaches the node; nothing does if the link is cut.
    pub fn say(&mut self, id: LinkId, now: Instant) -> Option<Instant> {
        let latency = self.latency.as_millis() as u64;
        let link = self.links.get_mut(id).filter(|link| link.cut.is_none())?;
        link.last_up = (now + link.random.millis(0, latency)).max(link.last_up);
        Some(link.last_up)
    }

    /// Whether a link lost what was under way, and loses all that follows.
    pub fn is_cut(&self, id: LinkId) -> bool {
        self.links.get(id).is_some_and(|link| link.cut.is_some())
    }

    /// Loses what is under way, and all that follows.
    pub fn cut(&mut self, id: LinkId, swallows: bool) {
        let Some(link) = self.links.get_mut(id) else { return };
        link.cut.get_or_insert(swallows);
        link.down.clear();
        if swallows {
            link.bytes = 0;
        }
    }
}

fn size_of(frame: &Frame) -> usize {
    match frame {
        Frame::Text(text) => text.len() + OVERHEAD,
        Frame::Ping(_) | Frame::Close(_) => OVERHEAD,
        Frame::Opened => 0,
    }
}
