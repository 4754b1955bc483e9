//! Which of the numbered behaviours of Appwrite's own tests the transcripts show, and which are knowingly left.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::script::Script;

/// Behaviours that Appwrite's tests assert, numbered 1 to 150: connection 1–18, authentication 19–24, subscribing
/// 25–47, account events 48–54, databases 55–74, files, functions and teams 75–81, console 82–87, queries 88–94, action
/// channels 95–100, console tail 101–125, subscription store 126–141, presence 142–150.
const ALL: RangeInclusive<u32> = 1..=150;

/// What no transcript shows yet, and why.
const LEFT: &[(RangeInclusive<u32>, &str)] = &[
    (
        70..=72,
        "made by Appwrite's API before anything is published: transactions, increments, hidden relations",
    ),
    (94..=94, "made by the server by the clock; shown by a test of the running server with its clients"),
    (140..=140, "made by the server with its directory; shown by tests of the running server"),
    (142..=150, "made by the server with its directory; shown by tests of the running server"),
];

pub(crate) fn check(scripts: &[Script]) {
    let covered: BTreeSet<u32> = scripts.iter().flat_map(|script| script.covers.iter().copied()).collect();
    let left: BTreeSet<u32> = LEFT.iter().flat_map(|(numbers, _)| numbers.clone()).collect();
    let unknown: Vec<&u32> = covered.iter().filter(|number| !ALL.contains(number)).collect();
    assert!(unknown.is_empty(), "there are no behaviours with the numbers {unknown:?}");
    let both: Vec<&u32> = covered.intersection(&left).collect();
    assert!(both.is_empty(), "{both:?} are covered, so they are not left any more");
    let missing: Vec<u32> =
        ALL.filter(|number| !covered.contains(number) && !left.contains(number)).collect();
    assert!(missing.is_empty(), "no transcript covers {missing:?}");
}
