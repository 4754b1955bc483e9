//! Teams that end, with the roles of their members.

use realtime_core::event::{Event, Holder};
use realtime_core::id::ProjectId;
use realtime_core::identity::Identity;

use crate::{World, event, standing, user, world};

#[test]
fn the_end_of_a_team_of_the_console_reaches_those_who_are_in_its_admin_mode() {
    let mut world = world();
    let id = world.connect(&["documents"], Identity { admin: true, ..user("alice", &["red"]) });
    world.publish(event("before", "documents", "team:red"));
    assert_eq!(world.sent(id), ["connected", "event before"]);
    let end = event("end", "teams", "any");
    let end = Event { project: ProjectId::console(), roles_changed: Some(Holder::Team("red".into())), ..end };
    world.publish(end);
    world.publish(event("after", "documents", "team:red"));
    assert!(world.sent(id).is_empty());
}

#[test]
fn the_end_of_a_team_reaches_its_members_once_and_takes_their_roles() {
    let mut world = world();
    let member = world.connect(&["teams", "documents"], user("alice", &["red", "blue"]));
    let other = world.connect(&["teams", "documents"], user("bob", &["blue"]));
    for id in [member, other] {
        world.sent(id);
    }
    world.publish(Event {
        roles_changed: Some(Holder::Team("red".into())),
        ..event("end", "teams", "team:red")
    });
    world.publish(event("secret", "documents", "team:red"));
    world.publish(event("open", "documents", "team:blue"));
    assert_eq!(world.sent(member), ["event end", "event open"]);
    assert_eq!(world.sent(other), ["event open"]);
}

#[test]
fn a_member_that_is_read_again_before_its_memberships_are_removed_stays_without_the_team_that_ended() {
    let mut world = world();
    let id = world.connect(&["documents"], user("alice", &["red", "blue"]));
    world.sent(id);
    world.publish(Event { roles_changed: Some(Holder::Team("red".into())), ..event("end", "teams", "any") });
    let (project, alice) = ("p".into(), "alice".into());
    let read_again = |world: &mut World, teams: &[&str]| {
        world.engine.roles_may_have_changed(&project, &alice);
        world.engine.refreshed(&project, &alice, &Ok(Some(standing("alice", teams))));
        world.publish(event("red", "documents", "team:red"));
        world.publish(event("blue", "documents", "team:blue"));
        world.sent(id)
    };
    assert_eq!(read_again(&mut world, &["red", "blue"]), ["event blue"]);
    assert_eq!(read_again(&mut world, &["blue"]), ["event blue"], "Appwrite has removed it");
    assert_eq!(read_again(&mut world, &["red", "blue"]), ["event red", "event blue"], "a new one is good");
}
