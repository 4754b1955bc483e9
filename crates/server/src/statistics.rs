//! How many connections each project has, on all servers together: told to the console every 5 s, as Appwrite does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use realtime_core::id::{EventId, ProjectId};
use realtime_core::role::Role;
use realtime_protocol::appwrite::envelope::{self, Envelope, Object};
use tracing::{debug, error, info};

use crate::bus::NodeInbox;
use crate::directory::Directory;

/// As often as Appwrite's realtime.
const EVERY: Duration = Duration::from_secs(5);
/// Projects that are told of when nobody is connected any more, at most.
const MAX_PROJECTS: usize = 10_000;

/// Counts, shares the count through the directory, and tells this node's clients, for as long as the node lives.
pub(crate) async fn run(node: NodeInbox, directory: Arc<dyn Directory>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut own: BTreeMap<ProjectId, u64> = BTreeMap::new();
    let mut is_shared = true;
    loop {
        ticks.tick().await;
        // A project that was seen once is told of with zero.
        own.values_mut().for_each(|count| *count = 0);
        if own.len() > MAX_PROJECTS {
            own.clear();
        }
        own.extend(node.connections().await);
        let totals = match directory.share_counts(&own).await {
            Ok(totals) => {
                is_shared = true;
                totals
            }
            Err(error) => {
                if std::mem::take(&mut is_shared) {
                    info!(%error, "connections are counted for this server alone");
                }
                own.clone()
            }
        };
        if own.get(&ProjectId::console()).is_some_and(|listeners| *listeners > 0) {
            tell(&node, directory.as_ref(), &own, &totals).await;
        }
    }
}

/// Tells of every project that has been connected to here; only the team that owns a project hears of it.
async fn tell(
    node: &NodeInbox,
    directory: &dyn Directory,
    own: &BTreeMap<ProjectId, u64>,
    totals: &BTreeMap<ProjectId, u64>,
) {
    for id in own.keys().filter(|id| !id.is_console()) {
        let team = match directory.project(id).await {
            Ok(project) => project.and_then(|project| project.team.clone()),
            Err(error) => {
                debug!(%error, project = %id, "the console is not told of a project's connections");
                None
            }
        };
        let Some(team) = team else { continue };
        let now = Timestamp::now();
        let count = totals.get(id).copied().unwrap_or_default();
        let envelope = Envelope {
            project: ProjectId::console(),
            roles: vec![Role::team(&team)],
            permissions_changed: false,
            user: None,
            events: vec!["stats.connections".to_owned()],
            channels: vec!["project".to_owned()],
            timestamp: now.strftime("%FT%T%.3f+00:00").to_string(),
            payload: Object::of_number(id.as_str(), count),
            id: EventId::new(format!("stats-{}-{id}", now.as_millisecond())),
        };
        match envelope::decode(&envelope.encode()) {
            Ok(event) => node.mention(Arc::new(event)).await,
            Err(error) => error!(%error, "the event with the connections of a project cannot be read"),
        }
    }
}
