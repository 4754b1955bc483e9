//! Where events come from.

pub mod memory;
pub mod nats;
pub mod redis;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;
use realtime_core::event::{Event, Holder};
use realtime_core::id::{EventId, ProjectId};
pub(crate) use realtime_core::whereabouts::SKEW;
use tokio::sync::oneshot;

use crate::directory::{Directory, Signal};
use crate::lookout::Lookout;
use crate::presence::Presences;
use crate::shard::{HeardTotal, Job, News, ShardInbox};

/// Something a bus does. Boxed because buses are used as `dyn`.
pub type BusFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BusError>> + Send + 'a>>;

/// A source of events.
///
/// `run` posts the events of one project in the order received, and returns only when it cannot go on; a source with a
/// network reconnects inside, and says when events may have been missed. A message that cannot be read is logged with
/// context and skipped; since nobody knows what it was, that is such a moment too.
///
/// A source that keeps nothing says [`NodeInbox::begin`] when it hears for the first time, [`NodeInbox::deaf`] when it has
/// lost its link, and [`NodeInbox::gap`] when it hears again. One that keeps what happened says [`NodeInbox::begin_from`],
/// then gives what it has kept since by [`NodeInbox::past`], says [`NodeInbox::loaded`], and then gives what happens by
/// [`NodeInbox::event`]. It is never deaf, for what it misses it gives late: it says [`NodeInbox::behind`] when it has lost
/// its link, and when it hears again it gives what it has kept meanwhile by [`NodeInbox::past`], says [`NodeInbox::loaded`],
/// and there is no gap unless something is not there any more.
pub trait Bus: Send + Sync + Debug {
    /// What the bus is called in logs and metrics.
    fn name(&self) -> &'static str;

    /// Whether events come in at the moment. A node that hears nothing is not ready for clients.
    fn is_connected(&self) -> bool {
        true
    }

    /// How far apart two nodes may hear the same two events in another order.
    fn disorder(&self) -> Duration {
        Duration::ZERO
    }

    /// Posts what comes in to the node, for as long as the bus lives.
    fn run(&self, node: NodeInbox) -> BusFuture<'_, Infallible>;

    /// Sends an envelope to every node, this one included. Done means that the bus has taken it.
    fn publish(&self, envelope: Bytes) -> BusFuture<'_, ()>;
}

/// Why a bus could not do it.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The bus cannot take anything at the moment.
    #[error("the {bus} bus cannot be reached: {reason}")]
    Unavailable {
        /// Which bus.
        bus: &'static str,
        /// What went wrong.
        reason: String,
    },
    /// The bus has been shut down.
    #[error("the {bus} bus has stopped")]
    Stopped {
        /// Which bus.
        bus: &'static str,
    },
}

/// Where a bus posts what it reads: every shard of this node.
#[derive(Debug, Clone)]
pub struct NodeInbox {
    shards: Arc<[ShardInbox]>,
    directory: Arc<dyn Directory>,
    presences: Arc<Presences>,
    lookout: Lookout,
    heard_total: HeardTotal,
    hearing: Arc<Mutex<Hearing>>,
    /// Since when clients may be here.
    started: SystemTime,
}

/// What keeps a node from hearing at once what has changed.
#[derive(Debug, Default)]
struct Hearing {
    /// Nothing comes in.
    is_deaf: bool,
    /// What comes in is what the source has kept.
    is_behind: bool,
    /// What is published reaches no source that keeps it.
    is_cut_off: bool,
}

/// An id that no event has had before: the time in microseconds and a random part, so that ids sort by time.
pub(crate) fn drawn_event_id() -> EventId {
    let micros = Timestamp::now().as_microsecond();
    EventId::new(format!("{micros:014x}{:016x}", rand::random::<u64>()))
}

impl NodeInbox {
    pub(crate) fn new(
        shards: Arc<[ShardInbox]>,
        directory: Arc<dyn Directory>,
        presences: Arc<Presences>,
        lookout: Lookout,
        heard_total: HeardTotal,
    ) -> Self {
        let hearing = Arc::default();
        Self { shards, directory, presences, lookout, heard_total, hearing, started: SystemTime::now() }
    }

    /// Something may have been missed, or it is another way now in which events come in.
    fn hear(&self, change: impl FnOnce(&mut Hearing)) {
        let mut hearing = self.hearing.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut hearing);
        let hears = !hearing.is_deaf && !hearing.is_behind && !hearing.is_cut_off;
        // Under the lock, so that the last word is the last one here as well.
        self.directory.signal(Signal::Hears(hears));
    }

    /// Posts what was heard to every shard, waiting for room where one is behind: nothing is lost in silence.
    async fn tell(&self, news: impl FnOnce(Instant) -> News) {
        let (number, at) = self.heard_total.one_more();
        let news = news(at);
        for shard in self.shards.iter() {
            shard.post(Job::Hear(number, news.clone())).await;
        }
    }

    /// How many connections each project has on this node.
    pub(crate) async fn connections(&self) -> BTreeMap<ProjectId, u64> {
        let mut all = BTreeMap::new();
        for shard in self.shards.iter() {
            let (answer, counted) = oneshot::channel();
            shard.post(Job::Count(answer)).await;
            for (project, count) in counted.await.unwrap_or_default() {
                *all.entry(project).or_default() += count;
            }
        }
        all
    }

    /// Closes the clients that have most waiting for them, whichever shard they are on, until this many bytes wait no
    /// more. How many were closed, and how many bytes waited for them.
    pub(crate) async fn shed(&self, bytes: u64) -> (usize, u64) {
        let mut worst = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            let (answer, backlogs) = oneshot::channel();
            shard.post(Job::Backlogs(answer)).await;
            let backlogs = backlogs.await.unwrap_or_default().into_iter();
            worst.extend(backlogs.map(|(size, id)| (size as u64, number, id)));
        }
        worst.sort_unstable_by_key(|(size, ..)| Reverse(*size));
        let mut chosen = 0;
        let mut of_shards = vec![Vec::new(); self.shards.len()];
        for (size, number, id) in worst {
            if chosen >= bytes {
                break;
            }
            chosen += size;
            if let Some(of_shard) = of_shards.get_mut(number) {
                of_shard.push(id);
            }
        }
        let (mut closed, mut freed) = (0, 0);
        for (shard, slowest) in self.shards.iter().zip(of_shards) {
            if !slowest.is_empty() {
                let (answer, shed) = oneshot::channel();
                shard.post(Job::Shed(slowest, answer)).await;
                let (more, bytes) = shed.await.unwrap_or_default();
                closed += more;
                freed += bytes;
            }
        }
        (closed, freed)
    }

    /// Events come in from now on, for the first time.
    pub async fn begin(&self) {
        self.hear(|hearing| hearing.is_deaf = false);
        self.tell(News::Begin).await;
    }

    /// Events come in from now on, for the first time, and first those that the source has kept since a moment: all of
    /// them, by [`Self::past`], until [`Self::loaded`].
    pub async fn begin_from(&self, since: SystemTime) {
        self.behind();
        let since = moment(since);
        self.tell(|_| News::BeginFrom(since)).await;
    }

    /// What the source had kept since [`Self::begin_from`] or [`Self::behind`] has been posted.
    pub async fn loaded(&self) {
        self.hear(|hearing| hearing.is_behind = false);
        self.tell(|_| News::Loaded).await;
    }

    /// Events come in no more, and what happens meanwhile is missed. [`Self::gap`] ends it.
    pub async fn deaf(&self) {
        self.hear(|hearing| hearing.is_deaf = true);
        self.tell(|_| News::Deaf).await;
    }

    /// Events come in no more, and come late, by [`Self::past`] until [`Self::loaded`].
    pub fn behind(&self) {
        self.hear(|hearing| hearing.is_behind = true);
    }

    /// Whether events reach the source that keeps them, where that takes somebody to carry them there.
    pub fn carries(&self, carries: bool) {
        self.hear(|hearing| hearing.is_cut_off = !carries);
    }

    /// Posts an event that the source has kept, and when it was published by the clock on the wall. One that is older than
    /// this node is for those who were elsewhere then and come back for it; nobody is told. Any other is an event that
    /// comes late.
    pub async fn past(&self, event: Arc<Event>, at: SystemTime) {
        self.tell_directory(&event);
        let is_older = at + SKEW < self.started;
        if !is_older {
            self.presences.hear(&event);
        }
        let at = moment(at);
        self.tell(|_| if is_older { News::Past(event, at) } else { News::Late(event, at) }).await;
    }

    /// Events may have been missed until now: posted before the next event, whenever nobody can vouch for what came
    /// in since the last one.
    pub async fn gap(&self) {
        self.hear(|hearing| hearing.is_deaf = false);
        self.tell(News::Gap).await;
    }

    /// Posts an event that this node makes by itself, which nobody comes back for.
    pub(crate) async fn mention(&self, event: Arc<Event>) {
        for shard in self.shards.iter() {
            shard.post(Job::Mention(Arc::clone(&event))).await;
        }
    }

    /// What is remembered of a user ends before any shard knows that the user has changed, be it in name only.
    fn tell_directory(&self, event: &Event) {
        let is_of_user = event.name.as_deref().is_some_and(|name| name.starts_with("users."));
        let named = event.user.clone().filter(|_| is_of_user).map(Holder::StoredUser);
        if let Some(holder) = event.roles_changed.as_ref().or(named.as_ref()) {
            self.directory.signal(Signal::Changed(&event.project, holder));
        }
    }

    /// Posts an event to every shard.
    pub async fn event(&self, event: Arc<Event>) {
        self.tell_directory(&event);
        self.presences.hear(&event);
        self.lookout.see(&event);
        self.tell(|at| News::Event(event, at)).await;
    }
}

/// The moment of a time in the past, or now.
fn moment(at: SystemTime) -> Instant {
    let now = Instant::now();
    now.checked_sub(at.elapsed().unwrap_or_default()).unwrap_or(now)
}
