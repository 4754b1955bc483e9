//! A directory around a directory, which remembers projects and users for a while.

mod answers;
mod identities;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use realtime_core::event::Holder;
use realtime_core::id::{ProjectId, TeamId, UserId};
use realtime_core::identity::{Credential, Credentials, Identity, Standing};
use realtime_core::project::Project;
use realtime_core::secret::Secret;
use tokio::task::yield_now;

use self::answers::Answers;
use self::identities::Identities;
use super::clock::Clock;
use super::{ApiKey, Directory, DirectoryError, Keep, KeptPresence, Lookup, Signal};

/// Remembers projects, unknown ones too, their custom domains, and users by what they showed, and looks each up once
/// however many ask at the same time. Every connection needs a project, and they seldom change. Users are believed no
/// longer than until the bus tells of a change ([`Directory::signal`]); rights are read past this when they may have changed.
#[derive(Debug)]
pub struct Cache {
    inner: Arc<dyn Directory>,
    projects: Answers<ProjectId, Option<Arc<Project>>>,
    /// Which project owns which host.
    hosts: Answers<(ProjectId, String), bool>,
    identities: Option<Identities>,
}

/// How long something is remembered; zero is not at all.
#[derive(Debug, Clone, Copy)]
pub struct Keeps {
    /// Projects and their custom domains.
    pub projects: SignedDuration,
    /// Users.
    pub identities: SignedDuration,
}

/// Characters of a host's name, at most (RFC 1035 §2.3.4); nothing longer is remembered.
const LONGEST_HOST: usize = 253;

impl Cache {
    /// Remembers what `inner` says for as long as `keeps`.
    pub fn new(inner: Arc<dyn Directory>, keeps: Keeps, clock: Arc<dyn Clock>) -> Self {
        let identities = Identities::new(keeps.identities, Arc::clone(&clock));
        Self {
            inner,
            projects: Answers::new(keeps.projects, Arc::clone(&clock)),
            hosts: Answers::new(keeps.projects, clock),
            identities: (!keeps.identities.is_zero()).then_some(identities),
        }
    }

    /// Forgets a project that has changed. Who asks from now on gets what is true from now on.
    pub fn forget_project(&self, id: &ProjectId) {
        self.projects.forget(id);
    }

    async fn find_identity(
        &self,
        project: &Project,
        credentials: &Credentials,
    ) -> Result<Identity, DirectoryError> {
        let ask = || -> Lookup<'_, Identity> { Box::pin(self.ask_who(project, credentials)) };
        let Some(identities) = &self.identities else { return ask().await };
        match identities.fingerprint(project, credentials) {
            Some(shown) => identities.find(&project.id, shown, ask).await,
            None => ask().await,
        }
    }

    /// Asks who shows these credentials, not before it is polled a second time: whoever only tries whether that is known
    /// does not begin to verify anything.
    async fn ask_who(
        &self,
        project: &Project,
        credentials: &Credentials,
    ) -> Result<Identity, DirectoryError> {
        if *credentials != Credentials::default() {
            yield_now().await;
        }
        self.inner.identify(project, credentials).await
    }

    async fn find_credential(
        &self,
        project: &Project,
        credential: &Credential,
    ) -> Result<Option<Identity>, DirectoryError> {
        let ask = || self.inner.authenticate(project, credential);
        let Some(identities) = &self.identities else { return ask().await };
        let Some(shown) = identities.fingerprint_of_one(project, credential) else { return ask().await };
        // Who proves nothing is a guest.
        let ask = || -> Lookup<'_, Identity> { Box::pin(async { Ok(ask().await?.unwrap_or_default()) }) };
        let identity = identities.find(&project.id, shown, ask).await?;
        Ok(identity.account.is_some().then_some(identity))
    }
}

impl Directory for Cache {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn project<'a>(&'a self, id: &'a ProjectId) -> Lookup<'a, Option<Arc<Project>>> {
        Box::pin(self.projects.find(id, || self.inner.project(id)))
    }

    fn owner<'a>(&'a self, project: &'a ProjectId) -> Lookup<'a, Option<TeamId>> {
        self.inner.owner(project)
    }

    fn identify<'a>(&'a self, project: &'a Project, credentials: &'a Credentials) -> Lookup<'a, Identity> {
        Box::pin(self.find_identity(project, credentials))
    }

    fn authenticate<'a>(
        &'a self,
        project: &'a Project,
        credential: &'a Credential,
    ) -> Lookup<'a, Option<Identity>> {
        Box::pin(self.find_credential(project, credential))
    }

    fn refresh<'a>(&'a self, project: &'a Project, user: &'a UserId) -> Lookup<'a, Option<Standing>> {
        Box::pin(async move {
            let standing = self.inner.refresh(project, user).await;
            // What was read now may differ from what is remembered, and who it ended is not to come in by that.
            if !matches!(standing, Err(DirectoryError::Unavailable { .. })) {
                self.signal(Signal::Changed(&project.id, &Holder::User(user.clone())));
            }
            standing
        })
    }

    fn api_key<'a>(&'a self, project: &'a Project, secret: &'a Secret) -> Lookup<'a, Option<ApiKey>> {
        self.inner.api_key(project, secret)
    }

    fn share_counts<'a>(&'a self, own: &'a BTreeMap<ProjectId, u64>) -> Lookup<'a, BTreeMap<ProjectId, u64>> {
        self.inner.share_counts(own)
    }

    fn keep_presence<'a>(&'a self, kept: Keep<'a>) -> Lookup<'a, KeptPresence> {
        self.inner.keep_presence(kept)
    }

    fn remove_presence<'a>(
        &'a self,
        project: &'a Project,
        user: &'a UserId,
        sequence: &'a str,
    ) -> Lookup<'a, Option<KeptPresence>> {
        self.inner.remove_presence(project, user, sequence)
    }

    fn remove_stale_presences<'a>(
        &'a self,
        project: &'a Project,
        left_by: Option<(&'a str, Timestamp)>,
    ) -> Lookup<'a, Vec<KeptPresence>> {
        self.inner.remove_stale_presences(project, left_by)
    }

    fn owns_host<'a>(&'a self, project: &'a Project, host: &'a str) -> Lookup<'a, bool> {
        if host.len() > LONGEST_HOST {
            return self.inner.owns_host(project, host);
        }
        Box::pin(async {
            let question = (project.id.clone(), host.to_owned());
            self.hosts.find(&question, || self.inner.owns_host(project, host)).await
        })
    }

    fn signal(&self, signal: Signal<'_>) {
        if let Some(identities) = &self.identities {
            identities.signal(signal);
        }
        self.inner.signal(signal);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::answers::MAX_ANSWERS;
    use super::*;

    /// Knows one project, `shop`, and answers when it is let.
    #[derive(Debug)]
    struct Inner {
        asked: AtomicUsize,
        down: AtomicBool,
        may_answer: Semaphore,
    }

    impl Inner {
        async fn answer(&self, id: &ProjectId) -> Result<Option<Arc<Project>>, DirectoryError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.may_answer.acquire().await.unwrap().forget();
            if self.down.load(Ordering::Relaxed) {
                return Err(DirectoryError::Unavailable { directory: "inner", reason: "down".into() });
            }
            Ok((id.as_str() == "shop").then(|| {
                Arc::new(Project {
                    id: id.clone(),
                    sequence: "1".into(),
                    database: String::new(),
                    team: None,
                    region: String::new(),
                    realtime_enabled: true,
                    platforms: Vec::new(),
                })
            }))
        }
    }

    impl Directory for Inner {
        fn name(&self) -> &'static str {
            "inner"
        }

        fn project<'a>(&'a self, id: &'a ProjectId) -> Lookup<'a, Option<Arc<Project>>> {
            Box::pin(self.answer(id))
        }

        fn identify<'a>(&'a self, _: &'a Project, _: &'a Credentials) -> Lookup<'a, Identity> {
            unreachable!()
        }

        fn authenticate<'a>(&'a self, _: &'a Project, _: &'a Credential) -> Lookup<'a, Option<Identity>> {
            unreachable!()
        }

        fn refresh<'a>(&'a self, _: &'a Project, _: &'a UserId) -> Lookup<'a, Option<Standing>> {
            unreachable!()
        }

        fn api_key<'a>(&'a self, _: &'a Project, _: &'a Secret) -> Lookup<'a, Option<ApiKey>> {
            unreachable!()
        }

        fn keep_presence<'a>(&'a self, _: Keep<'a>) -> Lookup<'a, KeptPresence> {
            unreachable!()
        }

        fn remove_presence<'a>(
            &'a self,
            _: &'a Project,
            _: &'a UserId,
            _: &'a str,
        ) -> Lookup<'a, Option<KeptPresence>> {
            unreachable!()
        }

        fn remove_stale_presences<'a>(
            &'a self,
            _: &'a Project,
            _: Option<(&'a str, Timestamp)>,
        ) -> Lookup<'a, Vec<KeptPresence>> {
            unreachable!()
        }

        fn owns_host<'a>(&'a self, _: &'a Project, host: &'a str) -> Lookup<'a, bool> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move { Ok(host == "shop.example") })
        }
    }

    #[derive(Debug, Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
        }
    }

    fn cache(may_answer: usize) -> (Cache, Arc<Inner>, Arc<Hand>) {
        let inner = Arc::new(Inner {
            asked: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            may_answer: Semaphore::new(may_answer),
        });
        let clock = Arc::new(Hand::default());
        let keeps = Keeps { projects: SignedDuration::from_secs(10), identities: SignedDuration::ZERO };
        let cache = Cache::new(inner.clone(), keeps, clock.clone());
        (cache, inner, clock)
    }

    fn asked(inner: &Inner) -> usize {
        inner.asked.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn who_owns_a_project_is_asked_every_time() {
        let (cache, inner, _) = cache(3);
        cache.project(&"shop".into()).await.unwrap();
        assert_eq!(cache.owner(&"shop".into()).await.unwrap(), None);
        assert_eq!(cache.owner(&"shop".into()).await.unwrap(), None);
        assert_eq!(asked(&inner), 3);
    }

    #[tokio::test]
    async fn a_project_is_remembered_for_its_time() {
        let (cache, inner, clock) = cache(100);
        let shop = ProjectId::new("shop");
        for (second, expected) in [(0, 1), (9, 1), (10, 2), (19, 2), (20, 3), (5, 4)] {
            clock.0.store(second, Ordering::Relaxed);
            assert!(cache.project(&shop).await.unwrap().is_some());
            assert_eq!(asked(&inner), expected, "at second {second}");
        }
    }

    #[tokio::test]
    async fn a_custom_domain_is_remembered_for_its_time() {
        let (cache, inner, clock) = cache(100);
        let project = cache.project(&"shop".into()).await.unwrap().unwrap();
        let long = "x".repeat(LONGEST_HOST + 1);
        for (second, host, owned, expected) in [
            (0, "shop.example", true, 2),
            (9, "shop.example", true, 2),
            (9, "other.example", false, 3),
            (9, "other.example", false, 3),
            (10, "shop.example", true, 4),
            (10, long.as_str(), false, 5),
            (10, long.as_str(), false, 6),
        ] {
            clock.0.store(second, Ordering::Relaxed);
            assert_eq!(cache.owns_host(&project, host).await.unwrap(), owned, "{host} at second {second}");
            assert_eq!(asked(&inner), expected, "{host} at second {second}");
        }
    }

    #[tokio::test]
    async fn an_unknown_project_is_remembered_too() {
        let (cache, inner, _) = cache(100);
        for _ in 0..3 {
            assert_eq!(cache.project(&"none".into()).await.unwrap(), None);
        }
        assert_eq!(asked(&inner), 1);
    }

    #[tokio::test]
    async fn many_who_ask_at_once_make_one_look_up() {
        let (cache, inner, _) = cache(0);
        let shop = ProjectId::new("shop");
        let mut all = Box::pin(join_all((0..50).map(|_| cache.project(&shop))));
        assert!(all.as_mut().now_or_never().is_none());
        inner.may_answer.add_permits(1);
        assert!(all.await.into_iter().all(|answer| answer.unwrap().is_some()));
        assert_eq!(asked(&inner), 1);
    }

    #[tokio::test]
    async fn those_who_wait_go_on_when_the_first_gives_up() {
        let (cache, inner, _) = cache(0);
        let shop = ProjectId::new("shop");
        let mut first = cache.project(&shop);
        let mut second = cache.project(&shop);
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        inner.may_answer.add_permits(1);
        assert!(second.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_who_wait_and_forgotten() {
        let (cache, inner, _) = cache(0);
        inner.down.store(true, Ordering::Relaxed);
        let shop = ProjectId::new("shop");
        let mut all = Box::pin(join_all((0..3).map(|_| cache.project(&shop))));
        assert!(all.as_mut().now_or_never().is_none());
        inner.may_answer.add_permits(2);
        assert!(all.await.into_iter().all(|answer| answer.is_err()));
        assert_eq!(asked(&inner), 1);
        inner.down.store(false, Ordering::Relaxed);
        assert!(cache.project(&shop).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_project_that_changed_is_looked_up_again() {
        let (cache, inner, _) = cache(0);
        let shop = ProjectId::new("shop");
        let mut before = cache.project(&shop);
        assert!((&mut before).now_or_never().is_none());
        cache.forget_project(&shop);
        inner.may_answer.add_permits(2);
        assert!(cache.project(&shop).await.unwrap().is_some());
        assert_eq!(asked(&inner), 2, "an answer that was under way may be of before the change");
        assert!(before.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn asking_for_what_is_not_there_does_not_fill_the_memory() {
        let (cache, inner, clock) = cache(100_000);
        for number in 0..MAX_ANSWERS + 5 {
            cache.project(&ProjectId::new(number.to_string())).await.unwrap();
        }
        assert_eq!(cache.projects.len(), MAX_ANSWERS);
        assert_eq!(asked(&inner), MAX_ANSWERS + 5);
        clock.0.store(10, Ordering::Relaxed);
        cache.project(&"shop".into()).await.unwrap();
        assert_eq!(cache.projects.len(), 1);
    }
}
