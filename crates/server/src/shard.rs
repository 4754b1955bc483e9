//! One thread, one engine: its effects carried out, and the inbox that other threads post to.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use realtime_core::effect::Effect;
use realtime_core::engine::Engine;
use realtime_core::event::Event;
use realtime_core::heard::Heard;
use realtime_core::id::{ConnectionId, EventId, ProjectId};
use realtime_core::refusal::{Refusal, RefusalKind};
use realtime_core::settings::Settings;
use realtime_core::snapshot::{Holdings, Page, Snapshot, Sought};
use realtime_core::stats::Stats;
use realtime_core::verdict::Comparison;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tracing::{debug, error, info};

use crate::admission::Admission;
use crate::presence::{Holder, Presences};
use crate::whereabouts::Whereabouts;

/// What other threads ask of a shard.
#[derive(Debug)]
pub(crate) enum Job {
    /// Serve this client.
    Accept(Client),
    /// Take in what the node has heard from its bus, under this number.
    Hear(u64, News),
    /// Deliver this event, which is of this node and of this moment.
    Mention(Arc<Event>),
    /// Tell how many connections each project has.
    Count(oneshot::Sender<BTreeMap<ProjectId, u64>>),
    /// Tell who has much waiting, and how many bytes.
    Backlogs(oneshot::Sender<Vec<(usize, ConnectionId)>>),
    /// Close these, for memory is short, and tell how many were closed, and how many bytes waited for them.
    Shed(Vec<ConnectionId>, oneshot::Sender<(usize, u64)>),
    /// Close every connection within this time.
    Drain(Duration),
    /// Tell an operator something.
    Tell(Question),
}

/// What a bus tells its node.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// This event has happened at this moment: it is to be delivered, and kept for who is away.
    Event(Arc<Event>, Instant),
    /// The same, late.
    Late(Arc<Event>, Instant),
    /// This event happened at this moment, before the node was there: it is to be kept for who is away.
    Past(Arc<Event>, Instant),
    /// Events come in from this moment on.
    Begin(Instant),
    /// Events come in from now on, and first those since this moment.
    BeginFrom(Instant),
    /// What was kept since that moment is there.
    Loaded,
    /// Events come in no more.
    Deaf,
    /// Events may have been missed until this moment.
    Gap(Instant),
}

/// How much the node has heard from its bus, all of it for every shard.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeardTotal(Arc<AtomicU64>);

impl HeardTotal {
    /// There is one more thing: its number, and when it was heard, which is told to every shard alike.
    pub(crate) fn one_more(&self) -> (u64, Instant) {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        (number, Instant::now())
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What an operator asks of a shard. Whoever asks may have gone when the answer is there.
#[derive(Debug)]
pub(crate) enum Question {
    /// What has happened so far?
    Stats(oneshot::Sender<Stats>),
    /// Who is connected, from this slot on, and up to so many?
    List(Sought, u32, usize, oneshot::Sender<(Page, Vec<&'static str>)>),
    /// What may this connection hear?
    Inspect(ConnectionId, oneshot::Sender<Option<(Snapshot, Holdings, &'static str)>>),
    /// Does this connection get this event?
    Compare(Arc<Event>, ConnectionId, oneshot::Sender<Option<Comparison>>),
    /// Which event of the last while is this?
    Find(ProjectId, EventId, oneshot::Sender<Option<Arc<Event>>>),
    /// Let these connections go, to come back or not: how many were there?
    Dismiss(Whom, bool, oneshot::Sender<usize>),
}

/// Whom an operator lets go.
#[derive(Debug, Clone)]
pub(crate) enum Whom {
    /// One connection.
    Connection(ConnectionId),
    /// All that meet this.
    All(Sought),
}

/// Jobs that may wait for a shard. A publisher waits for room, so nothing is lost when they come faster.
const INBOX: usize = 8_192;
/// How long newcomers wait for what happened before the node was there, so that they can be told what they missed: after
/// a restart of all nodes they come sooner than it has been read. Without it they are let in and not vouched for.
const HISTORY_PATIENCE: Duration = Duration::from_secs(5);
/// Jobs taken at once before connections get their turn.
const JOBS_AT_ONCE: usize = 64;

/// An accepted client on its way to be served. It counts as load of its shard until it is dropped.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) load: Load,
}

/// One unit of a shard's load, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Load(Arc<AtomicUsize>);

impl Load {
    fn of(shard: &Arc<AtomicUsize>) -> Self {
        shard.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shard))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How the rest of the node reaches a shard.
#[derive(Debug, Clone)]
pub(crate) struct ShardInbox {
    jobs: mpsc::Sender<Job>,
    load: Arc<AtomicUsize>,
}

impl ShardInbox {
    /// Posts a job, waiting for room. `false` if the shard has ended.
    pub(crate) async fn post(&self, job: Job) -> bool {
        self.jobs.send(job).await.is_ok()
    }

    /// Hands a client over.
    pub(crate) async fn accept(&self, stream: TcpStream, address: SocketAddr) {
        self.post(Job::Accept(Client { stream, address, load: Load::of(&self.load) })).await;
    }

    /// Jobs that wait for the shard.
    pub(crate) fn waiting(&self) -> usize {
        INBOX - self.jobs.capacity()
    }

    /// Links on the shard at the moment.
    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }
}

/// What a shard needs from its node.
#[derive(Debug)]
pub(crate) struct ShardParts {
    pub(crate) number: usize,
    pub(crate) settings: Settings,
    /// Decides minted ids; different for each shard.
    pub(crate) seed: u64,
    pub(crate) admission: Arc<Admission>,
    pub(crate) presences: Arc<Presences>,
    pub(crate) whereabouts: Arc<Whereabouts>,
    pub(crate) heard_total: HeardTotal,
    /// Where look-ups run, off the shard's thread.
    pub(crate) background: Handle,
    /// Turns true when the shard is to end.
    pub(crate) stop: watch::Receiver<bool>,
}

/// A thread's engine, as its connections hold it. Cloning is cheap and stays on the thread.
#[derive(Clone)]
pub struct Shard(Rc<Inner>);

struct Inner {
    number: usize,
    engine: RefCell<Engine>,
    /// By the slot of the connection's id: how to wake the connection's task, if it waits.
    wakers: RefCell<Vec<Option<Waker>>>,
    /// By the same: which transport it came in by.
    transports: RefCell<Vec<&'static str>>,
    /// Look-ups of who somebody is, which nobody needs any more once the client has left.
    openings: RefCell<HashMap<ConnectionId, AbortHandle>>,
    /// Woken when the engine's next deadline moved forward.
    earlier: Notify,
    sleeping_until: Cell<Option<Instant>>,
    /// Until when newcomers wait for what happened before; `None` once it is there.
    history_due: watch::Sender<Option<Instant>>,
    /// What the engine was given of what the node has heard.
    heard: Cell<Heard>,
    heard_total: HeardTotal,
    load: Arc<AtomicUsize>,
    admission: Arc<Admission>,
    presences: Arc<Presences>,
    whereabouts: Arc<Whereabouts>,
    background: Handle,
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("number", &self.0.number).finish_non_exhaustive()
    }
}

/// Starts a shard on a thread of its own. `serve` is called for each accepted client, on that thread.
pub(crate) fn start<S>(
    parts: ShardParts,
    serve: S,
) -> std::io::Result<(ShardInbox, std::thread::JoinHandle<()>)>
where
    S: Fn(Client, Shard) + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(INBOX);
    let load = Arc::new(AtomicUsize::new(0));
    let inbox = ShardInbox { jobs: sender, load: Arc::clone(&load) };
    let number = parts.number;
    // Before there is a thread, so that a node without open files left does not start with a shard that is dead.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name(format!("shard-{number}")).spawn(move || {
        let stop = parts.stop.clone();
        let shard = Shard::new(parts, load);
        let local = tokio::task::LocalSet::new();
        info!(shard = number, "shard started");
        local.block_on(&runtime, shard.run(receiver, stop, serve));
        info!(shard = number, "shard stopped");
    })?;
    Ok((inbox, thread))
}

impl Shard {
    fn new(parts: ShardParts, load: Arc<AtomicUsize>) -> Self {
        Self(Rc::new(Inner {
            number: parts.number,
            engine: RefCell::new(Engine::new(parts.settings, parts.seed)),
            wakers: RefCell::default(),
            transports: RefCell::default(),
            openings: RefCell::default(),
            earlier: Notify::new(),
            sleeping_until: Cell::new(None),
            history_due: watch::Sender::new(Some(Instant::now() + HISTORY_PATIENCE)),
            heard: Cell::new(Heard::new(Instant::now())),
            heard_total: parts.heard_total,
            load,
            admission: parts.admission,
            presences: parts.presences,
            whereabouts: parts.whereabouts,
            background: parts.background,
        }))
    }

    /// The shard's number, for logs.
    pub fn number(&self) -> usize {
        self.0.number
    }

    /// What has happened on this shard so far.
    pub fn stats(&self) -> Stats {
        self.0.engine.borrow().stats()
    }

    /// Lets the engine do something, then does what it wants done.
    pub(crate) fn step<T>(&self, act: impl FnOnce(&mut Engine) -> T) -> T {
        let result = act(&mut self.0.engine.borrow_mut());
        self.carry_out();
        result
    }

    /// Keeps by which transport the connection came in. It counts as load for as long as the result lives.
    pub(crate) fn register(&self, id: ConnectionId, transport: &'static str) -> Load {
        let (mut wakers, mut transports) = (self.0.wakers.borrow_mut(), self.0.transports.borrow_mut());
        let slot = id.slot() as usize;
        if wakers.len() <= slot {
            wakers.resize(slot + 1, None);
            transports.resize(slot + 1, "");
        }
        if let Some(name) = transports.get_mut(slot) {
            *name = transport;
        }
        self.occupy()
    }

    /// Counts as load for as long as the result lives.
    pub(crate) fn occupy(&self) -> Load {
        Load::of(&self.0.load)
    }

    /// Wakes this the next time that the connection may have something to send, and once.
    pub(crate) fn wake_later(&self, id: ConnectionId, waker: &Waker) {
        if let Some(place) = self.0.wakers.borrow_mut().get_mut(id.slot() as usize) {
            // Costs nothing if it is the one that is there.
            place.get_or_insert_with(|| waker.clone()).clone_from(waker);
        }
    }

    /// Forgets it; the connection has ended.
    pub(crate) fn unregister(&self, id: ConnectionId) {
        drop(self.take_waker(id));
        if let Some(opening) = self.0.openings.borrow_mut().remove(&id) {
            opening.abort();
        }
    }

    /// Not generic over the step that led here, so that an effect's task may step again without the compiler having to
    /// unfold one step inside the other.
    fn carry_out(&self) {
        loop {
            let effect = self.0.engine.borrow_mut().poll_effect();
            match effect {
                Some(effect) => self.carry_out_one(effect),
                None => break,
            }
        }
        let next = self.0.engine.borrow().poll_timeout();
        let asleep = self.0.sleeping_until.get();
        if next.is_some_and(|next| asleep.is_none_or(|asleep| next < asleep)) {
            self.0.earlier.notify_one();
        }
    }

    fn carry_out_one(&self, effect: Effect) {
        match effect {
            Effect::Wake(id) => {
                if let Some(waker) = self.take_waker(id) {
                    waker.wake();
                }
            }
            Effect::Identify { connection, hello } => {
                let (admission, due) = (Arc::clone(&self.0.admission), self.0.history_due.subscribe());
                let shard = self.clone();
                let mut look_up = Box::pin(async move {
                    wait_for_history(due).await;
                    admission.admit(&hello).await
                });
                if let Poll::Ready(found) = self.try_at_once(look_up.as_mut()) {
                    self.0.engine.borrow_mut().identified(connection, found, Instant::now());
                    return;
                }
                let opening = self.look_up(look_up, move |engine, found| {
                    shard.0.openings.borrow_mut().remove(&connection);
                    engine.identified(connection, found, Instant::now());
                });
                self.0.openings.borrow_mut().insert(connection, opening);
            }
            Effect::Authenticate { connection, project, address, credential } => {
                let admission = Arc::clone(&self.0.admission);
                self.look_up(
                    async move { admission.authenticate(&project, address, &credential).await },
                    move |engine, found| engine.authenticated(connection, found, Instant::now()),
                );
            }
            Effect::Recall { connection, owner, subscriptions } => {
                let whereabouts = Arc::clone(&self.0.whereabouts);
                if !whereabouts.is_shared() {
                    let found = whereabouts.recall_here(&owner, &subscriptions);
                    self.0.engine.borrow_mut().recalled(connection, found);
                    return;
                }
                self.look_up(
                    async move { Ok(whereabouts.recall(&owner, &subscriptions).await) },
                    move |engine, found| engine.recalled(connection, found.unwrap_or_default()),
                );
            }
            Effect::Remember { owner, places, may_wait } => {
                let now = Instant::now();
                let heard_until = self.0.heard.get().until(self.0.heard_total.get(), now);
                self.0.whereabouts.remember(&owner, places, may_wait, heard_until);
            }
            Effect::Present { connection, project, user, claimed, presence } => {
                let (presences, holder) = (Arc::clone(&self.0.presences), self.holder(connection));
                self.look_up(
                    async move { presences.present(holder, (project, user), claimed, &presence).await },
                    move |engine, written| engine.presented(connection, written),
                );
            }
            Effect::FindOwner { connection, project } => {
                let admission = Arc::clone(&self.0.admission);
                self.look_up(async move { admission.owner(&project).await }, move |engine, found| {
                    engine.owner_found(connection, found);
                });
            }
            Effect::Absent { connection, ended_by_client } => {
                let (presences, holder) = (Arc::clone(&self.0.presences), self.holder(connection));
                presences.begin_to_leave(&self.0.background, holder, ended_by_client);
            }
            Effect::Refresh { project, user, is_awaited } => {
                let admission = Arc::clone(&self.0.admission);
                let (of, whom) = (project.clone(), user.clone());
                let look_up = async move {
                    match is_awaited {
                        true => admission.refresh(&of, &whom).await,
                        false => admission.look_again(&of, &whom).await,
                    }
                };
                self.look_up(look_up, move |engine, found| engine.refreshed(&project, &user, &found));
            }
        }
    }

    fn take_waker(&self, id: ConnectionId) -> Option<Waker> {
        self.0.wakers.borrow_mut().get_mut(id.slot() as usize).and_then(Option::take)
    }

    fn holder(&self, connection: ConnectionId) -> Holder {
        Holder { shard: self.0.number, connection }
    }

    /// Begins a look-up. Where the answer is known already, it saves the way to another thread and back; where not, it is
    /// to go on in the background, and what it waits for is the background's.
    fn try_at_once<T>(&self, look_up: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        let _entered = self.0.background.enter();
        look_up.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Runs a look-up in the background and brings its answer back to the engine, unless it is aborted.
    fn look_up<T: Send + 'static>(
        &self,
        look_up: impl Future<Output = Result<T, Refusal>> + Send + 'static,
        answer: impl FnOnce(&mut Engine, Result<T, Refusal>) + 'static,
    ) -> AbortHandle {
        let task = self.0.background.spawn(look_up);
        let handle = task.abort_handle();
        let shard = self.clone();
        tokio::task::spawn_local(async move {
            let found = match task.await {
                Ok(found) => found,
                Err(error) if error.is_cancelled() => return,
                Err(error) => {
                    error!(%error, "a look-up failed unexpectedly");
                    Err(Refusal::new(RefusalKind::Internal, "The look-up failed."))
                }
            };
            shard.step(|engine| answer(engine, found));
        });
        handle
    }

    async fn run(
        self,
        mut jobs: mpsc::Receiver<Job>,
        mut stop: watch::Receiver<bool>,
        serve: impl Fn(Client, Shard),
    ) {
        let mut batch = Vec::with_capacity(JOBS_AT_ONCE);
        loop {
            let deadline = self.0.engine.borrow().poll_timeout();
            self.0.sleeping_until.set(deadline);
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                () = sleep_until(deadline) => self.step(|engine| engine.handle_timeout(Instant::now())),
                () = self.0.earlier.notified() => {}
                taken = jobs.recv_many(&mut batch, JOBS_AT_ONCE) => {
                    if taken == 0 {
                        break;
                    }
                    for job in batch.drain(..) {
                        self.do_job(job, &serve);
                    }
                    // Connections write what they were woken for before the next batch comes in.
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn do_job(&self, job: Job, serve: &impl Fn(Client, Shard)) {
        match job {
            Job::Accept(client) => serve(client, self.clone()),
            Job::Hear(number, news) => {
                let (now, mut heard) = (Instant::now(), self.0.heard.get());
                heard.give(number, self.0.heard_total.get(), now);
                self.0.heard.set(heard);
                self.hear(news);
            }
            Job::Mention(event) => self.step(|engine| engine.mention(&event)),
            Job::Count(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.0.engine.borrow().connections());
            }
            Job::Backlogs(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.0.engine.borrow().backlogs());
            }
            Job::Shed(slowest, answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.step(|engine| engine.shed(&slowest)));
            }
            Job::Drain(window) => {
                let now = Instant::now();
                self.step(|engine| engine.drain(now + window, now));
            }
            Job::Tell(question) => self.tell(question),
        }
    }

    fn hear(&self, news: News) {
        match news {
            News::Event(event, at) => {
                debug!(shard = self.0.number, event = %event.id, project = %event.project, "event received");
                self.step(|engine| engine.publish(&event, at));
            }
            News::Late(event, at) => {
                debug!(shard = self.0.number, event = %event.id, project = %event.project, "event received late");
                self.step(|engine| engine.publish_late(&event, at, Instant::now()));
            }
            News::Past(event, at) => self.step(|engine| engine.record(&event, at)),
            News::Begin(at) => {
                self.step(|engine| engine.begin(at));
                self.0.history_due.send_replace(None);
            }
            News::BeginFrom(since) => {
                self.step(|engine| engine.begin_from(since));
                self.0.history_due.send_replace(Some(Instant::now() + HISTORY_PATIENCE));
            }
            News::Loaded => {
                self.step(Engine::loaded);
                self.0.history_due.send_replace(None);
            }
            News::Deaf => self.step(Engine::deaf),
            News::Gap(at) => self.step(|engine| engine.gap(at)),
        }
    }

    /// Answers an operator, who may have gone.
    fn tell(&self, question: Question) {
        match question {
            Question::Stats(answer) => drop(answer.send(self.stats())),
            Question::List(sought, from, limit, answer) => {
                let page = self.0.engine.borrow().snapshots(&sought, from, limit);
                let transports = page.found.iter().map(|snapshot| self.transport(snapshot.id)).collect();
                drop(answer.send((page, transports)));
            }
            Question::Inspect(id, answer) => {
                let found = self.0.engine.borrow().inspect(id);
                let transport = self.transport(id);
                drop(answer.send(found.map(|(snapshot, holdings)| (snapshot, holdings, transport))));
            }
            Question::Compare(event, id, answer) => {
                drop(answer.send(self.0.engine.borrow().compare(&event, id)));
            }
            Question::Find(project, id, answer) => {
                drop(answer.send(self.0.engine.borrow().event(&project, &id)));
            }
            Question::Dismiss(whom, may_come_back, answer) => {
                let dismissed = self.step(|engine| match whom {
                    Whom::Connection(id) => usize::from(engine.dismiss_one(id, may_come_back)),
                    Whom::All(sought) => engine.dismiss(&sought, may_come_back),
                });
                let _ = answer.send(dismissed);
            }
        }
    }

    /// By which transport a connection came in.
    fn transport(&self, id: ConnectionId) -> &'static str {
        self.0.transports.borrow().get(id.slot() as usize).copied().unwrap_or_default()
    }
}

/// Waits until what happened before is in the log, but no longer than anybody is to wait for it.
async fn wait_for_history(mut due: watch::Receiver<Option<Instant>>) {
    let there = async {
        loop {
            let until = *due.borrow_and_update();
            let Some(until) = until else { return };
            match tokio::time::timeout_at(until.into(), due.changed()).await {
                Ok(Ok(())) => {}
                // It takes too long, or the shard has ended.
                Ok(Err(_)) | Err(_) => return,
            }
        }
    };
    // Whoever waits since before it was begun to be read has waited already.
    let _ = tokio::time::timeout(HISTORY_PATIENCE, there).await;
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
