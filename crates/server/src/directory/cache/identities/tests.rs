//! Until when somebody who was here is believed to be who they were.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use realtime_core::id::UserId;
use realtime_core::identity::{Account, Actor, Membership};
use realtime_core::refusal::{Refusal, RefusalKind};
use tokio::sync::Notify;

use super::*;

/// Seconds that identities are kept.
const KEEPS: i64 = 10;

#[derive(Debug, Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

struct World {
    identities: Identities,
    clock: Arc<Hand>,
    project: Project,
    asked: Cell<usize>,
}

/// Remembers, and hears.
fn world() -> World {
    let world = deaf_world();
    world.identities.signal(Signal::Hears(true));
    world
}

fn deaf_world() -> World {
    let clock = Arc::new(Hand::default());
    let identities = Identities::new(SignedDuration::from_secs(KEEPS), clock.clone());
    World { identities, clock, project: project("shop"), asked: Cell::new(0) }
}

fn project(id: &str) -> Project {
    Project {
        id: id.into(),
        sequence: "1".into(),
        database: String::new(),
        team: None,
        region: String::new(),
        realtime_enabled: true,
        platforms: Vec::new(),
    }
}

/// Ann, of team red.
fn ann() -> Identity {
    let membership = Membership { id: "m1".into(), team: "red".into(), roles: Vec::new(), confirmed: true };
    let account = Account {
        id: "ann".into(),
        email_verified: false,
        phone_verified: false,
        memberships: vec![membership],
        labels: Vec::new(),
        profile: Bytes::new(),
    };
    Identity { account: Some(Arc::new(account)), ..Identity::guest() }
}

fn session(token: &str) -> Credentials {
    Credentials { sessions: vec![Secret::new(token)], ..Credentials::default() }
}

fn user(id: &str) -> Holder {
    Holder::StoredUser(UserId::new(id))
}

impl World {
    fn shown(&self) -> Fingerprint {
        self.identities.fingerprint(&self.project, &session("of ann")).unwrap()
    }

    fn at(&self, second: i64) {
        self.clock.0.store(second, Ordering::Relaxed);
    }

    fn changed(&self, holder: &Holder) {
        self.identities.signal(Signal::Changed(&self.project.id, holder));
    }

    /// Who the session is of, where the directory would say this.
    async fn find(&self, answer: &Answer) -> Answer {
        let shown = self.shown();
        let ask = || -> Lookup<'static, Identity> {
            self.asked.set(self.asked.get() + 1);
            let answer = answer.clone();
            Box::pin(async { answer })
        };
        self.identities.find(&self.project.id, shown, ask).await
    }

    /// The same, where the directory says it when told to.
    async fn find_later(&self, answer: &Answer, told: &Arc<Notify>) -> Answer {
        let shown = self.shown();
        let ask = || -> Lookup<'static, Identity> {
            self.asked.set(self.asked.get() + 1);
            let (answer, told) = (answer.clone(), Arc::clone(told));
            Box::pin(async move {
                told.notified().await;
                answer
            })
        };
        self.identities.find(&self.project.id, shown, ask).await
    }

    async fn find_ann(&self) -> Identity {
        self.find(&Ok(ann())).await.unwrap()
    }
}

#[tokio::test]
async fn a_user_is_remembered_for_its_time() {
    let world = world();
    for (second, expected) in [(0, 1), (9, 1), (10, 2), (19, 2), (20, 3), (5, 4)] {
        world.at(second);
        assert_eq!(world.find_ann().await, ann());
        assert_eq!(world.asked.get(), expected, "at second {second}");
    }
}

#[tokio::test]
async fn nobody_is_remembered_before_changes_are_heard_or_while_they_are_not() {
    let world = deaf_world();
    world.find_ann().await;
    world.find_ann().await;
    assert_eq!(world.asked.get(), 2, "before");
    world.identities.signal(Signal::Hears(true));
    world.find_ann().await;
    world.find_ann().await;
    assert_eq!(world.asked.get(), 3, "meanwhile");
    world.identities.signal(Signal::Hears(false));
    world.find_ann().await;
    world.find_ann().await;
    assert_eq!(world.asked.get(), 5, "after");
}

#[tokio::test]
async fn a_user_who_changed_is_looked_up_again_and_others_are_not() {
    let world = world();
    world.find_ann().await;
    world.changed(&user("bob"));
    world.changed(&Holder::Team("blue".into()));
    world.identities.signal(Signal::Changed(&"other".into(), &user("ann")));
    world.find_ann().await;
    assert_eq!(world.asked.get(), 1);
    for (holder, expected) in [(user("ann"), 2), (Holder::User("ann".into()), 3)] {
        world.changed(&holder);
        world.find_ann().await;
        world.find_ann().await;
        assert_eq!(world.asked.get(), expected, "{holder:?}");
    }
}

#[tokio::test]
async fn members_of_a_team_that_ended_are_looked_up_each_time_for_a_while() {
    let world = world();
    world.changed(&Holder::Team("red".into()));
    for _ in 0..3 {
        world.find_ann().await;
    }
    assert_eq!(world.asked.get(), 3, "the directory may still have the membership");
    world.at(2 * KEEPS);
    world.find_ann().await;
    world.find_ann().await;
    assert_eq!(world.asked.get(), 4);
}

#[tokio::test]
async fn what_may_have_changed_in_a_gap_is_looked_up_again() {
    let world = world();
    world.find_ann().await;
    world.identities.signal(Signal::Hears(true));
    world.find_ann().await;
    assert_eq!(world.asked.get(), 2);
}

#[tokio::test]
async fn an_answer_of_before_a_change_is_kept_from_those_who_come_after_it() {
    for signal in [Signal::Changed(&"shop".into(), &user("ann")), Signal::Hears(true)] {
        let (world, told) = (world(), Arc::new(Notify::new()));
        let before = Ok(ann());
        let mut early = Box::pin(world.find_later(&before, &told));
        assert!(early.as_mut().now_or_never().is_none());
        world.identities.signal(signal);
        // It may find the look-up under way, and must not take its answer.
        let gone = Ok(Identity::guest());
        let mut late = Box::pin(world.find(&gone));
        let answered = late.as_mut().now_or_never();
        told.notify_one();
        assert!(early.await.unwrap().account.is_some());
        let late = match answered {
            Some(answer) => answer,
            None => late.await,
        };
        assert_eq!(late.unwrap(), Identity::guest(), "{signal:?}");
        assert_eq!(world.find(&gone).await.unwrap(), Identity::guest(), "{signal:?}, and is not remembered");
    }
}

#[tokio::test]
async fn many_who_show_the_same_at_once_make_one_look_up() {
    let (world, told) = (world(), Arc::new(Notify::new()));
    let answer = Ok(ann());
    let mut all = Box::pin(join_all((0..50).map(|_| world.find_later(&answer, &told))));
    assert!(all.as_mut().now_or_never().is_none());
    told.notify_one();
    assert!(all.await.into_iter().all(|answer| answer.unwrap() == ann()));
    assert_eq!(world.asked.get(), 1);
}

#[tokio::test]
async fn those_who_wait_go_on_when_the_first_gives_up() {
    let (world, told) = (world(), Arc::new(Notify::new()));
    let answer = Ok(ann());
    let mut first = Box::pin(world.find_later(&answer, &told));
    let mut second = Box::pin(world.find_later(&answer, &told));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    told.notify_one();
    assert_eq!(second.await.unwrap(), ann());
}

#[tokio::test]
async fn what_proves_nothing_is_neither_remembered_nor_shared() {
    let refusal = Refusal::new(RefusalKind::Unauthorized, "blocked");
    for answer in [Ok(Identity::guest()), Err(DirectoryError::Refused(refusal))] {
        let (world, told) = (world(), Arc::new(Notify::new()));
        let mut first = Box::pin(world.find_later(&answer, &told));
        let found = Ok(ann());
        let mut second = Box::pin(world.find(&found));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        told.notify_one();
        assert!(first.await.is_ok_and(|identity| identity.account.is_none()) || answer.is_err());
        assert_eq!(second.await.unwrap(), ann(), "it may have become true meanwhile");
        assert_eq!(world.asked.get(), 2);
    }
}

#[tokio::test]
async fn a_directory_that_is_away_is_asked_once_for_all_who_wait_and_then_again() {
    let (world, told) = (world(), Arc::new(Notify::new()));
    let away = Err(DirectoryError::Unavailable { directory: "inner", reason: "down".into() });
    let mut all = Box::pin(join_all((0..3).map(|_| world.find_later(&away, &told))));
    assert!(all.as_mut().now_or_never().is_none());
    told.notify_one();
    assert!(all.await.into_iter().all(|answer| answer.is_err()));
    assert_eq!(world.asked.get(), 1);
    assert_eq!(world.find_ann().await, ann());
}

#[tokio::test]
async fn nobody_is_remembered_longer_than_the_proof_is_good_for() {
    let world = world();
    let proved = Ok(Identity { valid_for: Some(Duration::from_secs(4)), ..ann() });
    assert_eq!(world.find(&proved).await.unwrap().valid_for, Some(Duration::from_secs(4)));
    world.at(3);
    assert_eq!(world.find(&proved).await.unwrap().valid_for, Some(Duration::from_secs(1)), "what is left");
    assert_eq!(world.asked.get(), 1);
    world.at(4);
    assert_eq!(world.find(&Ok(Identity::guest())).await.unwrap(), Identity::guest());
}

#[tokio::test]
async fn whoever_comes_by_a_way_that_no_bus_tells_of_is_looked_up_each_time() {
    let actor = Actor { project: "shop".into(), user: "eve".into(), session: None };
    let acting = Identity { actor: Some(Box::new(actor)), ..ann() };
    for identity in [Identity { admin: true, ..ann() }, acting] {
        let world = world();
        for _ in 0..2 {
            assert_eq!(world.find(&Ok(identity.clone())).await.unwrap(), identity);
        }
        assert_eq!(world.asked.get(), 2, "{identity:?}");
    }
}

#[test]
fn what_the_bus_does_not_tell_of_has_no_fingerprint() {
    let World { identities, project, .. } = world();
    let key = Secret::new("key");
    for shown in [
        Credentials::default(),
        Credentials { dev_key: Some(key.clone()), ..session("s") },
        Credentials { account_key: Some((key, "ann".into())), ..Credentials::default() },
        Credentials { admin: true, ..session("s") },
        Credentials {
            impersonate: Some(realtime_core::identity::Impersonate::Id("bob".into())),
            ..session("s")
        },
    ] {
        assert_eq!(identities.fingerprint(&project, &shown), None, "{shown:?}");
    }
    assert_eq!(identities.fingerprint(&Project { id: ProjectId::console(), ..project }, &session("s")), None);
}

#[test]
fn each_thing_shown_has_a_fingerprint_of_its_own() {
    let World { identities, project: shop, .. } = world();
    let of = |project: &Project, sessions: &[&str], jwt: Option<&str>| {
        let sessions = sessions.iter().map(Secret::new).collect();
        let shown = Credentials { sessions, jwt: jwt.map(Secret::new), ..Credentials::default() };
        identities.fingerprint(project, &shown).unwrap()
    };
    let all = [
        of(&shop, &["ab"], None),
        of(&shop, &["a", "b"], None),
        of(&shop, &["b", "a"], None),
        of(&shop, &[], Some("ab")),
        of(&shop, &["b"], Some("a")),
        of(&project("other"), &["ab"], None),
        of(&Project { sequence: "2".into(), ..shop.clone() }, &["ab"], None),
    ];
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    let in_a_message = Credential::Session(Secret::new("ab"));
    assert_eq!(identities.fingerprint_of_one(&shop, &in_a_message), Some(all[0]));
    assert_ne!(world().shown(), world().shown(), "nobody else can make it");
}

#[tokio::test]
async fn memory_is_bounded() {
    let world = world();
    for number in 0..=MAX_CHANGES {
        world.changed(&user(&number.to_string()));
    }
    assert_eq!(world.identities.lock().changes.len(), 1, "all is forgotten instead");
    let ask = || -> Lookup<'static, Identity> { Box::pin(async { Ok(ann()) }) };
    for number in 0..MAX_IDENTITIES + 5 {
        let shown = world.identities.fingerprint(&world.project, &session(&number.to_string())).unwrap();
        world.identities.find(&world.project.id, shown, ask).await.unwrap();
    }
    assert_eq!(world.identities.lock().look_ups.len(), MAX_IDENTITIES);
    world.at(KEEPS);
    world.find_ann().await;
    let memory = world.identities.lock();
    assert_eq!((memory.look_ups.len(), memory.changes.len()), (1, 0), "what is too old goes");
}
