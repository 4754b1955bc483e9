//! A node: builds every part, starts it, and stops it in reverse order. The only file that names them all.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hyper::http::HeaderName;
use realtime_core::settings::Settings as EngineSettings;
use realtime_protocol::codec::Codec;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::admission::{AddressLimits, Admission, SharedCounter};
use crate::bus::{Bus, NodeInbox};
use crate::directory::Directory;
use crate::http::dev::Dev;
use crate::http::health::Health;
use crate::http::ingest::{self, Ingest};
use crate::http::internal::{self, Internal};
use crate::http::{self, Site};
use crate::inspector::Inspector;
use crate::listener;
use crate::lookout::Lookout;
use crate::presence::{Presences, SharedHolds};
use crate::pressure::Pressure;
use crate::self_test;
use crate::shard::{self, HeardTotal, Job, ShardInbox, ShardParts};
use crate::statistics;
use crate::transport;
use crate::whereabouts::{SharedMemory, Whereabouts};

/// How long the shards may take to end after the last connection was to be closed.
const LAST_WORDS: Duration = Duration::from_secs(6);

/// Everything about a node that has been decided.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen. Port 0 is any free one.
    pub listen: SocketAddr,
    /// Threads that serve clients; at least one.
    pub shards: usize,
    /// What every engine is told.
    pub engine: EngineSettings,
    /// Limits by address.
    pub addresses: AddressLimits,
    /// Counts connections of all servers together.
    pub counter: Option<Arc<dyn SharedCounter>>,
    /// Remembers where subscriptions stood, for all servers together.
    pub memory: Option<Arc<dyn SharedMemory>>,
    /// Knows which servers keep which presences.
    pub holds: Option<Arc<dyn SharedHolds>>,
    /// How long the directory may be away while a user's roles are read again.
    pub outage: Duration,
    /// Whether the console is told of connections.
    pub statistics: bool,
    /// Headers that name the client's address when a proxy is in front, first match wins.
    pub trusted_headers: Vec<HeaderName>,
    /// How conversations are spelled.
    pub codec: Arc<dyn Codec>,
    /// A client's message in bytes, framing included.
    pub max_message: usize,
    /// Newcomers whose identity is looked up at a time; the others wait in line.
    pub openings: usize,
    /// Memory of the process in bytes beyond which the slowest clients are closed; `None` is without limit.
    pub ceiling: Option<u64>,
    /// A request's line and headers in bytes.
    pub max_head: usize,
    /// How long a client may take to send them.
    pub head_timeout: Duration,
    /// Publishing over HTTP.
    pub publish: ingest::Settings,
    /// Over how long connections are closed when the node stops.
    pub drain: Duration,
    /// The page of `realtime dev`.
    pub dev: Option<Dev>,
    /// The port for operators.
    pub internal: Option<internal::Settings>,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port could not be opened.
    #[error(
        "cannot listen on {address}: {source}; choose another address with --{flag}, or stop what uses it"
    )]
    Listen {
        /// How to choose another one.
        flag: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a shard: {0}; raise the limit of threads, or start fewer shards")]
    Shard(io::Error),
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    address: SocketAddr,
    internal: Option<SocketAddr>,
    shards: Arc<[ShardInbox]>,
    threads: Vec<JoinHandle<()>>,
    health: Health,
    presences: Arc<Presences>,
    whereabouts: Arc<Whereabouts>,
    drain: Duration,
    stop_accepting: watch::Sender<bool>,
    stop_shards: watch::Sender<bool>,
    /// Where events come from.
    sources: Vec<tokio::task::JoinHandle<()>>,
}

impl Node {
    /// Builds and starts a node. Must be called on a runtime, which then carries everything but the clients themselves.
    pub fn start(
        settings: Settings,
        directory: Arc<dyn Directory>,
        bus: Arc<dyn Bus>,
    ) -> Result<Self, StartError> {
        let listen = |source| StartError::Listen { flag: "listen", address: settings.listen, source };
        let listener = listener::bind(settings.listen).map_err(listen)?;
        let internal = match settings.internal {
            Some(internal) => {
                let address = internal.listen;
                let listen = |source| StartError::Listen { flag: "internal-listen", address, source };
                let listener = listener::bind(address).map_err(listen)?;
                let address = listener.local_addr().map_err(listen)?;
                Some((listener, address, internal))
            }
            None => None,
        };
        let address = listener.local_addr().map_err(listen)?;
        let (counted, probed) = (Arc::clone(&directory), Arc::clone(&directory));
        let remembering = Arc::clone(&directory);
        let presences = Presences::new(Arc::clone(&directory), Arc::clone(&bus), settings.holds);
        let whereabouts = Whereabouts::new(
            settings.engine.replay.window,
            settings.engine.url_window,
            Arc::clone(&bus),
            settings.memory,
        );
        let admission = Arc::new(
            Admission::new(directory, settings.addresses, settings.outage)
                .counting_with(settings.counter, settings.addresses)
                .taking_turns(settings.openings),
        );
        let health = Health::new(Arc::clone(&bus));
        let pressure = Pressure::default();
        let (stop_accepting, accepting_stopped) = watch::channel(false);
        let site = Arc::new(Site {
            transports: Arc::new(transport::Settings {
                codec: settings.codec,
                trusted_headers: settings.trusted_headers,
                max_message: settings.max_message,
            }),
            ingest: Ingest::new(
                Arc::clone(&admission),
                Arc::clone(&bus),
                settings.publish,
                Handle::current(),
            ),
            health: health.clone(),
            pressure: pressure.clone(),
            dev: settings.dev,
            head_timeout: settings.head_timeout,
            max_head: settings.max_head,
            stopping: accepting_stopped.clone(),
        });
        let (stop_shards, shards_stopped) = watch::channel(false);
        let mut shards = Vec::new();
        let heard_total = HeardTotal::default();
        let mut engine = settings.engine;
        engine.replay.disorder = bus.disorder();
        let mut threads = Vec::new();
        for number in 0..settings.shards.max(1) {
            let parts = ShardParts {
                number,
                settings: engine.clone(),
                seed: rand::random(),
                admission: Arc::clone(&admission),
                presences: Arc::clone(&presences),
                whereabouts: Arc::clone(&whereabouts),
                heard_total: heard_total.clone(),
                background: Handle::current(),
                stop: shards_stopped.clone(),
            };
            let site = Arc::clone(&site);
            let (inbox, thread) = shard::start(parts, move |client, shard| {
                tokio::task::spawn_local(http::serve(client, shard, Arc::clone(&site)));
            })
            .map_err(StartError::Shard)?;
            shards.push(inbox);
            threads.push(thread);
        }
        let shards: Arc<[ShardInbox]> = shards.into();
        let lookout = Lookout::default();
        let inbox = NodeInbox::new(
            Arc::clone(&shards),
            remembering,
            Arc::clone(&presences),
            lookout.clone(),
            heard_total,
        );
        let mut sources = vec![
            tokio::spawn(run_bus(bus, inbox.clone())),
            tokio::spawn(self_test::run(inbox.clone())),
            tokio::spawn(Arc::clone(&presences).run(inbox.clone())),
            tokio::spawn(Arc::clone(&whereabouts).run()),
        ];
        let internal_address = internal.as_ref().map(|(_, address, _)| *address);
        if let Some((listener, address, internal)) = internal {
            let inspector = Arc::new(Inspector::new(Arc::clone(&shards), inbox.clone()));
            sources.push(tokio::spawn(Arc::clone(&inspector).run()));
            let internal = Internal {
                site: Arc::clone(&site),
                inspector,
                lookout,
                directory: probed,
                database: internal.database,
                key: internal.key,
                started: Instant::now(),
                ceiling: settings.ceiling,
                probe: Default::default(),
            };
            sources.push(tokio::spawn(internal::run(listener, Arc::new(internal))));
            info!(%address, "console and metrics started");
        }
        if let Some(ceiling) = settings.ceiling {
            sources.push(tokio::spawn(pressure.run(ceiling, inbox.clone())));
        }
        if settings.statistics {
            sources.push(tokio::spawn(statistics::run(inbox, counted)));
        }
        tokio::spawn(listener::run(listener, Arc::clone(&shards), accepting_stopped));
        health.set_ready(true);
        info!(%address, shards = shards.len(), version = env!("CARGO_PKG_VERSION"), "server started");
        Ok(Self {
            address,
            internal: internal_address,
            shards,
            threads,
            health,
            presences,
            whereabouts,
            drain: settings.drain,
            stop_accepting,
            stop_shards,
            sources,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators are served, if they are.
    pub fn internal_address(&self) -> Option<SocketAddr> {
        self.internal
    }

    /// Stops: lets nobody in, closes every connection over the drain window, then ends the threads.
    pub async fn stop(self) {
        info!("server stopping");
        self.health.set_ready(false);
        self.stop_accepting.send_replace(true);
        self.presences.stop();
        for shard in self.shards.iter() {
            shard.post(Job::Drain(self.drain)).await;
        }
        let deadline = tokio::time::Instant::now() + self.drain + LAST_WORDS;
        while self.shards.iter().any(|shard| shard.load() > 0) {
            if tokio::time::Instant::now() >= deadline {
                warn!("some clients did not take leave in time");
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.presences.settle().await;
        self.whereabouts.settle().await;
        self.sources.iter().for_each(tokio::task::JoinHandle::abort);
        self.stop_shards.send_replace(true);
        let ended = tokio::task::spawn_blocking(move || {
            self.threads.into_iter().map(JoinHandle::join).all(|ended| ended.is_ok())
        });
        if !ended.await.unwrap_or(false) {
            error!("a shard ended with a panic");
        }
        info!("server stopped");
    }
}

async fn run_bus(bus: Arc<dyn Bus>, node: NodeInbox) {
    let Err(error) = bus.run(node.clone()).await;
    node.deaf().await;
    error!(%error, bus = bus.name(), "the bus has ended; no events come in any more");
}
