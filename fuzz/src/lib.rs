//! The bodies of the fuzz targets: each takes any bytes at all, and panics if a promise is broken.
//!
//! They are plain functions, so that the same code runs under libFuzzer and, with the committed corpora, in a test
//! on any machine. A new target is a function here, a line in [`TARGETS`], a file in `fuzz_targets` and a corpus.

use bytes::Bytes;
use realtime_core::id::ProjectId;
use realtime_core::origin::{OriginRules, OriginSettings, check, host_of};
use realtime_core::project::{Platform, Project};
use realtime_core::query::{Filter, Limits, Payload};

/// A target panics if bytes make the product break a promise.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its corpus.
pub const TARGETS: [(&str, Target); 2] = [("query", query), ("origin", origin)];

/// A payload in the first line, queries in the others: whatever they are, the answer is the same each time, and
/// a filter written anew from its canonical form gives it too.
pub fn query(data: &[u8]) {
    let (payload, queries) = match data.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &b""[..]),
    };
    let queries = String::from_utf8_lossy(queries);
    let queries: Vec<&str> = queries.lines().collect();
    let filter = match Filter::parse(&queries, &Limits::default()) {
        Ok(filter) => filter,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let passed = filter.matches(&Payload::new(Bytes::copy_from_slice(payload)));
    assert!(passed || !filter.is_everything(), "everything passes the filter that lets everything through");
    assert_eq!(filter.canonical().len(), queries.len());
    let again = Filter::parse(filter.canonical(), &Limits::default()).expect("the canonical form is valid");
    assert_eq!(again.canonical(), filter.canonical());
    assert_eq!(again.matches(&Payload::new(Bytes::copy_from_slice(payload))), passed);
}

/// An origin in the first line, then kind, hostname and key of a platform: owning the host only ever opens doors.
pub fn origin(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let origin = next();
    let platform = Platform { kind: next().into(), hostname: next().into(), key: next().into() };
    let project = Project {
        id: ProjectId::new("p"),
        sequence: String::new(),
        team: None,
        region: String::new(),
        realtime_enabled: true,
        platforms: vec![platform],
    };
    let rules = OriginRules::of(&project, &OriginSettings::default());
    let foreign = check(origin, &rules, false, false);
    let own = check(origin, &rules, false, true);
    assert!(foreign.is_err() || own.is_ok());
    if check(origin, &rules, true, false).is_ok() && !origin.is_empty() {
        assert!(origin.is_ascii(), "a URL is ASCII");
    }
    if let Some(host) = host_of(origin) {
        assert!(!host.is_empty() && !host.contains(['@', '/', '?', '#']));
    }
}
