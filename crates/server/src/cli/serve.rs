//! `realtime serve`: a server on the embedded database or on an Appwrite installation.

use std::io;
use std::sync::Arc;

use clap::{ArgMatches, Command};
use tokio::signal;
use tracing::info;

use super::{Failure, config, runtime, settings};
use crate::admission::SharedCounter;
use crate::bus::Bus;
use crate::bus::memory::Memory;
use crate::bus::nats::Nats;
use crate::bus::redis::Redis;
use crate::config::layer::ignored_variables;
use crate::directory::appwrite::copies::Copies;
use crate::embedded::Embedded;
use crate::installation;
use crate::node::{Node, Settings};
use crate::presence::SharedHolds;
use crate::telemetry;
use crate::whereabouts::SharedMemory;

pub(super) fn command() -> Command {
    settings(Command::new("serve").about("Serve clients, from the embedded database or beside Appwrite").after_help(
        "Examples:\n  realtime serve --data-dir /var/lib/realtime --listen 0.0.0.0:80\n  \
             REALTIME_LOG_FORMAT=json realtime serve --config realtime.toml\n\n\
             With _APP_DB_HOST set (or --database-host), projects and users are those of an Appwrite installation, and \
             with _APP_REDIS_HOST (or --redis-host) events come from its Redis. With --nats-url they come from NATS.",
    ))
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let config = config(matches)?;
    telemetry::start(&config.log);
    for (variable, reason) in ignored_variables(|name| std::env::var(name).ok()) {
        info!(variable, reason, "a variable of Appwrite's means nothing here");
    }
    runtime()?.block_on(async {
        let told = Told::new()?;
        let redis = config.redis.as_ref().map(Redis::new).transpose()?.map(Arc::new);
        let counter = redis.clone().map(|redis| redis as Arc<dyn SharedCounter>);
        let holds = redis.clone().map(|redis| redis as Arc<dyn SharedHolds>);
        let nats = config.nats.as_ref().map(Nats::new).transpose()?.map(Arc::new);
        let memory = redis.clone().map(|redis| redis as Arc<dyn SharedMemory>);
        let memory = memory.or_else(|| nats.clone().map(|nats| nats as Arc<dyn SharedMemory>));
        let copies = redis.clone().map(|redis| redis as Arc<dyn Copies>);
        let bus: Arc<dyn Bus> = match (nats, redis) {
            (Some(nats), _) => {
                info!(
                    "each server counts connections by address and keeps presences for itself: they are shared in Redis \
                     alone, and events come from NATS"
                );
                nats
            }
            (None, Some(redis)) => redis,
            (None, None) => Arc::new(Memory::default()),
        };
        let settings = Settings { counter, holds, memory, ..config.node() };
        if let Some(database) = &config.database {
            let node = Node::start(settings, installation::directory(&config, database, copies)?, bus)?;
            until_told_to_stop(told, node).await;
            return Ok(());
        }
        let embedded = Embedded::open(&config).await?;
        let settings = with_projects(settings, &embedded);
        let node = Node::start(settings, embedded.directory(&config)?, bus)?;
        until_told_to_stop(told, node).await;
        embedded.database.close().await;
        Ok(())
    })
}

/// Operators may change projects that are in the embedded database.
pub(super) fn with_projects(mut settings: Settings, embedded: &Embedded) -> Settings {
    if let Some(internal) = &mut settings.internal {
        internal.database = Some(embedded.database.clone());
    }
    settings
}

/// Serves until told to stop, then stops: at once if told so a second time.
pub(super) async fn until_told_to_stop(mut told: Told, node: Node) {
    told.wait().await;
    tokio::select! {
        () = node.stop() => {}
        () = told.wait() => info!("stopping at once"),
    }
}

/// Hears SIGINT and SIGTERM from the moment that it is made: whoever sees the server start may stop it at once.
#[cfg(unix)]
pub(super) struct Told {
    interrupted: signal::unix::Signal,
    terminated: signal::unix::Signal,
}

#[cfg(unix)]
impl Told {
    pub(super) fn new() -> io::Result<Self> {
        use signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupted: signal(SignalKind::interrupt())?,
            terminated: signal(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupted.recv() => {}
            _ = self.terminated.recv() => {}
        }
    }
}

/// Hears Ctrl-C.
#[cfg(not(unix))]
pub(super) struct Told;

#[cfg(not(unix))]
impl Told {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn wait(&mut self) {
        drop(signal::ctrl_c().await);
    }
}
