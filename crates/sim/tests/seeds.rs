//! Seeds that are run every time: those that have found something, some that stand for each theme, and a fresh one.

#![expect(clippy::print_stdout, clippy::panic, reason = "a test may panic, and a fresh seed has to be told")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use realtime_sim::workload::Plan;
use realtime_sim::world::{run, run_traced};

/// Seeds that failed once, each with what it found. A seed is another run once the workload is made otherwise; what it found
/// has a test of its own where it was mended.
const FOUND: &[(u64, &str)] = &[
    (
        3,
        "who was connected before a node first listened to the bus was not told that events might be missing",
    ),
    (
        72,
        "a link that died before its first Pong was taken for that of a client that never answers, so that nothing of \
         what it lost was sent again",
    ),
    (
        117_678_253_423_673,
        "who came back while the memory was out of reach was taken for somebody new by the wiring here, unlike a server",
    ),
    (
        117_678_141_696_349,
        "a client that names the last event of each subscription was to be vouched for by one that had not heard it",
    ),
    (
        117_678_196_420_545,
        "a client that named the last event of a quiet subscription, which was too long ago to be known, was not \
         vouched for though the server knew where it had stood",
    ),
    (
        117_678_657_005_370,
        "a shard that was late with the next event said that nothing had happened yet, and another one that had \
         dropped some since vouched for it",
    ),
    (
        117_677_842_406_049,
        "a server was killed before it had shared where a subscription stands, and the answer of the next one, which took \
         it for new, was lost: what came before that answer was expected of the one after it",
    ),
    (
        117_678_107_568_283,
        "who was still getting what it had missed was told of a change of its own roles before the rest, and came back \
         for what followed that",
    ),
    (
        117_678_504_324_269,
        "the same of a subscription that was known long before, was ended, and began anew while the memory was away",
    ),
    (
        117_678_204_865_154,
        "the Pong of an earlier Ping was taken for that of a later one, which was under way at the same time",
    ),
    (117_678_566_471_385, "a link that had long been cut was expected to hear that its node stops"),
    (
        117_678_569_791_867,
        "a client that had been told once that nobody vouches for what it missed was still to be vouched for by the \
         property after a second link had failed",
    ),
    (
        117_679_180_293_034,
        "a client that was spared events as too slow, and got them when it came back, was to get nothing of what came \
         after them again by the property",
    ),
    (
        117_679_395_537_437,
        "a subscription that a client had given up before it was sent away, and made anew afterwards, was to be vouched \
         for by the property",
    ),
    (
        117_679_398_134_020,
        "a client that stalled while it was stalled read on too soon, and what it read until the end of the first time \
         was taken for what had waited",
    ),
    (
        117_679_516_743_812,
        "a client that lost two links soon after each other got a part again, since the two notes of where it stood \
         speak of the same moment",
    ),
    (
        117_678_966_424_050,
        "what came in one go when catching up was counted otherwise than where it waits, so that a client was closed as \
         too slow each time that it came back",
    ),
    (
        117_679_492_278_960,
        "a burst of 310 KB, larger than any before since each of its events came twice, took a fifth turn of the link",
    ),
    (
        117_678_907_641_083,
        "a client that gave up a silent link said goodbye, so that where it had stood was forgotten, and the connection \
         after the next one was vouched for",
    ),
    (
        117_701_237_640_597,
        "a client that was sent away was to get nothing twice though a server held a link still that the client had \
         long lost",
    ),
    (
        117_701_364_592_659,
        "a client took the answer to what it had said before for that to its authentication, and stayed a guest",
    ),
    (
        117_700_751_583_783,
        "events that waited for roles to be read again were counted as if they had found no room in the outbox",
    ),
    (
        117_700_485_916_545,
        "a client that read nothing for several heartbeats, but said something, was taken for one that never answers",
    ),
    (
        117_700_892_091_376,
        "a page that was held up and read nothing was to ping all the same, by which it was taken for one that never \
         answers",
    ),
    (
        117_700_521_956_146,
        "a client subscribed before it said who it is, and was to get what only its user may see",
    ),
    (
        117_701_337_466_836,
        "that a client had been taken for new, because the memory had been out of reach, was forgotten as soon as its \
         first server could share again where it had stood",
    ),
    (
        117_700_494_510_816,
        "a client that had been spared events, and was sent away, was to be vouched for by a server that had not heard them",
    ),
];
/// How long the other fixed seeds are run.
const TIME: Duration = Duration::from_secs(20);
/// The first of them.
const FIRST: u64 = 100_000;

fn traced(seed: u64) -> u64 {
    run_traced(&Plan::of(seed)).trace
}

fn assert_holds(seed: u64, about: &str) {
    let plan = Plan::of(seed);
    if let Some(failure) = run(&plan).failure {
        panic!("seed {seed} ({about}, {:?}): {failure}\nagain: cargo xtask sim --seed {seed}", plan.theme);
    }
}

#[test]
fn what_was_found_once_stays_mended() {
    for (seed, found) in FOUND {
        assert_holds(*seed, found);
    }
}

#[test]
fn every_promise_holds_for_fixed_seeds() {
    let until = Instant::now() + TIME;
    for seed in FIRST.. {
        assert_holds(seed, "fixed");
        if Instant::now() > until {
            println!("{} seeds from {FIRST} on", seed - FIRST + 1);
            return;
        }
    }
}

#[test]
fn every_promise_holds_for_a_fresh_seed() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = u64::from(since.subsec_nanos()) ^ (since.as_secs() << 16);
    println!("fresh seed {seed}");
    assert_holds(seed, "fresh");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (once, again, other) = (traced(5), traced(5), traced(6));
    assert_eq!(once, again);
    assert_ne!(once, other);
}
