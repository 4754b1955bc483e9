//! The log against the obvious one: a list of everything that ever happened.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic, and its clock must begin somewhere"
)]

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::event::Spellings;
use crate::query::Payload;

fn event(project: &str, id: &str, size: usize) -> Arc<Event> {
    Arc::new(Event {
        id: id.into(),
        project: project.into(),
        channels: vec![],
        roles: vec![],
        name: None,
        user: None,
        data: Bytes::from(vec![b' '; size]),
        payload: Payload::new(Bytes::from_static(b"{}")),
        roles_changed: None,
        spellings: Spellings::default(),
    })
}

fn bounds() -> Bounds {
    let window = Duration::from_secs(10);
    Bounds { window, events: 4, bytes: 100_000, total_bytes: 1_000_000, disorder: Duration::ZERO }
}

/// A log that has heard everything since a moment.
fn log_since(bounds: Bounds, since: Instant) -> Replay {
    let mut replay = Replay::new(bounds, 1);
    replay.load_from(since);
    replay.loaded();
    replay
}

fn ids(replay: &Replay, project: &str, mark: Mark) -> Vec<String> {
    let after = replay.after(&project.into(), mark, 100).unwrap();
    after.iter().map(|(_, event)| event.id.to_string()).collect()
}

fn after(id: &str, at: Instant) -> Parked {
    Parked { position: Position::After(id.into()), at }
}

#[test]
fn everything_after_a_position_is_found_or_nothing() {
    let now = Instant::now();
    let mut replay = log_since(bounds(), now);
    for id in ["a", "b", "c", "d", "e", "f"] {
        replay.record(&event("p", id, 1), now);
        replay.record(&event("other", id, 1), now);
    }
    let p = "p".into();
    let found = |id: &str| replay.find(&p, &after(id, now)).map(|mark| ids(&replay, "p", mark));
    assert_eq!(found("a"), Err(Lost::Unknown), "two are dropped, and it is the first of them");
    assert_eq!(found("b").unwrap(), ["c", "d", "e", "f"], "all that came after is still there");
    assert_eq!(found("e").unwrap(), ["f"]);
    assert_eq!(found("f").unwrap(), [""; 0]);
    assert_eq!(found("never"), Err(Lost::Unknown));
    let lost = Parked { position: Position::Lost, at: now };
    assert_eq!(replay.find(&p, &lost), Err(Lost::Unknown));
}

#[test]
fn a_project_that_was_quiet_for_long_is_still_known() {
    let start = Instant::now();
    let mut replay = log_since(bounds(), start);
    let mark = replay.record(&event("p", "a", 1), start);
    let later = start + Duration::from_secs(60);
    replay.record(&event("noise", "n", 1), later);
    assert_eq!(replay.place_at(&"p".into(), mark).position, Position::After("a".into()));
    assert_eq!(replay.find(&"p".into(), &after("a", later)), Ok(mark));
}

#[test]
fn before_anything_happened_is_a_place_too_if_somebody_listened() {
    let (mut replay, start) = (Replay::new(bounds(), 1), Instant::now());
    let p: ProjectId = "p".into();
    assert_eq!(replay.place_at(&p, replay.last()).position, Position::Beginning);
    let at = |seconds| Parked { position: Position::Beginning, at: start + Duration::from_secs(seconds) };
    assert_eq!(replay.find(&p, &at(5)), Err(Lost::Gap), "nobody listened yet");
    replay.restart(start + Duration::from_secs(3));
    assert_eq!(replay.find(&p, &at(2)), Err(Lost::Unknown));
    replay.record(&event("p", "a", 1), start + Duration::from_secs(6));
    assert_eq!(ids(&replay, "p", replay.find(&p, &at(5)).unwrap()), ["a"]);
    for id in ["b", "c", "d", "e"] {
        replay.record(&event("p", id, 1), start + Duration::from_secs(6));
    }
    assert_eq!(replay.find(&p, &at(5)), Err(Lost::Unknown), "what came after is not all there");
    assert!(replay.find(&p, &at(7)).is_ok());
}

#[test]
fn what_the_source_has_kept_is_known_from_when_it_happened() {
    let (mut replay, start) = (Replay::new(bounds(), 1), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    replay.load_from(at(10));
    replay.record(&event("p", "a", 1), at(12));
    replay.record(&event("p", "b", 1), at(14));
    replay.loaded();
    let found = |parked: Parked| replay.find(&"p".into(), &parked).map(|mark| ids(&replay, "p", mark));
    assert_eq!(found(after("a", at(14))).unwrap(), ["b"]);
    let beginning = |seconds| Parked { position: Position::Beginning, at: at(seconds) };
    assert_eq!(found(beginning(11)).unwrap(), ["a", "b"]);
    assert_eq!(found(beginning(9)), Err(Lost::Unknown), "of before nothing is known");
    assert_eq!(found(after("z", at(11))).unwrap(), ["a", "b"], "it was quiet from z until then");
    assert_eq!(found(after("z", at(9))), Err(Lost::Unknown), "something may have come after z");
}

#[test]
fn nobody_is_vouched_for_until_what_the_source_has_kept_is_there() {
    let (mut replay, start) = (Replay::new(bounds(), 1), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let p: ProjectId = "p".into();
    replay.load_from(at(0));
    replay.record(&event("p", "a", 1), at(1));
    // It stood after `b`, which is not there yet, and so is not what came after `b`.
    assert_eq!(replay.find(&p, &after("b", at(2))), Err(Lost::Unknown));
    assert_eq!(replay.find_event(&p, &"a".into()), Err(Lost::Unknown));
    replay.gap(at(20));
    replay.record(&event("p", "b", 1), at(2));
    assert_eq!(replay.find_event(&p, &"b".into()), Err(Lost::Unknown), "a gap is not the end of it");
    replay.record(&event("p", "c", 1), at(3));
    replay.loaded();
    assert_eq!(ids(&replay, "p", replay.find_event(&p, &"b".into()).unwrap()), ["c"]);
    assert_eq!(replay.find(&p, &after("a", at(2))), Err(Lost::Gap), "what was there went with the gap");
}

#[test]
fn a_log_that_hears_nothing_vouches_for_nobody() {
    let (mut replay, start) = (Replay::new(bounds(), 1), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let p: ProjectId = "p".into();
    replay.record(&event("p", "a", 1), at(1));
    assert_eq!(replay.find_event(&p, &"a".into()), Err(Lost::Gap), "it has not begun to hear");
    replay.restart(at(2));
    replay.record(&event("p", "b", 1), at(3));
    assert!(replay.find(&p, &after("b", at(3))).is_ok());
    replay.deaf();
    assert_eq!(replay.find(&p, &after("b", at(4))), Err(Lost::Gap));
    assert_eq!(replay.find_event(&p, &"b".into()), Err(Lost::Gap));
    replay.gap(at(5));
    assert!(replay.find(&p, &after("b", at(6))).is_ok(), "whoever stood somewhere since misses nothing");
}

#[test]
fn a_place_was_taken_before_the_next_event_came() {
    let (mut replay, start) = (Replay::new(bounds(), 1), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let p = "p".into();
    assert_eq!(replay.place_at(&p, replay.last()).at, None);
    let first = replay.record(&event("p", "a", 1), at(1));
    assert_eq!(replay.place_at(&p, first.before()).at, Some(at(1)));
    assert_eq!(replay.place_at(&p, first).at, None);
    replay.record(&event("p", "b", 1), at(2));
    assert_eq!(replay.place_at(&p, first).at, Some(at(2)));
}

#[test]
fn a_place_taken_by_who_hears_nothing_is_as_old_as_what_it_last_heard() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut replay = log_since(bounds(), at(0));
    let p = "p".into();
    let mark = replay.record(&event("p", "x", 1), at(1));
    // It is cut off from 10 s on, and the client leaves at 60 s. What was missed is read then, more than is kept.
    let (left, unheard) = (at(60), Duration::from_secs(50));
    let place = replay.place_at(&p, mark).unheard_for(unheard, left);
    for (number, id) in ["a", "b", "c", "d", "e", "f"].iter().enumerate() {
        replay.record(&event("p", id, 1), at(20 + number as u64));
    }
    let parked = |place: Place| Parked { position: place.position, at: place.at.unwrap_or(left) };
    assert_eq!(replay.find(&p, &parked(place)), Err(Lost::Unknown), "`a` and `b` are not kept any more");
    let heard = replay.place_at(&p, replay.last().before());
    assert!(heard.at.is_some());
    assert_eq!(heard.clone().unheard_for(unheard, left), heard, "when the next one came is known");
}

#[test]
fn a_project_whose_log_was_forgotten_is_not_taken_for_one_without_events() {
    let (mut replay, start) =
        (Replay::new(Bounds { total_bytes: 10_000_000, ..bounds() }, 1), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    replay.restart(start);
    replay.record(&event("p", "a", 1), at(5));
    for number in 0..=MAX_LOGS {
        replay.record(&event(&number.to_string(), "n", 1), at(5));
    }
    replay.record(&event("noise", "n", 1), at(60));
    let parked = Parked { position: Position::Beginning, at: at(4) };
    assert_eq!(replay.find(&"p".into(), &parked), Err(Lost::Unknown));
}

#[test]
fn who_comes_back_to_where_nothing_had_happened_stands_there_again() {
    let (mut replay, start) = (Replay::new(bounds(), 1), Instant::now());
    let (p, at) = ("p".into(), start + Duration::from_secs(1));
    replay.restart(start);
    for _ in 0..3 {
        let found = replay.find(&p, &Parked { position: Position::Beginning, at }).unwrap();
        assert_eq!(replay.place_at(&p, found).position, Position::Beginning);
    }
}

#[test]
fn a_place_in_a_log_that_was_forgotten_is_lost_and_one_found_since_can_be_told_again() {
    let bounds = Bounds { total_bytes: 10_000_000, ..bounds() };
    let (mut replay, start) = (Replay::new(bounds, 1), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    replay.restart(start);
    let before = replay.last();
    for number in 0..=MAX_LOGS {
        replay.record(&event(&number.to_string(), "n", 1), at(5));
    }
    let quiet = replay.find(&"quiet".into(), &Parked { position: Position::Beginning, at: at(4) }).unwrap();
    assert_eq!(replay.place_at(&"quiet".into(), quiet).position, Position::Beginning);
    replay.record(&event("noise", "n", 1), at(60));
    assert_eq!(replay.place_at(&"7".into(), before).position, Position::Lost);
    let found = replay.find(&"7".into(), &Parked { position: Position::Beginning, at: at(59) }).unwrap();
    assert_eq!(replay.place_at(&"7".into(), found).position, Position::Beginning);
    replay.record(&event("7", "again", 1), at(61));
    assert_eq!(ids(&replay, "7", found), ["again"]);
}

#[test]
fn nothing_before_a_gap_is_vouched_for() {
    let (mut replay, start) = (Replay::new(bounds(), 1), Instant::now());
    let p: ProjectId = "p".into();
    replay.restart(start);
    replay.record(&event("p", "a", 1), start);
    let (gap, later) = (start + Duration::from_secs(2), start + Duration::from_secs(3));
    replay.gap(gap);
    assert_eq!(replay.find(&p, &after("a", start)), Err(Lost::Gap));
    assert_eq!(replay.find(&p, &Parked { position: Position::Beginning, at: start }), Err(Lost::Gap));
    replay.record(&event("p", "b", 1), later);
    assert_eq!(replay.find(&p, &after("a", start)), Err(Lost::Gap));
    assert!(replay.find(&p, &after("b", later)).is_ok());
    assert_eq!(replay.find(&p, &Parked { position: Position::Beginning, at: gap }), Err(Lost::Gap));
    assert!(replay.find(&p, &Parked { position: Position::Beginning, at: later }).is_ok());
}

#[test]
fn a_project_with_much_to_say_takes_nothing_from_the_others() {
    let bounds = Bounds { events: 1_000, bytes: 50_000, total_bytes: 60_000, ..bounds() };
    let now = Instant::now();
    let mut replay = log_since(bounds, now);
    replay.record(&event("quiet", "q", 5_000), now);
    for number in 0..1_000 {
        replay.record(&event("loud", &number.to_string(), 1_000), now);
    }
    assert!(replay.bytes() <= 60_000);
    assert!(replay.find(&"quiet".into(), &after("q", now)).is_ok());
    assert!(replay.find(&"loud".into(), &after("999", now)).is_ok());
}

#[test]
fn room_is_made_for_more_than_one_event_and_by_the_loudest() {
    let bounds = Bounds { events: 10_000, bytes: 1_000_000, total_bytes: 80_000, ..bounds() };
    let now = Instant::now();
    let mut replay = log_since(bounds, now);
    for project in ["quiet", "quieter"] {
        replay.record(&event(project, "q", 5_000), now);
    }
    let mut cuts = 0;
    for number in 0..1_000 {
        let before = replay.bytes();
        replay.record(&event(["loud", "louder", "louder"][number % 3], &number.to_string(), 1_000), now);
        if replay.bytes() < before {
            cuts += 1;
            assert!(replay.bytes() <= 70_000);
        }
        assert!(replay.bytes() <= 80_000);
    }
    assert!((1..=150).contains(&cuts), "all logs were looked at {cuts} times");
    let kept = |project: &str| replay.after(&project.into(), Mark::default(), 100).map(|kept| kept.len());
    assert_eq!((kept("quiet"), kept("quieter")), (Some(1), Some(1)));
    assert_eq!(replay.bytes(), replay.logs.values().map(|log| log.bytes).sum::<usize>());
}

#[test]
fn sizes_are_cut_to_a_level_that_fits() {
    for (sizes, enough, expected) in [
        (vec![10, 20, 30], 60, usize::MAX),
        (vec![30, 10, 20], 50, 20),
        (vec![100, 1, 100], 51, 25),
        (vec![7, 7, 7], 3, 1),
        (vec![7], 0, 0),
        (vec![], 0, usize::MAX),
    ] {
        assert_eq!(level(sizes.clone(), enough), expected, "{sizes:?} in {enough}");
    }
}

#[test]
fn an_event_that_came_twice_is_known_by_the_first_time() {
    let now = Instant::now();
    let mut replay = log_since(bounds(), now);
    let p: ProjectId = "p".into();
    let mut found_with = |id: &str| {
        replay.record(&event("p", id, 1), now);
        replay.find_event(&p, &"a".into()).map(|mark| ids(&replay, "p", mark))
    };
    for (id, expected) in [
        ("a", Ok(vec![])),
        ("b", Ok(vec!["b"])),
        ("a", Ok(vec!["b", "a"])),
        ("c", Ok(vec!["b", "a", "c"])),
        ("d", Ok(vec!["b", "a", "c", "d"])),
        // Whoever has seen the first one alone misses `b`, also once the second one is the last that was dropped.
        ("e", Err(Lost::Unknown)),
        ("f", Err(Lost::Unknown)),
    ] {
        let expected = expected.map(|ids| ids.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(found_with(id), expected, "after {id}");
    }
}

#[test]
fn an_event_that_came_often_is_not_known_by_a_later_time_once_the_first_is_dropped() {
    let now = Instant::now();
    let mut replay = log_since(bounds(), now);
    let p: ProjectId = "p".into();
    let mut known_with = |id: &str| {
        replay.record(&event("p", id, 1), now);
        replay.find_event(&p, &"a".into()).is_ok()
    };
    // Four are kept, and the last that was dropped is known.
    assert!(["a", "b", "a", "c", "d"].into_iter().all(&mut known_with));
    for id in ["e", "a", "f", "g"] {
        assert!(!known_with(id), "whoever has seen the first `a` alone misses `b`, with {id}");
    }
}

#[test]
fn what_another_engine_may_have_heard_after_the_place_comes_again() {
    let start = Instant::now();
    let bounds = Bounds { disorder: Duration::from_secs(2), ..bounds() };
    let mut young = log_since(bounds, start);
    young.record(&event("p", "a", 1), start + bounds.disorder);
    young.record(&event("p", "b", 1), start + bounds.disorder * 2);
    assert_eq!(
        young.find_event(&"p".into(), &"a".into()),
        Err(Lost::Unknown),
        "what came late was before it"
    );
    assert!(young.find_event(&"p".into(), &"b".into()).is_ok());
    let start = start + Duration::from_secs(60);
    let mut replay = log_since(bounds, start - Duration::from_secs(3));
    let p = "p".into();
    for (second, id) in ["a", "b", "c", "d"].iter().enumerate() {
        replay.record(&event("p", id, 1), start + Duration::from_millis(1_500) * second as u32);
    }
    let found =
        |replay: &Replay, id: &str| replay.find_event(&p, &id.into()).map(|mark| ids(replay, "p", mark));
    assert_eq!(found(&replay, "a").unwrap(), ["a", "b", "c", "d"]);
    assert_eq!(found(&replay, "c").unwrap(), ["b", "c", "d"]);
    assert_eq!(found(&replay, "d").unwrap(), ["c", "d"]);
    replay.record(&event("p", "e", 1), start + Duration::from_secs(6));
    assert_eq!(found(&replay, "d").unwrap(), ["c", "d", "e"]);
    assert_eq!(found(&replay, "b"), Err(Lost::Unknown), "what was before it is not there any more");
    replay.record(&event("p", "f", 1), start + Duration::from_secs(6));
    assert_eq!(found(&replay, "d"), Ok(vec!["c".into(), "d".into(), "e".into(), "f".into()]));
}

#[test]
fn a_log_that_made_room_is_not_forgotten_while_its_events_are_recent() {
    let start = Instant::now();
    let mut replay = log_since(Bounds { bytes: 1_000_000, total_bytes: MAX_LOGS * 2_000, ..bounds() }, start);
    for number in 0..=MAX_LOGS {
        replay.record(&event(&format!("quiet {number}"), "e", 1), start);
    }
    let now = start + Duration::from_secs(60);
    let before = Parked { position: Position::Beginning, at: now };
    replay.record(&event("busy", "dropped", 900_000), now + Duration::from_secs(1));
    let level = replay.bounds.total_bytes;
    replay.bounds.total_bytes = 1;
    replay.make_room();
    replay.bounds.total_bytes = level;
    replay.record(&event("other", "later", 1), now + Duration::from_secs(5));
    assert_eq!(replay.find(&"busy".into(), &before), Err(Lost::Unknown));
}

#[test]
fn what_is_recorded_late_does_not_make_a_later_event_look_older() {
    let start = Instant::now();
    let mut replay = log_since(bounds(), start);
    let at = |second| start + Duration::from_secs(second);
    replay.record(&event("p", "live", 1), at(9));
    // A source that kept it says that it was earlier.
    replay.record(&event("p", "kept", 1), at(7));
    for id in ["a", "b", "c", "d"] {
        replay.record(&event("p", id, 1), at(10));
    }
    let before_both = Parked { position: Position::Beginning, at: at(8) };
    assert_eq!(replay.find(&"p".into(), &before_both), Err(Lost::Unknown));
}

#[derive(Debug, Clone)]
enum Step {
    Record { project: usize, size: usize, seconds: u64 },
    Gap,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..3usize, 0..400usize, 0..4u64)
            .prop_map(|(project, size, seconds)| Step::Record { project, size, seconds }),
        1 => Just(Step::Gap),
    ]
}

const PROJECTS: [&str; 3] = ["p", "q", "r"];

proptest! {
    #[test]
    fn what_is_recovered_is_exactly_what_happened_since(steps in proptest::collection::vec(step(), 0..80)) {
        let window = Duration::from_secs(12);
        let bounds = Bounds { window, events: 8, bytes: 3_000, total_bytes: 6_000, ..bounds() };
        let mut now = Instant::now();
        let mut replay = log_since(bounds, now);
        let start = now;
        // Everything that ever happened: project, id, mark, and when; and where the gaps are.
        let mut all: Vec<(usize, String, Mark, Instant)> = Vec::new();
        let (mut since_gap, mut gap_at) = (0, None);
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Record { project, size, seconds } => {
                    now += Duration::from_secs(*seconds);
                    let id = number.to_string();
                    let mark = replay.record(&event(PROJECTS[*project], &id, *size), now);
                    all.push((*project, id, mark, now));
                }
                Step::Gap => {
                    now += Duration::from_secs(1);
                    replay.gap(now);
                    since_gap = all.len();
                    gap_at = Some(now);
                }
            }
        }
        prop_assert!(replay.bytes() <= 6_000 || all.len() == 1);
        now += Duration::from_secs(1);
        for (place, (project, id, mark, _)) in all.iter().enumerate() {
            let name: ProjectId = PROJECTS[*project].into();
            let later = || all[place + 1..].iter().filter(|(other, ..)| other == project);
            let expected: Vec<&str> = later().map(|(_, id, ..)| id.as_str()).collect();
            let until = later().map(|(.., at)| *at).next().unwrap_or(now);
            match replay.find(&name, &after(id, until)) {
                Ok(found) => {
                    // Whoever knows that nothing came between it and the gap missed nothing in the gap.
                    prop_assert!(place >= since_gap || until > gap_at.unwrap(), "{} is before the gap", id);
                    prop_assert!(place < since_gap || found == *mark);
                    prop_assert_eq!(ids(&replay, PROJECTS[*project], found), expected);
                }
                // The newest can always be resumed after.
                Err(_) => prop_assert!(place < since_gap || !expected.is_empty()),
            }
            if let Position::After(known) = replay.place_at(&name, *mark).position
                && place >= since_gap
            {
                prop_assert_eq!(known.as_str(), id.as_str());
            }
        }
        if since_gap == 0 {
            for (project, name) in PROJECTS.iter().enumerate() {
                let parked = Parked { position: Position::Beginning, at: start };
                if let Ok(found) = replay.find(&(*name).into(), &parked) {
                    let expected: Vec<&str> =
                        all.iter().filter(|(other, ..)| *other == project).map(|(_, id, ..)| id.as_str()).collect();
                    prop_assert_eq!(ids(&replay, name, found), expected);
                }
            }
        }
    }
}
