//! `realtime serve`: a server on the embedded database.

use std::sync::Arc;

use clap::{ArgMatches, Command};
use tokio::signal;
use tracing::info;

use super::{Failure, config, runtime, settings};
use crate::bus::memory::Memory;
use crate::config::Config;
use crate::embedded::Embedded;
use crate::http::dev::Dev;
use crate::node::{Node, Settings};
use crate::telemetry;

pub(super) fn command() -> Command {
    settings(Command::new("serve").about("Serve clients from the embedded database").after_help(
        "Examples:\n  realtime serve --data-dir /var/lib/realtime --listen 0.0.0.0:80\n  \
             REALTIME_LOG_FORMAT=json realtime serve --config realtime.toml",
    ))
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let config = config(matches)?;
    telemetry::start(&config.log);
    runtime()?.block_on(async {
        let embedded = Embedded::open(&config).await?;
        let node = start(&config, &embedded, None)?;
        until_told_to_stop().await;
        stop(node, &embedded).await;
        Ok(())
    })
}

/// Starts a node on the embedded database.
pub(super) fn start(config: &Config, embedded: &Embedded, dev: Option<Dev>) -> Result<Node, Failure> {
    let settings = Settings { dev, ..config.node() };
    Ok(Node::start(settings, embedded.directory(config)?, Arc::new(Memory::default()))?)
}

/// Stops it, at once if told so a second time.
pub(super) async fn stop(node: Node, embedded: &Embedded) {
    tokio::select! {
        () = node.stop() => {}
        () = until_told_to_stop() => info!("stopping at once"),
    }
    embedded.database.close().await;
}

/// SIGINT or SIGTERM.
#[cfg(unix)]
pub(super) async fn until_told_to_stop() {
    let interrupted = signal::ctrl_c();
    match signal::unix::signal(signal::unix::SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
        }
        Err(_) => drop(interrupted.await),
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
pub(super) async fn until_told_to_stop() {
    drop(signal::ctrl_c().await);
}
