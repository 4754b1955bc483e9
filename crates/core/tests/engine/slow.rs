//! Clients that read slower than events come, where they are spared some.

use std::time::Duration;

use realtime_core::channel::Channel;
use realtime_core::command::{Command, Hello};
use realtime_core::event::Event;
use realtime_core::identity::Identity;
use realtime_core::outbox;
use realtime_core::settings::Settings;

use crate::{World, admission, event, hello, subscribe, word, world_with};

fn slow_world(slow: outbox::Slow) -> World {
    let bounds = outbox::Bounds { count: 4, bytes: 1_000 };
    world_with(Settings { outbox: bounds, slow, ..Settings::default() })
}

/// An update of a document.
fn update(id: &str, document: &str) -> Event {
    let name = format!("databases.d.collections.c.documents.{document}.update");
    Event { name: Some(name.into()), ..event(id, "documents", "any") }
}

#[test]
fn of_the_events_that_wait_for_a_slow_client_the_latest_of_each_document_can_be_kept() {
    let mut world = slow_world(outbox::Slow::Conflate);
    let id = world.connect(&["documents"], Identity::guest());
    assert_eq!(world.sent(id), ["connected"]);
    for number in 0..9 {
        world.publish(update(&format!("a{number}"), "a"));
    }
    world.publish(update("b", "b"));
    assert_eq!(world.sent(id), ["event a6", "event a7", "event a8", "event b"]);
    assert_eq!(world.engine.stats().left_out, 6);
    for number in 0..5 {
        world.publish(update(&format!("c{number}"), &format!("c{number}")));
    }
    assert_eq!(world.sent(id), ["close Slow"], "there is nothing to leave out");
}

#[test]
fn an_event_is_kept_for_a_subscription_that_the_later_one_is_not_for() {
    let mut world = slow_world(outbox::Slow::Conflate);
    let id = world.connect(&[], Identity::guest());
    world.engine.receive(id, Ok(subscribe("s", &["documents"])), world.now);
    world.engine.receive(id, Ok(subscribe("t", &["documents.a"])), world.now);
    world.sent(id);
    let both = vec![Channel::new("documents"), Channel::new("documents.a")];
    world.publish(Event { channels: both, ..update("for s and t", "a") });
    for number in 0..4 {
        world.publish(update(&format!("a{number}"), "a"));
    }
    assert_eq!(world.engine.stats().left_out, 2);
    assert_eq!(world.sent(id), ["event for s and t", "event a2", "event a3"]);
}

#[test]
fn what_is_left_out_for_a_slow_client_is_told_as_a_gap_once_there_is_room() {
    let mut world = slow_world(outbox::Slow::Drop);
    let id = world.engine.open(Hello { wants_gaps: true, ..hello(&["documents"]) }, world.now);
    world.engine.identified(id, Ok(admission(Identity::guest())), world.now);
    assert_eq!(world.sent(id), ["connected"]);
    for number in 0..7 {
        world.publish(event(&format!("e{number}"), "documents", "any"));
    }
    assert_eq!(world.sent(id), ["event e0", "event e1", "event e2", "event e3", "gap"]);
    assert_eq!(world.engine.stats().left_out, 3);
    world.publish(event("after", "documents", "any"));
    assert_eq!(world.sent(id), ["event after"]);
    for number in 0..5 {
        world.publish(event(&format!("f{number}"), "documents", "any"));
    }
    // There is room again, but it would not know that something is missing before what came now.
    assert_eq!(world.engine.poll_outgoing(id).map(|outgoing| word(&outgoing)), Some("event f0".to_owned()));
    world.publish(event("f5", "documents", "any"));
    assert_eq!(world.sent(id), ["event f1", "event f2", "event f3", "gap"]);
}

#[test]
fn who_is_spared_events_is_not_closed_for_a_heartbeat_or_its_own_ping() {
    for slow in [outbox::Slow::Drop, outbox::Slow::Conflate] {
        let mut world = slow_world(slow);
        let id = world.connect(&["documents"], Identity::guest());
        assert_eq!(world.sent(id), ["connected"]);
        for number in 0..4 {
            world.publish(event(&format!("e{number}"), "documents", "any"));
        }
        world.engine.receive(id, Ok(Command::Ping), world.now);
        world.now += Duration::from_secs(60);
        world.engine.handle_timeout(world.now);
        assert_eq!(world.sent(id), ["event e0", "event e1", "event e2", "event e3"], "{slow:?}");
    }
}
