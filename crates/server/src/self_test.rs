//! The event by which anybody can see that events flow: guests of the console who listen to `tests` get it every 5 s.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use realtime_core::id::{EventId, ProjectId};
use realtime_core::role::Role;
use realtime_protocol::appwrite::envelope::{self, Envelope, Object};
use tracing::error;

use crate::bus::NodeInbox;

/// As often as Appwrite's realtime.
const EVERY: Duration = Duration::from_secs(5);
/// What stands in it, as Appwrite has it.
const PAYLOAD: &str = r#"{"response":"WS:/v1/realtime:passed"}"#;

/// Tells this node's clients, and nobody else's, for as long as the node lives.
pub(crate) async fn run(node: NodeInbox) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Timestamp::now();
        let envelope = Envelope {
            project: ProjectId::console(),
            roles: vec![Role::guests()],
            permissions_changed: false,
            user: None,
            events: vec!["test.event".to_owned()],
            channels: vec!["tests".to_owned()],
            timestamp: now.strftime("%FT%T%.3f+00:00").to_string(),
            payload: Object::of(PAYLOAD),
            id: EventId::new(format!("test-{}", now.as_millisecond())),
        };
        match envelope::decode(&envelope.encode()) {
            Ok(event) => node.mention(Arc::new(event)).await,
            Err(error) => error!(%error, "the test event cannot be read"),
        }
    }
}
