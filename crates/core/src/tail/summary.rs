//! What a live tail tells of an event: its metadata, and nothing of the resource but its id.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::channel::Action;
use crate::event::Event;
use crate::query::Payload;

/// Databases as events name them, by their APIs.
const DATABASES: [&str; 4] = ["databases", "tablesdb", "documentsdb", "vectorsdb"];
/// What documents and rows are kept in.
const COLLECTIONS: [&str; 2] = ["collections", "tables"];

/// An event's metadata as Appwrite's console shows it; queries of a tail are asked of it.
pub(super) fn summary_of(event: &Event) -> Payload {
    let data = Payload::new(event.data.clone());
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map_or(Value::Null, Value::from);
    let mut summary = Map::new();
    let mut put = |key: &str, value: Value| summary.insert(key.to_owned(), value);
    put("event", event.name.as_deref().map_or(Value::Null, Value::from));
    let name = event.name.as_deref().unwrap_or_default();
    let segments: Vec<&str> = name.split('.').collect();
    let family = segments.first().copied().filter(|segment| !segment.is_empty());
    put("type", family.map_or(Value::Null, Value::from));
    put("action", action_of(&segments).map_or(Value::Null, |action| action.as_str().into()));
    put("userId", event.user.as_ref().map_or(Value::Null, |user| user.as_str().into()));
    put("timestamp", text(data.attribute("timestamp")));
    put("resourceId", text(event.payload.attribute("$id")));
    for (key, id) in scope_of(&segments) {
        put(key, id.into());
    }
    Payload::new(Bytes::from(Value::Object(summary).to_string()))
}

/// The last segment, or the one before an attribute: `users.U.update.name`.
fn action_of(segments: &[&str]) -> Option<Action> {
    segments.iter().rev().take(2).find_map(|segment| Action::parse(segment))
}

/// Ids of what the resource is kept in.
fn scope_of<'a>(segments: &[&'a str]) -> impl Iterator<Item = (&'static str, &'a str)> {
    let at = |place: usize| segments.get(place).copied().unwrap_or_default();
    let (first, second) = match at(0) {
        family if DATABASES.contains(&family) => {
            let collection = COLLECTIONS.contains(&at(2)).then_some(("collectionId", at(3)));
            (Some(("databaseId", at(1))), collection)
        }
        "buckets" => (Some(("bucketId", at(1))), None),
        "functions" => (Some(("functionId", at(1))), None),
        "teams" => (Some(("teamId", at(1))), None),
        _ => (None, None),
    };
    [first, second].into_iter().flatten().filter(|(_, id)| !matches!(*id, "" | "*"))
}
