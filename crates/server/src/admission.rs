//! Finding out who wants in: limits by address first, then the directory.

mod redis;

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use realtime_core::command::Hello;
use realtime_core::effect;
use realtime_core::id::{ProjectId, TeamId, UserId};
use realtime_core::identity::{Credential, Credentials, Identity, Standing};
use realtime_core::limit::{Keyed, Network, Rate, Visit};
use realtime_core::origin::host_of;
use realtime_core::project::Project;
use realtime_core::refusal::{Refusal, RefusalKind};
use realtime_core::secret::Secret;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::directory::{ApiKey, Directory, DirectoryError};

/// Limits of what one address may do; `None` is without limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct AddressLimits {
    /// Connections to one path. Appwrite: 128 in 60 s.
    pub connects: Option<Rate>,
    /// Credentials that prove nothing, so that tokens cannot be guessed.
    pub failures: Option<Rate>,
}

/// Counts that several servers share, for a limit that holds for all of them together.
pub trait SharedCounter: Send + Sync + fmt::Debug {
    /// Adds one to a count that begins anew every minute, and gives it; `None` if it cannot be told.
    fn add<'a>(&'a self, key: &'a str) -> Pin<Box<dyn Future<Output = Option<u64>> + Send + 'a>>;
}

/// The door of a node, shared by its shards.
pub struct Admission {
    directory: Arc<dyn Directory>,
    connects: Option<Mutex<Keyed<Visit>>>,
    failures: Option<Mutex<Keyed<Network>>>,
    shared: Option<(Arc<dyn SharedCounter>, Rate)>,
    outage: Duration,
    /// Whoever comes waits for one of these, in the order of coming, so that a wave of clients leaves the directory able
    /// to answer for those who are there.
    turns: Semaphore,
}

/// The pause before a directory that could not answer is asked again; it doubles with each attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Newcomers at a time, unless said: fewer than a directory answers at once.
const TURNS: usize = 12;
/// Connections are counted under the path that they are meant for: any is served, so that nobody could be held to a
/// limit who may choose it.
const PATH: &str = "/v1/realtime";
/// Addresses whose limits are remembered, at most.
const MAX_ADDRESSES: usize = 200_000;

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Admission {
    /// A door in front of a directory, which bears outages of the directory for this long.
    pub fn new(directory: Arc<dyn Directory>, limits: AddressLimits, outage: Duration) -> Self {
        Self {
            directory,
            outage,
            connects: limits.connects.map(|rate| Mutex::new(Keyed::new(rate, MAX_ADDRESSES))),
            failures: limits.failures.map(|rate| Mutex::new(Keyed::new(rate, MAX_ADDRESSES))),
            shared: None,
            turns: Semaphore::new(TURNS),
        }
    }

    /// The same, which asks the directory for this many newcomers at a time, and lets the others wait.
    pub fn taking_turns(mut self, turns: usize) -> Self {
        self.turns = Semaphore::new(turns.clamp(1, Semaphore::MAX_PERMITS));
        self
    }

    /// The same with connections counted by all servers together, while the counter answers.
    pub fn counting_with(mut self, counter: Option<Arc<dyn SharedCounter>>, limits: AddressLimits) -> Self {
        self.shared = counter.zip(limits.connects);
        self
    }

    /// The directory behind the door.
    pub fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// Finds out the project and the identity of somebody who said hello.
    pub async fn admit(&self, hello: &Hello) -> Result<effect::Admission, Refusal> {
        self.count_connect(hello).await?;
        let shows_something = shows_something(&hello.credentials);
        if shows_something {
            // Guests guess nothing, so others' guesses from the same address are not theirs to pay for.
            self.check_failures(hello.address)?;
        }
        // Fails only if it is closed, which nobody does.
        let _turn = self.turns.acquire().await;
        let project = self.project(&hello.project).await?;
        let identified = self.directory.identify(&project, &hello.credentials).await;
        let proves_nothing = match &identified {
            Ok(identity) => identity.account.is_none() && shows_something,
            Err(DirectoryError::Refused(refusal)) => refusal.kind == RefusalKind::Unauthorized,
            Err(DirectoryError::Unavailable { .. }) => false,
        };
        if proves_nothing {
            self.count_failure(hello.address);
        }
        let identity = identified.map_err(|error| refusal_of(error, "identify a client"))?;
        let owns_origin = match host_of(&hello.origin).or_else(|| host_of(&hello.referer)) {
            Some(host) => self
                .directory
                .owns_host(&project, &host)
                .await
                .map_err(|error| refusal_of(error, "look up a custom domain"))?,
            None => false,
        };
        Ok(effect::Admission { project, identity, owns_origin })
    }

    /// Finds out who shows a credential in a message; `None` if it proves nothing.
    pub async fn authenticate(
        &self,
        project: &ProjectId,
        address: IpAddr,
        credential: &Credential,
    ) -> Result<Option<Identity>, Refusal> {
        self.check_failures(address)?;
        let _turn = self.turns.acquire().await;
        let project = self.project(project).await?;
        let found = self.directory.authenticate(&project, credential).await;
        let failed = match &found {
            Ok(identity) => identity.is_none(),
            Err(DirectoryError::Refused(refusal)) => refusal.kind == RefusalKind::Unauthorized,
            Err(DirectoryError::Unavailable { .. }) => false,
        };
        if failed {
            self.count_failure(address);
        }
        found.map_err(|error| refusal_of(error, "verify a credential"))
    }

    /// Reads a user again, past every cache, but for the project. While the directory cannot answer it is asked again, for
    /// as long as an outage is borne: the user keeps who it is, and its events wait.
    pub async fn refresh(&self, project: &ProjectId, user: &UserId) -> Result<Option<Standing>, Refusal> {
        let give_up = Instant::now() + self.outage;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.read(project, user).await {
                Err(error @ DirectoryError::Unavailable { .. }) if Instant::now() + pause < give_up => {
                    if pause == FIRST_PAUSE {
                        warn!(%error, %project, %user, "cannot read a user's roles again; its events wait");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                found => return found.map_err(|error| refusal_of(error, "read a user's roles again")),
            }
        }
    }

    /// The same, where nobody waits for it: once, and in turn with those who want in.
    pub async fn look_again(&self, project: &ProjectId, user: &UserId) -> Result<Option<Standing>, Refusal> {
        let _turn = self.turns.acquire().await;
        self.read(project, user).await.map_err(|error| refusal_of(error, "see whether a user has changed"))
    }

    async fn read(&self, project: &ProjectId, user: &UserId) -> Result<Option<Standing>, DirectoryError> {
        match self.directory.project(project).await? {
            Some(project) => self.directory.refresh(&project, user).await,
            None => Ok(None),
        }
    }

    /// Reads which team owns a project, past every cache.
    pub async fn owner(&self, project: &ProjectId) -> Result<Option<TeamId>, Refusal> {
        self.directory.owner(project).await.map_err(|error| refusal_of(error, "look up a project's owner"))
    }

    /// Finds out for which project a backend may publish.
    pub async fn publisher(
        &self,
        project: &ProjectId,
        key: &Secret,
        address: IpAddr,
    ) -> Result<(Arc<Project>, ApiKey), Refusal> {
        self.check_failures(address)?;
        let project = self.project(project).await?;
        let found = self.directory.api_key(&project, key).await;
        match found.map_err(|error| refusal_of(error, "look up an API key"))? {
            Some(key) => Ok((project, key)),
            None => {
                self.count_failure(address);
                let text = "This API key does not belong to the project, or has expired.";
                Err(Refusal::new(RefusalKind::Unauthorized, text))
            }
        }
    }

    /// The project of this name, for an operator.
    pub(crate) async fn named(&self, id: &ProjectId) -> Result<Arc<Project>, Refusal> {
        self.project(id).await
    }

    async fn project(&self, id: &ProjectId) -> Result<Arc<Project>, Refusal> {
        let found =
            self.directory.project(id).await.map_err(|error| refusal_of(error, "look up a project"))?;
        found.ok_or_else(|| Refusal::policy("Missing or unknown project ID"))
    }

    async fn count_connect(&self, hello: &Hello) -> Result<(), Refusal> {
        let Some(connects) = &self.connects else { return Ok(()) };
        let key = Visit::new(hello.address, PATH);
        let taken = connects.lock().unwrap_or_else(PoisonError::into_inner).take(key, Instant::now());
        if taken && self.is_within_shared_limit(hello).await {
            return Ok(());
        }
        debug!(address = %hello.address, "too many connections from one address");
        Err(Refusal::new(RefusalKind::TooMany, "Too many requests"))
    }

    /// Under the key that Appwrite's servers count under, so that a client cannot have its share of each.
    async fn is_within_shared_limit(&self, hello: &Hello) -> bool {
        let Some((counter, rate)) = &self.shared else { return true };
        let minute = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60;
        let key = format!("abuse__url:{PATH},ip:{}__{}", hello.address, minute * 60);
        // Whoever cannot be counted is let in: the limit of this server alone still holds.
        counter.add(&key).await.is_none_or(|count| count <= u64::from(rate.limit))
    }

    fn check_failures(&self, address: IpAddr) -> Result<(), Refusal> {
        let Some(failures) = &self.failures else { return Ok(()) };
        let key = Network::from(address);
        if failures.lock().unwrap_or_else(PoisonError::into_inner).has(&key, Instant::now()) {
            return Ok(());
        }
        warn!(%address, "too many failed authentications from one address; refusing it for a while");
        Err(Refusal::new(RefusalKind::TooMany, "Too many failed authentications. Try again later."))
    }

    fn count_failure(&self, address: IpAddr) {
        if let Some(failures) = &self.failures {
            let key = Network::from(address);
            failures.lock().unwrap_or_else(PoisonError::into_inner).take(key, Instant::now());
        }
    }
}

fn shows_something(credentials: &Credentials) -> bool {
    !credentials.sessions.is_empty() || credentials.jwt.is_some() || credentials.account_key.is_some()
}

/// What the client is told: a refusal as it is, and nothing of the reasons of a directory that is down.
pub(crate) fn refusal_of(error: DirectoryError, doing: &'static str) -> Refusal {
    match error {
        DirectoryError::Refused(refusal) => refusal,
        DirectoryError::Unavailable { .. } => {
            warn!(%error, doing, "the directory cannot answer");
            Refusal::new(
                RefusalKind::Unavailable,
                "The directory cannot answer at the moment. Try again later.",
            )
        }
    }
}
