//! Where subscriptions stood when their clients were here last, so that they go on from there, on whichever shard or
//! server they come back.

mod nats;
mod redis;

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use realtime_core::effect::Owner;
use realtime_core::id::SubscriptionId;
use realtime_core::replay::{Parked, Place, Position};
use realtime_core::whereabouts::{self, Key};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;
use tracing::warn;

use crate::bus::Bus;

/// Places on their way to the shared memory, at most.
const ON_THEIR_WAY: usize = 100_000;
/// How long stopping waits for them.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The pause before the same is tried again that could not be shared; it doubles with each attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// For how long: what is newer is not to wait for what cannot be shared, such as in a cluster one of whose servers is gone.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
/// How many of them are sent at once.
const AT_ONCE: usize = 500;
/// Those of living connections wait so long for each other: each time something is sent costs more than what is sent.
const GATHER: Duration = Duration::from_millis(100);

/// A place, and when it was taken by the clock on the wall; `None` is to be forgotten.
pub type Note = (Key, Option<(Position, SystemTime)>);

/// What asking a shared memory gives. Boxed because it is used as `dyn`.
pub type MemoryFuture<'a, T> = Pin<Box<dyn Future<Output = Option<T>> + Send + 'a>>;

/// A memory that all servers share. `None` is "cannot tell at the moment".
pub trait SharedMemory: Send + Sync + fmt::Debug {
    /// Remembers these for as long as given, or forgets them.
    fn remember<'a>(&'a self, notes: &'a [Note], keeps: Duration) -> MemoryFuture<'a, ()>;

    /// What is remembered of each of these, in their order.
    fn recall<'a>(&'a self, keys: &'a [Key]) -> MemoryFuture<'a, Vec<Option<(Position, SystemTime)>>>;
}

/// The places that this node knows of.
pub(crate) struct Whereabouts {
    keeps: Duration,
    /// The same for places of requests in the URL.
    keeps_requests: Duration,
    bus: Arc<dyn Bus>,
    here: Mutex<whereabouts::Whereabouts>,
    shared: Option<Shared>,
}

struct Shared {
    memory: Arc<dyn SharedMemory>,
    notes: mpsc::Sender<Note>,
    /// Until they are taken by [`Whereabouts::run`].
    taken: Mutex<Option<mpsc::Receiver<Note>>>,
    /// Somebody cannot wait.
    hurry: Notify,
    is_behind: AtomicBool,
    /// How many notes are on their way.
    unsaid: watch::Sender<usize>,
}

impl fmt::Debug for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whereabouts").finish_non_exhaustive()
    }
}

impl Whereabouts {
    /// Remembers places for as long as events are kept, and a little longer; those of requests in the URL for a time of
    /// their own.
    pub(crate) fn new(
        window: Duration,
        keeps_requests: Duration,
        bus: Arc<dyn Bus>,
        memory: Option<Arc<dyn SharedMemory>>,
    ) -> Arc<Self> {
        let shared = memory.map(|memory| {
            let (notes, taken) = mpsc::channel(ON_THEIR_WAY);
            Shared {
                memory,
                notes,
                taken: Mutex::new(Some(taken)),
                hurry: Notify::new(),
                is_behind: AtomicBool::new(false),
                unsaid: watch::Sender::new(0),
            }
        });
        let here = whereabouts::Whereabouts::new(window, keeps_requests);
        Arc::new(Self { keeps: here.keeps(), keeps_requests, bus, here: Mutex::new(here), shared })
    }

    /// Whether others have to be asked.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Remembers or forgets where subscriptions stand, by a shard that was given all that the node had heard until then.
    /// Other servers learn of it at once, or a moment later.
    pub(crate) fn remember(
        &self,
        owner: &Owner,
        places: Vec<(SubscriptionId, Option<Place>)>,
        may_wait: bool,
        heard_until: Instant,
    ) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        // Who hears nothing does not know that nothing has happened since an event.
        let deaf = if self.bus.is_connected() { Duration::ZERO } else { self.keeps };
        let unheard = now.saturating_duration_since(heard_until).max(deaf);
        let mut is_queued = false;
        let mut here = self.here();
        for (subscription, place) in places {
            let key = (owner.clone(), subscription);
            let place = place.map(|place| place.unheard_for(unheard, now));
            let told = here.remember(key.clone(), place, now);
            if let Some(shared) = &self.shared {
                let note = told.map(|Place { position, at }| {
                    let age = at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
                    (position, wall.checked_sub(age).unwrap_or(wall))
                });
                let note = (key, note);
                // Counted first: it may be taken before the next line.
                shared.unsaid.send_modify(|unsaid| *unsaid += 1);
                let is_behind = shared.notes.try_send(note).is_err();
                is_queued |= !is_behind;
                if is_behind {
                    shared.unsaid.send_modify(|unsaid| *unsaid -= 1);
                }
                // Here it is known all the same; another server will not vouch for it.
                if is_behind && !shared.is_behind.swap(is_behind, Ordering::Relaxed) {
                    warn!("places of subscriptions come faster than they can be shared");
                }
            }
        }
        drop(here);
        if let Some(shared) = self.shared.as_ref().filter(|_| is_queued && !may_wait) {
            shared.hurry.notify_one();
        }
    }

    /// Where these stood, as far as this node knows.
    pub(crate) fn recall_here(&self, owner: &Owner, ids: &[SubscriptionId]) -> Vec<(SubscriptionId, Parked)> {
        self.here().recall(owner, ids, Instant::now())
    }

    /// Where these stood, wherever their client was last.
    pub(crate) async fn recall(
        &self,
        owner: &Owner,
        ids: &[SubscriptionId],
    ) -> Vec<(SubscriptionId, Parked)> {
        let mut found = self.recall_here(owner, ids);
        let Some(shared) = &self.shared else { return found };
        let keys: Vec<Key> = ids.iter().map(|id| (owner.clone(), id.clone())).collect();
        let Some(elsewhere) = shared.memory.recall(&keys).await else {
            // Nobody can tell whether it was elsewhere, and what it missed since: that is not the same as being new.
            let unknown = ids.iter().filter(|id| found.iter().all(|(known, _)| known != *id));
            let at = Instant::now();
            let lost = |id: &SubscriptionId| (id.clone(), Parked { position: Position::Lost, at });
            let lost: Vec<_> = unknown.map(lost).collect();
            found.extend(lost);
            return found;
        };
        let (now, wall) = (Instant::now(), SystemTime::now());
        for (id, (position, taken)) in ids.iter().zip(elsewhere).filter_map(|(id, place)| Some((id, place?)))
        {
            let age = wall.duration_since(taken).unwrap_or_default();
            if id.is_of_request() && age > self.keeps_requests {
                continue;
            }
            whereabouts::merge(&mut found, id, position, age, now);
        }
        found
    }

    /// Shares what is remembered, for as long as the node lives.
    pub(crate) async fn run(self: Arc<Self>) {
        let Some(shared) = &self.shared else { return };
        let taken = shared.taken.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut notes) = taken else { return };
        let mut batch = Vec::with_capacity(AT_ONCE);
        let mut is_told = false;
        while notes.recv_many(&mut batch, AT_ONCE).await > 0 {
            if batch.len() < AT_ONCE {
                let is_hurried = timeout(GATHER, shared.hurry.notified()).await.is_ok();
                while batch.len() < AT_ONCE
                    && let Ok(note) = notes.try_recv()
                {
                    batch.push(note);
                }
                if is_hurried && batch.len() == AT_ONCE {
                    // What cannot wait may be behind these.
                    shared.hurry.notify_one();
                }
            }
            let taken = batch.len();
            keep_latest(&mut batch);
            let (mut pause, began) = (FIRST_PAUSE, Instant::now());
            let is_shared = loop {
                if shared.memory.remember(&batch, self.keeps).await.is_some() {
                    break true;
                }
                if !is_told {
                    warn!(
                        "places of subscriptions cannot be shared; clients that change servers are not vouched for"
                    );
                }
                is_told = true;
                if began.elapsed() >= GIVE_UP_AFTER {
                    break false;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            };
            is_told = !is_shared;
            shared.unsaid.send_modify(|unsaid| *unsaid -= taken);
            batch.clear();
        }
    }

    /// Waits until all of it is shared, for a while: a server that stops has just learnt where everybody stands.
    pub(crate) async fn settle(&self) {
        let Some(shared) = &self.shared else { return };
        shared.hurry.notify_one();
        let mut unsaid = shared.unsaid.subscribe();
        let settled = timeout(LAST_WORDS, unsaid.wait_for(|unsaid| *unsaid == 0)).await;
        if settled.is_err() {
            warn!("where some subscriptions stood could not be shared before the server stopped");
        }
    }

    fn here(&self) -> MutexGuard<'_, whereabouts::Whereabouts> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of several notes about the same subscription only the last counts.
fn keep_latest(notes: &mut Vec<Note>) {
    let mut seen = HashSet::with_capacity(notes.len());
    notes.reverse();
    notes.retain(|(key, _)| seen.insert(key.clone()));
    notes.reverse();
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use realtime_core::id::SubscriptionId;

    use super::*;

    /// A memory that takes down how many notes came at once, and how long after the beginning.
    #[derive(Debug)]
    struct Notebook {
        began: tokio::time::Instant,
        batches: Mutex<Vec<(Duration, usize)>>,
        noted: AtomicUsize,
    }

    impl SharedMemory for Notebook {
        fn remember<'a>(&'a self, notes: &'a [Note], _: Duration) -> MemoryFuture<'a, ()> {
            self.batches
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((self.began.elapsed(), notes.len()));
            self.noted.fetch_add(notes.len(), Ordering::Relaxed);
            Box::pin(std::future::ready(Some(())))
        }

        fn recall<'a>(&'a self, keys: &'a [Key]) -> MemoryFuture<'a, Vec<Option<(Position, SystemTime)>>> {
            Box::pin(std::future::ready(Some(keys.iter().map(|_| None).collect())))
        }
    }

    struct Scene {
        whereabouts: Arc<Whereabouts>,
        notebook: Arc<Notebook>,
    }

    impl Scene {
        fn new() -> Self {
            let (batches, noted) = (Mutex::default(), AtomicUsize::new(0));
            let notebook = Arc::new(Notebook { began: tokio::time::Instant::now(), batches, noted });
            let minute = Duration::from_secs(60);
            let bus = Arc::new(crate::bus::memory::Memory::default());
            let whereabouts = Whereabouts::new(minute, minute, bus, Some(Arc::clone(&notebook) as _));
            tokio::spawn(Arc::clone(&whereabouts).run());
            Self { whereabouts, notebook }
        }

        fn remember(&self, subscriptions: std::ops::Range<usize>, may_wait: bool) {
            let owner = Owner { project: "p".into(), user: None };
            let place = |number: usize| {
                let id = SubscriptionId::new(number.to_string());
                (id, Some(Place { position: Position::Beginning, at: None }))
            };
            self.whereabouts.remember(&owner, subscriptions.map(place).collect(), may_wait, Instant::now());
        }

        async fn batches(&self) -> Vec<(Duration, usize)> {
            self.whereabouts.settle().await;
            self.notebook.batches.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn places_of_living_connections_go_out_together_and_each_once() {
        let scene = Scene::new();
        for _ in 0..3 {
            scene.remember(0..10, true);
            tokio::time::sleep(GATHER / 4).await;
        }
        tokio::time::sleep(GATHER).await;
        assert_eq!(scene.batches().await, [(GATHER, 10)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_wait_takes_everything_before_it_along_at_once() {
        let scene = Scene::new();
        scene.remember(0..2 * AT_ONCE, true);
        scene.remember(2 * AT_ONCE..2 * AT_ONCE + 100, false);
        while scene.notebook.noted.load(Ordering::Relaxed) < 2 * AT_ONCE + 100 {
            tokio::task::yield_now().await;
        }
        scene.remember(0..10, true);
        // The gathering has begun.
        tokio::time::sleep(GATHER / 2).await;
        scene.remember(10..AT_ONCE + 100, true);
        scene.remember(AT_ONCE + 100..AT_ONCE + 101, false);
        let batches = scene.batches().await;
        let whole = (Duration::ZERO, AT_ONCE);
        let half = GATHER / 2;
        assert_eq!(batches, [whole, whole, (Duration::ZERO, 100), (half, AT_ONCE), (half, 101)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stops_does_not_wait_for_more() {
        let scene = Scene::new();
        scene.remember(0..10, true);
        assert_eq!(scene.batches().await, [(Duration::ZERO, 10)]);
    }
}
