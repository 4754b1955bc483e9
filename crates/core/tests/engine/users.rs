//! Users who are read again though none of their connections waits for it.

use std::time::Duration;

use realtime_core::effect::Effect;
use realtime_core::identity::{Actor, Identity, Standing};
use realtime_core::refusal::{Refusal, RefusalKind};
use realtime_core::settings::Settings;

use crate::{World, admission, event, standing, user, world, world_with};

#[test]
fn users_are_read_again_now_and_then_and_events_do_not_wait_for_it() {
    let mut world = reread_every(60);
    let (project, alice) = ("p".into(), "alice".into());
    let tabs = [(); 2].map(|()| world.connect(&["documents"], user("alice", &["red"])));
    let guest = world.connect(&["documents"], Identity::guest());
    let claimed = Identity { claimed: true, ..user("bob", &[]) };
    let claimed = world.connect(&["documents"], claimed);
    for id in tabs.into_iter().chain([guest, claimed]) {
        world.sent(id);
    }
    world.effects();
    world.pass(60);
    assert_eq!(world.refreshes(), 1, "once for both, and for nobody whom no directory knows");
    world.publish(event("before", "documents", "team:red"));
    world.engine.refreshed(&project, &alice, &Ok(Some(standing("alice", &[]))));
    world.publish(event("after", "documents", "team:red"));
    for id in tabs {
        assert_eq!(world.sent(id), ["heartbeat", "event before"]);
    }
    world.pass(59);
    assert_eq!(world.refreshes(), 0);
    world.pass(1);
    assert_eq!(world.refreshes(), 1);
    world.engine.refreshed(&project, &alice, &Ok(None));
    for id in tabs {
        assert_eq!(world.sent(id), ["heartbeat", "refused: The user no longer exists.", "close refused"]);
    }
}

#[test]
fn a_directory_that_is_away_when_users_are_read_now_and_then_costs_nobody_its_connection() {
    let mut world = reread_every(60);
    let (project, alice) = ("p".into(), "alice".into());
    let id = world.connect(&["documents"], user("alice", &["red"]));
    world.effects();
    world.pass(60);
    assert!(matches!(world.effects()[..], [.., Effect::Refresh { is_awaited: false, .. }]));
    let away = || Err(Refusal::new(RefusalKind::Unavailable, "away"));
    world.engine.refreshed(&project, &alice, &away());
    world.publish(event("e", "documents", "team:red"));
    assert_eq!(world.sent(id), ["connected", "heartbeat", "event e"]);
    // A change that comes while it is read now and then is waited for.
    world.pass(60);
    world.effects();
    world.engine.roles_may_have_changed(&project, &alice);
    world.publish(event("f", "documents", "team:red"));
    world.engine.refreshed(&project, &alice, &away());
    assert!(matches!(world.effects()[..], [Effect::Refresh { is_awaited: true, .. }]));
    assert_eq!(world.sent(id), ["heartbeat"]);
    world.engine.refreshed(&project, &alice, &away());
    assert_eq!(world.sent(id), ["refused: away", "close refused"]);
}

#[test]
fn an_answer_from_before_a_change_gives_nobody_its_former_roles_back() {
    let mut world = reread_every(60);
    let (project, alice) = ("p".into(), "alice".into());
    let first = world.connect(&["documents"], user("alice", &["red"]));
    world.effects();
    world.pass(60);
    assert_eq!(world.refreshes(), 1);
    world.engine.closed(first);
    world.engine.roles_may_have_changed(&project, &alice);
    let id = world.connect(&["documents"], user("alice", &[]));
    world.engine.refreshed(&project, &alice, &Ok(Some(standing("alice", &["red"]))));
    world.publish(event("secret", "documents", "team:red"));
    assert_eq!(world.sent(id), ["connected"]);
}

#[test]
fn a_connection_that_acts_as_another_user_ends_with_the_rights_of_the_real_one() {
    let actor = Actor { project: "p".into(), user: "boss".into(), session: Some("s1".into()) };
    let acting = || Identity { actor: Some(Box::new(actor.clone())), ..user("alice", &["red"]) };
    let may = Standing { may_impersonate: true, ..standing("boss", &[]) };
    let blocked = Refusal::new(RefusalKind::Unauthorized, "blocked");
    for (found, expected) in [
        (Ok(Some(may.clone())), &["event e"][..]),
        (
            Ok(Some(standing("boss", &[]))),
            &["refused: The user may not act as others any more.", "close refused"],
        ),
        (
            Ok(Some(Standing { sessions: vec![], ..may })),
            &["refused: The session has ended.", "close Expired"],
        ),
        (Ok(None), &["refused: The user no longer exists.", "close refused"]),
        (Err(blocked), &["refused: blocked", "close refused"]),
    ] {
        let mut world = world();
        let id = world.connect(&["documents"], acting());
        let alice = world.connect(&["documents"], user("alice", &["red"]));
        world.sent(id);
        world.engine.roles_may_have_changed(&"p".into(), &"boss".into());
        assert_eq!(world.refreshes(), 1);
        world.engine.refreshed(&"p".into(), &"boss".into(), &found);
        world.publish(event("e", "documents", "team:red"));
        assert_eq!(world.sent(id), expected);
        assert_eq!(world.sent(alice), ["connected", "event e"]);
    }
    // A change that overtakes the opening is noticed too.
    let mut world = world();
    let id = world.open(&["documents"]);
    world.engine.roles_may_have_changed(&"p".into(), &"boss".into());
    world.engine.identified(id, Ok(admission(acting())), world.now);
    world.engine.refreshed(&"p".into(), &"boss".into(), &Ok(None));
    assert_eq!(world.sent(id), ["connected", "refused: The user no longer exists.", "close refused"]);
}

fn reread_every(seconds: u64) -> World {
    world_with(Settings { reread: Some(Duration::from_secs(seconds)), ..Settings::default() })
}
