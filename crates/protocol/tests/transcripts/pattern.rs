//! Compares a message with what a transcript expects of it.

use serde_json::Value;

/// Stands for any value.
const ANY: &str = "*";
/// As an entry of a list: any more entries. As a key of an object: any other members.
const MORE: &str = "...";

/// The first difference, with the path to it.
pub(crate) fn difference(expected: &Value, found: &Value) -> Option<String> {
    differ(expected, found, "$")
}

fn differ(expected: &Value, found: &Value, path: &str) -> Option<String> {
    match (expected, found) {
        (Value::String(any), _) if any == ANY => None,
        (Value::Object(expected), Value::Object(found)) => {
            let missing = expected.keys().find(|key| *key != MORE && !found.contains_key(*key));
            if let Some(key) = missing {
                return Some(format!("{path}.{key} is missing"));
            }
            let extra = found.keys().find(|key| !expected.contains_key(*key));
            if let (Some(key), false) = (extra, expected.contains_key(MORE)) {
                return Some(format!("{path}.{key} is not expected"));
            }
            expected
                .iter()
                .filter(|(key, _)| *key != MORE)
                .find_map(|(key, value)| differ(value, found.get(key)?, &format!("{path}.{key}")))
        }
        (Value::Array(expected), Value::Array(found)) => {
            let open = expected.last().is_some_and(|last| last == MORE);
            let expected = if open { &expected[..expected.len() - 1] } else { &expected[..] };
            if found.len() < expected.len() || (!open && found.len() > expected.len()) {
                return Some(format!("{path} has {} entries: {}", found.len(), Value::from(found.clone())));
            }
            let pairs = expected.iter().zip(found).enumerate();
            pairs
                .into_iter()
                .find_map(|(at, (expected, found))| differ(expected, found, &format!("{path}[{at}]")))
        }
        (expected, found) if expected == found => None,
        (expected, found) => Some(format!("{path} is {found}, expected {expected}")),
    }
}
