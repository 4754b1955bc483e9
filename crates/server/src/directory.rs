//! Where identities live.

pub mod appwrite;
pub mod appwrite_jwt;
pub mod backend_jwt;
pub mod cache;
mod catalog;
pub mod cipher;
pub mod clock;
pub mod database;
pub mod mariadb;
#[cfg(feature = "mongodb")]
pub mod mongodb;
pub mod postgres;
mod profile;
pub mod sqlite;
mod write;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use realtime_core::event::Holder;
use realtime_core::id::{PresenceId, ProjectId, TeamId, UserId};
use realtime_core::identity::{Credential, Credentials, Identity, Standing};
use realtime_core::presence::Presence;
use realtime_core::project::Project;
use realtime_core::refusal::Refusal;
use realtime_core::secret::Secret;

/// A look-up under way. Boxed because directories are used as `dyn`: one allocation per look-up, none per event.
pub type Lookup<'a, T> = Pin<Box<dyn Future<Output = Result<T, DirectoryError>> + Send + 'a>>;

/// A place that knows projects and users.
///
/// "Unknown" is a value (`None`, or a guest); "cannot tell" is [`DirectoryError::Unavailable`] and never becomes a
/// guest. A credential that must not be ignored (a bad JWT) is [`DirectoryError::Refused`]. Look-ups may be dropped at
/// any await.
pub trait Directory: Send + Sync + Debug {
    /// What the directory is called in logs and metrics.
    fn name(&self) -> &'static str;

    /// The project, if there is one.
    fn project<'a>(&'a self, id: &'a ProjectId) -> Lookup<'a, Option<Arc<Project>>>;

    /// The team of the console that owns the project, read past every cache; `None` if there is no such project, or if
    /// nobody owns it.
    fn owner<'a>(&'a self, project: &'a ProjectId) -> Lookup<'a, Option<TeamId>> {
        Box::pin(async { Ok(self.project(project).await?.and_then(|project| project.team.clone())) })
    }

    /// Who shows these credentials when connecting. A session that does not verify is a guest; a JWT that does not, a
    /// user that is blocked, and credentials that contradict each other are refused.
    fn identify<'a>(&'a self, project: &'a Project, credentials: &'a Credentials) -> Lookup<'a, Identity>;

    /// Who shows this credential in a message; `None` if it proves nothing.
    fn authenticate<'a>(
        &'a self,
        project: &'a Project,
        credential: &'a Credential,
    ) -> Lookup<'a, Option<Identity>>;

    /// The user as it stands now, read past every cache; `None` if it is not there (any more), and refused if it is
    /// blocked by now. Where [`Identity::admin`] holds, ask for the user of the console project. Somebody whom only a
    /// token spoke of is never there: what it may read has changed, so its client must come with a fresh token.
    fn refresh<'a>(&'a self, project: &'a Project, user: &'a UserId) -> Lookup<'a, Option<Standing>>;

    /// The API key with this secret, if it belongs to the project and has not expired.
    fn api_key<'a>(&'a self, project: &'a Project, secret: &'a Secret) -> Lookup<'a, Option<ApiKey>>;

    /// Tells how many connections each project has on this server, and learns how many it has on all.
    fn share_counts<'a>(&'a self, own: &'a BTreeMap<ProjectId, u64>) -> Lookup<'a, BTreeMap<ProjectId, u64>> {
        Box::pin(async { Ok(own.clone()) })
    }

    /// Writes what a user lets others know of itself over what it did before; `claimed` if a token alone speaks of the
    /// user. Refused if the user is gone, or the id somebody else's.
    fn keep_presence<'a>(&'a self, kept: Keep<'a>) -> Lookup<'a, KeptPresence>;

    /// Removes a user's presence, if it is still the one with this `$sequence`, and tells what it was.
    fn remove_presence<'a>(
        &'a self,
        project: &'a Project,
        user: &'a UserId,
        sequence: &'a str,
    ) -> Lookup<'a, Option<KeptPresence>>;

    /// Removes the presences of a project whose time is over, and those that a server of this name has kept before this
    /// moment, if one is given; tells what they were.
    fn remove_stale_presences<'a>(
        &'a self,
        project: &'a Project,
        left_by: Option<(&'a str, Timestamp)>,
    ) -> Lookup<'a, Vec<KeptPresence>>;

    /// The project that owns this host by a proxy rule, or `None`: a custom domain is an allowed origin.
    fn owns_host<'a>(&'a self, project: &'a Project, host: &'a str) -> Lookup<'a, bool>;

    /// Something happened that concerns what a directory may remember of users. It is told before anything else on this
    /// server knows: whoever asks afterwards gets what is true afterwards.
    fn signal(&self, _: Signal<'_>) {}
}

/// What a bus tells a directory that remembers users.
#[derive(Debug, Clone, Copy)]
pub enum Signal<'a> {
    /// Whether changes are told of from now on. Some may have been missed before.
    Hears(bool),
    /// A user of this project has other roles, sessions or attributes than before, or is gone; or a team is gone.
    Changed(&'a ProjectId, &'a Holder),
}

/// A presence to keep.
#[derive(Debug, Clone, Copy)]
pub struct Keep<'a> {
    /// Where.
    pub project: &'a Project,
    /// Whose.
    pub user: &'a UserId,
    /// Whether a token alone speaks of the user, so that the directory need not know it.
    pub claimed: bool,
    /// What.
    pub presence: &'a Presence,
    /// By which server.
    pub server: &'a str,
}

/// A presence as it stands in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPresence {
    /// Its id.
    pub id: PresenceId,
    /// Its user.
    pub user: UserId,
    /// Appwrite's `$sequence`: no two have the same, even if they have the same id one after the other.
    pub sequence: String,
    /// As it is shown: the text of a JSON object.
    pub document: String,
    /// Whether there was none of the user before.
    pub is_new: bool,
}

/// A key that lets a backend publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The key's id; its secret is not kept.
    pub id: String,
    /// What it allows, in Appwrite's spelling (`events.write`).
    pub scopes: Vec<String>,
}

/// Why a look-up gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DirectoryError {
    /// The credential is wrong in a way that the client must be told.
    #[error("refused: {}", .0.message)]
    Refused(Refusal),
    /// The directory cannot tell: it is down, late, or does not look as expected.
    #[error("the {directory} directory cannot answer: {reason}")]
    Unavailable {
        /// Which directory.
        directory: &'static str,
        /// What went wrong and what an operator can do.
        reason: String,
    },
}
