//! How the node is: health, counters, and what has happened in the last minutes.

use std::cmp::Reverse;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use realtime_core::id::ProjectId;
use realtime_core::stats::Stats;
use serde_json::{Value, json};

use super::Internal;
use super::metric::Readings;
use crate::directory::Directory;
use crate::inspector::{self, SAMPLE_EVERY};
use crate::pressure;

/// A project that no directory has: looking for it asks the database, whatever is remembered.
const NOBODYS: &str = "console-probe";
/// How long the directory may take to answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer is believed, so that any number of operators costs one question.
const BELIEVED: Duration = Duration::from_secs(5);
/// Projects that are named in the overview: those with most connections.
const PROJECTS: usize = 50;

/// Whether the directory answers, asked now and then if anybody wants to know.
#[derive(Debug, Default)]
pub(crate) struct DirectoryProbe(Mutex<Option<(Instant, Result<Duration, String>)>>);

impl DirectoryProbe {
    /// How long the directory takes to answer, or why it does not.
    pub(super) async fn ask(&self, directory: &dyn Directory) -> Result<Duration, String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, answer)) = known.filter(|(at, _)| at.elapsed() < BELIEVED) {
            return answer;
        }
        let asked = Instant::now();
        let nobodys = ProjectId::new(NOBODYS);
        let answer = match tokio::time::timeout(PATIENCE, directory.owner(&nobodys)).await {
            Ok(Ok(_)) => Ok(asked.elapsed()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("it has not answered for {} s", PATIENCE.as_secs())),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), answer.clone()));
        answer
    }
}

impl Internal {
    pub(super) async fn readings(&self) -> Readings {
        let shards = self.inspector.shards().await;
        Readings {
            version: env!("CARGO_PKG_VERSION"),
            stats: inspector::total(&shards),
            loads: shards.iter().map(|(stats, waiting)| (stats.connections, *waiting)).collect(),
            is_ready: self.site.health.trouble().is_none(),
            is_bus_connected: self.site.health.bus().is_connected(),
            memory: pressure::resident(),
            ceiling: self.ceiling,
            uptime: self.started.elapsed(),
        }
    }

    pub(super) async fn overview(&self) -> Value {
        let readings = self.readings().await;
        let trouble = self.site.health.trouble();
        let directory = self.probe.ask(self.directory.as_ref()).await;
        let mut projects: Vec<_> = self.inspector.projects().await.into_iter().collect();
        projects.sort_by_key(|(id, count)| (Reverse(*count), id.clone()));
        let shards: Vec<Value> = readings
            .loads
            .iter()
            .map(|(connections, waiting)| json!({ "connections": connections, "jobsWaiting": waiting }))
            .collect();
        json!({
            "version": readings.version,
            "uptimeSeconds": readings.uptime.as_secs(),
            "ready": trouble.is_none(),
            "trouble": trouble,
            "bus": { "name": self.site.health.bus().name(), "connected": readings.is_bus_connected },
            "directory": {
                "name": self.directory.name(),
                "answers": directory.is_ok(),
                "milliseconds": directory.as_ref().ok().map(|took| took.as_secs_f64() * 1_000.0),
                "trouble": directory.err(),
                "embedded": self.database.is_some(),
            },
            "memory": { "bytes": readings.memory, "ceiling": readings.ceiling },
            "stats": stats(&readings.stats),
            "shards": shards,
            "projectCount": projects.len(),
            "projects": projects
                .iter()
                .take(PROJECTS)
                .map(|(id, count)| json!({ "id": id.as_str(), "connections": count }))
                .collect::<Vec<_>>(),
        })
    }

    pub(super) fn history(&self) -> Value {
        let samples = self.inspector.samples();
        let samples: Vec<Value> = samples
            .iter()
            .map(|sample| json!({ "at": sample.at.as_millisecond(), "stats": stats(&sample.stats) }))
            .collect();
        json!({ "everyMilliseconds": SAMPLE_EVERY.as_millis() as u64, "samples": samples })
    }
}

fn stats(stats: &Stats) -> Value {
    json!({
        "connections": stats.connections,
        "subscriptions": stats.subscriptions,
        "opened": stats.opened,
        "closed": stats.closed,
        "refused": stats.refused,
        "events": stats.events,
        "deliveries": stats.deliveries,
        "slow": stats.slow,
        "leftOut": stats.left_out,
        "recovered": stats.recovered,
        "unrecovered": stats.unrecovered,
        "gaps": stats.gaps,
        "replayBytes": stats.replay_bytes,
    })
}
