//! Who is here: what users let others know of themselves, for as long as one of their connections keeps it.
//!
//! A user has one presence, which any of its connections on any server may have written. It is removed when the last of
//! them is gone: this server knows its own, and [`SharedHolds`] those of all. Appwrite's server removes it with the first.

mod redis;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use realtime_core::event::Event;
use realtime_core::id::{ConnectionId, PresenceId, ProjectId, UserId};
use realtime_core::presence::Presence;
use realtime_core::project::Project;
use realtime_core::refusal::{Refusal, RefusalKind};
use realtime_protocol::appwrite::envelope::{Envelope, Object};
use realtime_protocol::appwrite::system_event::{Context, Outcome, SystemEvent, deleted_presence, derive};
use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::{debug, error, warn};

use crate::admission::refusal_of;
use crate::bus::{Bus, NodeInbox, drawn_event_id};
use crate::directory::{Directory, Keep, KeptPresence};

/// For how long this server's word that somebody is here is good. After a crash, others remove its presences then.
const HOLDS: Duration = Duration::from_secs(30);
/// How often it is given again, and projects are looked at for presences whose time is over.
const ROUND: Duration = Duration::from_secs(5);
/// How long a user whose last connection was lost, without its client having taken leave, is still taken to be here: official
/// SDKs are back after a second, and Appwrite tells of the absence within three.
const GRACE: Duration = Duration::from_secs(2);
/// How long stopping waits for presences to be removed.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Users whose presences may be written at the same time, roughly.
const TURNS: usize = 64;

/// What a shared look-up of holds gives. Boxed because it is used as `dyn`.
pub type HoldFuture<'a, T> = Pin<Box<dyn Future<Output = Option<T>> + Send + 'a>>;

/// Which servers keep which presences, as all servers of an installation know it. `None` is "cannot tell at the moment".
pub trait SharedHolds: Send + Sync + fmt::Debug {
    /// This server keeps these for as long as given, from now on.
    fn hold<'a>(&'a self, server: &'a str, places: &'a [Place], lasts: Duration) -> HoldFuture<'a, ()>;

    /// This server keeps it no more; whether nobody else does either.
    fn let_go<'a>(&'a self, server: &'a str, place: &'a Place) -> HoldFuture<'a, bool>;

    /// Some of those that every server that kept them has stopped speaking of. Each is given to one server alone.
    fn lapsed(&self) -> HoldFuture<'_, Vec<Place>>;

    /// Tells Appwrite's usage statistics of presences that were made or removed.
    fn count<'a>(&'a self, project: &'a Project, made: i64) -> HoldFuture<'a, ()>;
}

/// A presence that can be held: whose, and which of those that the user had one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Where.
    pub project: ProjectId,
    /// Whose.
    pub user: UserId,
    /// Appwrite's `$sequence` of the presence.
    pub sequence: String,
}

/// A connection of one of this node's shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Holder {
    pub(crate) shard: usize,
    pub(crate) connection: ConnectionId,
}

type Whose = (ProjectId, UserId);

/// The presences that this node's connections keep.
pub(crate) struct Presences {
    directory: Arc<dyn Directory>,
    bus: Arc<dyn Bus>,
    shared: Option<Arc<dyn SharedHolds>>,
    /// This process among all servers.
    name: String,
    /// This machine, as Appwrite tells it.
    host: String,
    since: Timestamp,
    book: Mutex<Book>,
    /// What is done for one user is done one after another.
    turns: Vec<tokio::sync::Mutex<()>>,
    hasher: RandomState,
    /// How many connections' leaving is being dealt with.
    leaving: watch::Sender<usize>,
    stopping: watch::Sender<bool>,
}

impl fmt::Debug for Presences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presences").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Who keeps what.
#[derive(Debug, Default)]
struct Book {
    held: HashMap<Whose, Held>,
    by_id: HashMap<(ProjectId, PresenceId), UserId>,
    by_holder: HashMap<Holder, SmallVec<[Whose; 1]>>,
}

#[derive(Debug)]
struct Held {
    id: PresenceId,
    sequence: String,
    /// Empty while it is not removed yet.
    holders: HashSet<Holder>,
    /// When the last of them left.
    left_at: Option<Instant>,
}

impl Book {
    fn enter(&mut self, whose: &Whose, kept: &KeptPresence, holder: Holder) {
        let held = self.held.entry(whose.clone()).or_insert_with(|| Held {
            id: kept.id.clone(),
            sequence: String::new(),
            holders: HashSet::new(),
            left_at: None,
        });
        if held.sequence != kept.sequence {
            // Somebody removed the one before, and its holders' with it.
            held.holders.clear();
            held.sequence.clone_from(&kept.sequence);
        }
        self.by_id.remove(&(whose.0.clone(), held.id.clone()));
        held.id = kept.id.clone();
        held.holders.insert(holder);
        self.by_id.insert((whose.0.clone(), kept.id.clone()), whose.1.clone());
        let of_holder = self.by_holder.entry(holder).or_default();
        if !of_holder.contains(whose) {
            of_holder.push(whose.clone());
        }
    }

    /// Takes a holder out of everything it keeps; gives what nobody here keeps any more.
    fn leave(&mut self, holder: Holder) -> Vec<Place> {
        let mut left = Vec::new();
        for whose in self.by_holder.remove(&holder).unwrap_or_default() {
            let Some(held) = self.held.get_mut(&whose) else { continue };
            held.holders.remove(&holder);
            if held.holders.is_empty() {
                held.left_at = Some(Instant::now());
                left.push(place(&whose, &held.sequence));
            }
        }
        left
    }

    /// Whether nobody here keeps it, though it is known here.
    fn is_left(&self, place: &Place) -> bool {
        let held = self.held.get(&(place.project.clone(), place.user.clone()));
        held.is_some_and(|held| held.sequence == place.sequence && held.holders.is_empty())
    }

    fn is_held(&self, place: &Place) -> bool {
        let held = self.held.get(&(place.project.clone(), place.user.clone()));
        held.is_some_and(|held| held.sequence == place.sequence && !held.holders.is_empty())
    }

    fn remove(&mut self, whose: &Whose) {
        if let Some(held) = self.held.remove(whose) {
            self.by_id.remove(&(whose.0.clone(), held.id));
        }
    }

    /// Places that are kept here.
    fn kept(&self) -> Vec<Place> {
        let kept = self.held.iter().filter(|(_, held)| !held.holders.is_empty());
        kept.map(|(whose, held)| place(whose, &held.sequence)).collect()
    }

    /// Places that nobody here keeps any more, and should be gone by now.
    fn overdue(&self) -> Vec<Place> {
        let is_overdue =
            |held: &Held| held.holders.is_empty() && held.left_at.is_none_or(|at| at.elapsed() > GRACE);
        let overdue = self.held.iter().filter(|(_, held)| is_overdue(held));
        overdue.map(|(whose, held)| place(whose, &held.sequence)).collect()
    }
}

fn place((project, user): &Whose, sequence: &str) -> Place {
    Place { project: project.clone(), user: user.clone(), sequence: sequence.to_owned() }
}

impl Presences {
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        bus: Arc<dyn Bus>,
        shared: Option<Arc<dyn SharedHolds>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            directory,
            bus,
            shared,
            name: format!("{:032x}", rand::random::<u128>()),
            host: host(),
            since: Timestamp::now(),
            book: Mutex::default(),
            turns: (0..TURNS).map(|_| tokio::sync::Mutex::default()).collect(),
            hasher: RandomState::new(),
            leaving: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
        })
    }

    /// Lets others know of a user; gives what they are shown.
    pub(crate) async fn present(
        &self,
        holder: Holder,
        (project, user): (ProjectId, UserId),
        claimed: bool,
        presence: &Presence,
    ) -> Result<Bytes, Refusal> {
        let whose = (project, user);
        let _turn = self.turn(&whose).lock().await;
        let project = self.project(&whose.0).await?;
        let keep = Keep { project: &project, user: &whose.1, claimed, presence, server: &self.host };
        let kept = self.directory.keep_presence(keep).await;
        let kept = kept.map_err(|error| refusal_of(error, "keep a presence"))?;
        if let Some(shared) = &self.shared {
            // Should it not be heard of now, it will be when it is said again.
            let _ = shared.hold(&self.name, &[place(&whose, &kept.sequence)], HOLDS).await;
        }
        self.book().enter(&whose, &kept, holder);
        if kept.is_new {
            self.count(&project, 1).await;
        }
        self.tell(&project, "upsert", &kept).await?;
        Ok(Bytes::from(kept.document))
    }

    /// A connection is gone, and so are the presences that it was the last to keep: they are removed in the background, after
    /// a moment unless its client ended it itself.
    pub(crate) fn begin_to_leave(
        self: Arc<Self>,
        background: &Handle,
        holder: Holder,
        ended_by_client: bool,
    ) {
        let left = self.book().leave(holder);
        // Whoever was connected to a server that stops will be back on another one before its word lapses.
        if left.is_empty() || (self.shared.is_some() && *self.stopping.borrow()) {
            return;
        }
        self.leaving.send_modify(|leaving| *leaving += 1);
        background.spawn(async move {
            if !ended_by_client {
                let mut stopping = self.stopping.subscribe();
                let _ = tokio::time::timeout(GRACE, stopping.wait_for(|stopping| *stopping)).await;
            }
            for place in left {
                self.remove_if_left(place).await;
            }
            self.leaving.send_modify(|leaving| *leaving -= 1);
        });
    }

    /// An event that everybody hears: if it says that a presence is gone, nobody here keeps it any more.
    pub(crate) fn hear(&self, event: &Event) {
        let Some(gone) = deleted_presence(event) else { return };
        let mut book = self.book();
        let id = (event.project.clone(), PresenceId::new(&gone.id));
        let Some(user) = book.by_id.get(&id).cloned() else { return };
        let whose = (event.project.clone(), user);
        // The user may have another one by now, under the same id.
        let is_meant = |held: &Held| gone.sequence.as_ref().is_none_or(|sequence| *sequence == held.sequence);
        if book.held.get(&whose).is_some_and(is_meant) {
            book.remove(&whose);
        }
    }

    /// Keeps the word of this server good, and removes what others left, for as long as the node lives.
    pub(crate) async fn run(self: Arc<Self>, node: NodeInbox) {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seen = BTreeSet::new();
        loop {
            rounds.tick().await;
            self.renew().await;
            let connected: BTreeSet<ProjectId> = node.connections().await.into_keys().collect();
            for project in connected.iter().filter(|project| !project.is_console()) {
                self.sweep(project, !seen.contains(project)).await;
            }
            seen = connected;
        }
    }

    /// From now on connections leave because this server does.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits until what connections kept that have left is dealt with, for a while.
    pub(crate) async fn settle(&self) {
        let mut leaving = self.leaving.subscribe();
        let settled = tokio::time::timeout(LAST_WORDS, leaving.wait_for(|leaving| *leaving == 0)).await;
        if settled.is_err() {
            warn!("some presences are not removed yet; they are when the server starts again");
        }
    }

    async fn renew(&self) {
        let (kept, left) = {
            let book = self.book();
            (book.kept(), book.overdue())
        };
        for place in left {
            self.remove_if_left(place).await;
        }
        let Some(shared) = &self.shared else { return };
        if !kept.is_empty() {
            let _ = shared.hold(&self.name, &kept, HOLDS).await;
        }
        for place in shared.lapsed().await.unwrap_or_default() {
            if !self.book().is_held(&place) {
                let whose = (place.project.clone(), place.user.clone());
                let _turn = self.turn(&whose).lock().await;
                if !self.remove(&place).await {
                    // It lapses once more with the next round, and is given to somebody again.
                    let _ = shared.hold(&self.name, &[place], ROUND).await;
                }
            }
        }
    }

    /// Removes a project's presences whose time is over and, the first time that somebody is connected to it, those
    /// that an earlier process on this machine left.
    async fn sweep(&self, project: &ProjectId, is_first: bool) {
        let Ok(project) = self.project(project).await else { return };
        let left_by = (is_first && self.shared.is_none()).then_some((self.host.as_str(), self.since));
        match self.directory.remove_stale_presences(&project, left_by).await {
            Ok(removed) => {
                for kept in removed {
                    self.tell_removed(&project, &kept).await;
                }
            }
            Err(error) => {
                debug!(%error, project = %project.id, "cannot look for presences whose time is over")
            }
        }
    }

    async fn remove_if_left(&self, place: Place) {
        let whose = (place.project.clone(), place.user.clone());
        let _turn = self.turn(&whose).lock().await;
        if !self.book().is_left(&place) {
            return;
        }
        if let Some(shared) = &self.shared {
            match shared.let_go(&self.name, &place).await {
                // It stays in the book, and is tried again.
                None => return,
                Some(false) => {
                    self.book().remove(&whose);
                    return;
                }
                Some(true) => {}
            }
        }
        if self.remove(&place).await {
            self.book().remove(&whose);
        }
    }

    /// Removes it and tells of it; `false` if that is to be tried again.
    async fn remove(&self, place: &Place) -> bool {
        let Ok(project) = self.project(&place.project).await else { return false };
        match self.directory.remove_presence(&project, &place.user, &place.sequence).await {
            Ok(Some(kept)) => self.tell_removed(&project, &kept).await,
            Ok(None) => {}
            Err(error) => {
                warn!(%error, project = %project.id, user = %place.user, "cannot remove a presence; trying again");
                return false;
            }
        }
        true
    }

    async fn tell_removed(&self, project: &Project, kept: &KeptPresence) {
        self.count(project, -1).await;
        // It is logged where it failed, and there is nobody to tell.
        let _ = self.tell(project, "delete", kept).await;
    }

    /// Publishes what happened to a presence, for those who may see it.
    async fn tell(&self, project: &Project, action: &str, kept: &KeptPresence) -> Result<(), Refusal> {
        let name = format!("presences.[presenceId].{action}");
        let params = [("presenceId".to_owned(), kept.id.to_string())].into();
        let event = SystemEvent {
            name: &name,
            params: &params,
            payload: &kept.document,
            permissions: None,
            resource_permissions: None,
            own_security: None,
            user: None,
        };
        let context = Context { project: &project.id, team: project.team.as_ref(), legacy_channels: false };
        let derived = match derive(&event, &context) {
            Ok(Outcome::Published(derived)) => derived,
            Ok(Outcome::Unpublished(_)) => return Ok(()),
            Err(error) => {
                error!(%error, presence = %kept.id, "a presence cannot be told of");
                return Err(Refusal::new(RefusalKind::Internal, "The presence cannot be told of."));
            }
        };
        let id = drawn_event_id();
        let timestamp = Timestamp::now().strftime("%FT%T%.3f+00:00").to_string();
        for audience in derived.audiences {
            let envelope = Envelope {
                project: audience.project,
                roles: audience.roles,
                permissions_changed: false,
                user: None,
                events: derived.events.clone(),
                channels: derived.channels.clone(),
                timestamp: timestamp.clone(),
                payload: Object::of_text(&kept.document),
                id: id.clone(),
            };
            self.bus.publish(envelope.encode()).await.map_err(|error| {
                error!(%error, presence = %kept.id, action, "nobody is told what became of a presence");
                let text = "The presence is kept, but others cannot be told at the moment. Try again later.";
                Refusal::new(RefusalKind::Unavailable, text)
            })?;
        }
        Ok(())
    }

    async fn count(&self, project: &Project, made: i64) {
        if let Some(shared) = &self.shared {
            let _ = shared.count(project, made).await;
        }
    }

    async fn project(&self, id: &ProjectId) -> Result<Arc<Project>, Refusal> {
        let found = self.directory.project(id).await;
        let found = found.map_err(|error| refusal_of(error, "look up a project"))?;
        found.ok_or_else(|| Refusal::policy("Missing or unknown project ID"))
    }

    fn turn(&self, whose: &Whose) -> &tokio::sync::Mutex<()> {
        let number = self.hasher.hash_one(whose) as usize % TURNS;
        #[expect(clippy::indexing_slicing, reason = "there are as many turns as numbers")]
        &self.turns[number]
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What Appwrite's server calls the machine it is on (PHP `gethostname`).
fn host() -> String {
    let name = std::env::var("HOSTNAME").or_else(|_| std::fs::read_to_string("/proc/sys/kernel/hostname"));
    name.map(|name| name.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(id: &str, sequence: &str) -> KeptPresence {
        KeptPresence {
            id: id.into(),
            user: "ann".into(),
            sequence: sequence.to_owned(),
            document: String::new(),
            is_new: true,
        }
    }

    fn holder(number: usize) -> Holder {
        Holder { shard: number, connection: ConnectionId::default() }
    }

    fn whose() -> Whose {
        ("shop".into(), "ann".into())
    }

    #[test]
    fn a_presence_is_left_with_its_last_holder() {
        let mut book = Book::default();
        book.enter(&whose(), &kept("R", "1"), holder(1));
        book.enter(&whose(), &kept("R", "1"), holder(2));
        book.enter(&whose(), &kept("R", "1"), holder(2));
        assert_eq!(book.leave(holder(1)), []);
        let place = place(&whose(), "1");
        assert!(book.is_held(&place));
        assert_eq!(book.leave(holder(2)), std::slice::from_ref(&place));
        assert!(book.is_left(&place) && !book.is_held(&place));
        assert_eq!(book.leave(holder(2)), []);
    }

    #[test]
    fn holders_of_a_removed_presence_do_not_keep_the_next_one() {
        let mut book = Book::default();
        book.enter(&whose(), &kept("R", "1"), holder(1));
        book.enter(&whose(), &kept("S", "2"), holder(2));
        assert_eq!(book.by_id.len(), 1);
        assert_eq!(book.leave(holder(2)), [place(&whose(), "2")]);
        assert!(!book.is_left(&place(&whose(), "1")));
        book.remove(&whose());
        assert!(book.held.is_empty() && book.by_id.is_empty());
        assert_eq!(book.leave(holder(1)), []);
        assert!(book.by_holder.is_empty());
    }
}
