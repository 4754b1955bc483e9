//! Query strings are read as PHP reads them: held against PHP's own answers.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use realtime_protocol::appwrite::query_string::{Param, QueryString};
use serde_json::{Value, json};

/// Members as pairs of key and text or members.
fn shape<'a>(members: impl Iterator<Item = (&'a str, &'a Param)>) -> Value {
    let pair = |(key, param): (&str, &Param)| match param {
        Param::Text(text) => json!([key, text]),
        Param::List(list) => json!([key, shape(list.iter())]),
    };
    members.map(pair).collect()
}

#[test]
fn query_strings_are_read_as_php_reads_them() {
    let answers = include_str!("php-query-string.txt");
    let mut differences = Vec::new();
    for line in answers.lines().filter(|line| !line.starts_with('#')) {
        let (text, expected): (String, Value) = serde_json::from_str(line).unwrap();
        let found = shape(QueryString::parse(text.as_bytes()).iter());
        if found != expected {
            differences.push(format!("{text}: {found}, in PHP {expected}"));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
