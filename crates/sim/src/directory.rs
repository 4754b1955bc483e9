//! Who is who: projects and users with the roles that they hold at the moment, unless it is out of reach.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use realtime_core::effect::Admission;
use realtime_core::identity::{Account, Credentials, Identity, Membership, Standing};
use realtime_core::project::Project;
use realtime_core::refusal::{Refusal, RefusalKind};

use crate::model::{Model, User};
use crate::workload::{PROJECTS, USERS};

/// The directory. What it knows of roles is what is true.
#[derive(Debug, Default)]
pub struct Directory {
    /// Out of reach until then.
    pub down_until: Option<Instant>,
}

impl Directory {
    /// Whether nobody can ask it.
    pub fn is_down(&self, now: Instant) -> bool {
        self.down_until.is_some_and(|until| now < until)
    }

    /// Who wants in.
    pub fn admit(
        &self,
        project: &str,
        shown: &Credentials,
        truth: &Model,
        now: Instant,
    ) -> Result<Admission, Refusal> {
        if self.is_down(now) {
            return Err(unavailable());
        }
        let Some(number) = PROJECTS.iter().position(|known| *known == project) else {
            return Err(Refusal::policy("Missing or unknown project ID"));
        };
        let user = shown.sessions.first().and_then(|session| user_of(number, session.expose()));
        let identity = user.map_or_else(Identity::guest, |user| identity(user, truth));
        let project = Project {
            id: project.into(),
            sequence: "1".to_owned(),
            database: String::new(),
            team: None,
            region: String::new(),
            realtime_enabled: true,
            platforms: Vec::new(),
        };
        Ok(Admission { project: Arc::new(project), identity, owns_origin: false })
    }

    /// Who shows a session.
    pub fn authenticate(
        &self,
        project: &str,
        session: &str,
        truth: &Model,
        now: Instant,
    ) -> Result<Option<Identity>, Refusal> {
        if self.is_down(now) {
            return Err(unavailable());
        }
        let number = PROJECTS.iter().position(|known| *known == project).unwrap_or_default();
        Ok(user_of(number, session).map(|user| identity(user, truth)))
    }

    /// How a user stands; `None` if nobody can tell.
    pub fn refresh(
        &self,
        project: &str,
        user: &str,
        truth: &Model,
        now: Instant,
    ) -> Option<Option<Standing>> {
        if self.is_down(now) {
            return None;
        }
        let number = PROJECTS.iter().position(|known| *known == project).unwrap_or_default();
        let user = user.strip_prefix('U').and_then(|user| user.parse().ok()).filter(|user| *user < USERS);
        Some(user.map(|user| Standing {
            account: account((number, user), truth),
            sessions: Vec::new(),
            may_impersonate: false,
        }))
    }
}

/// The token of a user's session.
pub fn token_of(user: usize) -> String {
    format!("token-U{user}")
}

/// The id of a user.
pub fn id_of(user: usize) -> String {
    format!("U{user}")
}

/// What to say while the directory is out of reach.
pub fn unavailable() -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "The directory is out of reach.")
}

fn user_of(project: usize, token: &str) -> Option<User> {
    let user = token.strip_prefix("token-U")?.parse().ok()?;
    (user < USERS).then_some((project, user))
}

fn identity(user: User, truth: &Model) -> Identity {
    Identity { account: Some(account(user, truth)), ..Identity::guest() }
}

fn account(user: User, truth: &Model) -> Arc<Account> {
    let roles = truth.granted(user);
    let membership = |team: &str| Membership {
        id: format!("m{}", user.1).as_str().into(),
        team: team.into(),
        roles: Vec::new(),
        confirmed: true,
    };
    Arc::new(Account {
        id: id_of(user.1).as_str().into(),
        email_verified: false,
        phone_verified: false,
        memberships: roles.iter().filter_map(|role| role.strip_prefix("team:")).map(membership).collect(),
        labels: roles.iter().filter_map(|role| role.strip_prefix("label:")).map(str::to_owned).collect(),
        profile: Bytes::from(format!("{{\"$id\":\"{}\"}}", id_of(user.1))),
    })
}
