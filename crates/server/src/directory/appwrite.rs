//! Appwrite's data model, read the one way for every database that holds it.

mod account;
pub mod copies;
mod presence;
pub(crate) mod rows;
mod session;

pub(in crate::directory) use self::session::hash_of;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use realtime_core::id::{ProjectId, SessionId, TeamId, UserId};
use realtime_core::identity::{Account, Actor, Credential, Credentials, Identity, Impersonate, Standing};
use realtime_core::project::{Platform, Project};
use realtime_core::refusal::{Refusal, RefusalKind};
use realtime_core::secret::Secret;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;
use tracing::warn;

use self::account::User;
use self::copies::Copies;
use self::rows::{Row, Rows, Select, Space};
use super::appwrite_jwt::{AppwriteJwt, JwtError};
use super::backend_jwt::{BackendJwt, Header, Speaker};
use super::cipher::Cipher;
use super::clock::{Clock, SystemClock};
use super::mariadb::Mariadb;
#[cfg(feature = "mongodb")]
use super::mongodb::Mongodb;
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::{ApiKey, Directory, DirectoryError, Keep, KeptPresence, Lookup};

/// A directory of Appwrite's projects and users, and of users that a backend's own JWTs speak of.
#[derive(Debug)]
pub struct Appwrite {
    rows: Box<dyn Rows>,
    cipher: Cipher,
    clock: Arc<dyn Clock>,
    settings: AppwriteSettings,
    /// Under which this process counts its connections.
    server: String,
    /// Where Appwrite keeps copies of documents, and the host of the database they are of.
    copies: Option<(Arc<dyn Copies>, String)>,
}

/// How Appwrite's data is understood.
#[derive(Debug)]
pub struct AppwriteSettings {
    /// Verifies JWTs that Appwrite issued.
    pub jwt: AppwriteJwt,
    /// Verifies JWTs of a backend with users of its own.
    pub backend: Option<BackendJwt>,
    /// Where this server is, for the console project (Appwrite `_APP_REGION`).
    pub region: String,
    /// Whether a user of the console must be a member of the team that owns a project to connect to it. Appwrite lets
    /// every user of the console in.
    pub console_users_need_membership: bool,
    /// Whether blocked users are refused. Appwrite lets them in.
    pub refuse_blocked: bool,
    /// Projects whose custom domains are allowed origins of every project (Appwrite `_APP_CONSOLE_TRUSTED_PROJECTS`).
    pub trusted_projects: Vec<ProjectId>,
    /// Pools whose projects share tables (Appwrite `_APP_DATABASE_SHARED_TABLES`).
    pub shared_tables: Vec<String>,
}

/// What the column holds in which servers count their connections.
const LONGEST_COUNTS: usize = 16_384;
/// Appwrite's text for two proofs at once (`user_jwt_and_cookie_set`).
const JWT_AND_SESSION: &str = "JWT and cookie used in the same request. Use either `setJWT` or `setCookie`. Learn about which authentication method to use in the SSR docs: https://appwrite.io/docs/products/auth/server-side-rendering";
/// Appwrite's text for two proofs at once (`user_api_key_and_session_set`).
const KEY_AND_SESSION: &str = "API key and session used in the same request. Use either `setSession` or `setKey`. Learn about which authentication method to use in the SSR docs: https://appwrite.io/docs/products/auth/server-side-rendering";
/// Appwrite's text (`account_key_expired`).
const KEY_EXPIRED: &str =
    "The account API key has expired. Please generate a new key using the Appwrite console.";
/// Appwrite's text (`user_blocked`).
const BLOCKED: &str = "The current user has been blocked.";
/// Appwrite's text (`user_unauthorized`).
const NOT_A_MEMBER: &str = "The current user is not authorized to perform the requested action.";

impl AppwriteSettings {
    /// The safe choices, with Appwrite's defaults elsewhere.
    pub fn new(jwt: AppwriteJwt) -> Self {
        Self {
            jwt,
            backend: None,
            region: "default".to_owned(),
            console_users_need_membership: true,
            refuse_blocked: true,
            trusted_projects: Vec::new(),
            shared_tables: Vec::new(),
        }
    }
}

/// A user and what proved it.
struct Proof {
    who: Who,
    /// The session that the proof goes by.
    session: Option<SessionId>,
    /// Until when the proof is good; `None` is for ever.
    until: Option<Timestamp>,
}

enum Who {
    /// A row of a space.
    Stored(User),
    /// Somebody whom only a token speaks of.
    Claimed(Account),
}

impl Appwrite {
    /// Reads the embedded database.
    pub fn sqlite(database: Sqlite, settings: AppwriteSettings) -> Self {
        let (cipher, clock) = (database.cipher().clone(), Arc::clone(database.clock()));
        Self { clock, ..Self::over(Box::new(database), cipher, settings) }
    }

    /// Reads an installation's MariaDB or MySQL, whose secrets are sealed with this key.
    pub fn mariadb(database: Mariadb, key: &Secret, settings: AppwriteSettings) -> Self {
        Self::over(Box::new(database), Cipher::new(key), settings)
    }

    /// Reads an installation's MongoDB, whose secrets are sealed with this key.
    #[cfg(feature = "mongodb")]
    pub fn mongodb(database: Mongodb, key: &Secret, settings: AppwriteSettings) -> Self {
        Self::over(Box::new(database), Cipher::new(key), settings)
    }

    /// Reads an installation's PostgreSQL, whose secrets are sealed with this key.
    pub fn postgres(database: Postgres, key: &Secret, settings: AppwriteSettings) -> Self {
        Self::over(Box::new(database), Cipher::new(key), settings)
    }

    fn over(rows: Box<dyn Rows>, cipher: Cipher, settings: AppwriteSettings) -> Self {
        Self { rows, cipher, clock: Arc::new(SystemClock), settings, server: drawn_name(), copies: None }
    }

    /// The same, with copies of documents of the database at this host, which are to go when one is written.
    pub fn with_copies(self, copies: Option<Arc<dyn Copies>>, host: &str) -> Self {
        Self { copies: copies.map(|copies| (copies, host.to_owned())), ..self }
    }

    /// Finds the installation, and says which Appwrite made it as far as its tables tell.
    ///
    /// # Errors
    /// What keeps the database from being read, and what to do.
    pub async fn detect(&self) -> Result<&'static str, DirectoryError> {
        let console = Space::console();
        let marks = [
            ("projects", "onboarding", "newer than 1.9"),
            ("keys", "resourceType", "1.9"),
            ("users", "emailCanonical", "1.8"),
            ("devKeys", "secret", "1.7"),
            ("projects", "accessedAt", "1.6"),
        ];
        for (collection, column, release) in marks {
            if self.rows.has(&console, collection, column).await? {
                return Ok(release);
            }
        }
        Ok("1.5 or older")
    }

    async fn find_project(&self, id: &ProjectId) -> Result<Option<Arc<Project>>, DirectoryError> {
        if id.is_console() {
            return Ok(Some(Arc::new(self.console())));
        }
        let space = Space::console();
        let projects = self
            .rows
            .select(Select {
                space: &space,
                collection: "projects",
                columns: &["_id", "_uid", "database", "teamId", "region", "apis"],
                filters: &[("_uid", id.as_str())],
                before: None,
            })
            .await?;
        // A database may compare without regard to case; a project is meant exactly.
        let Some(row) = projects.iter().find(|row| row.text("_uid") == Some(id.as_str())) else {
            return Ok(None);
        };
        let Some(sequence) = row.text("_id") else { return Ok(None) };
        let platforms = self
            .rows
            .select(Select {
                space: &space,
                collection: "platforms",
                columns: &["type", "hostname", "key"],
                filters: &[("projectInternalId", sequence)],
                before: None,
            })
            .await?;
        Ok(Some(Arc::new(Project {
            id: id.clone(),
            sequence: sequence.to_owned(),
            database: row.text_or_empty("database").to_owned(),
            team: row.text("teamId").filter(|team| !team.is_empty()).map(TeamId::new),
            region: row.text_or_empty("region").to_owned(),
            realtime_enabled: is_enabled(row.text("apis")),
            platforms: platforms.iter().map(platform).collect(),
        })))
    }

    fn console(&self) -> Project {
        let web = Platform { kind: "web".into(), hostname: "localhost".into(), ..Platform::default() };
        Project {
            id: ProjectId::console(),
            sequence: ProjectId::CONSOLE.to_owned(),
            database: String::new(),
            team: None,
            region: self.settings.region.clone(),
            realtime_enabled: true,
            platforms: vec![web],
        }
    }

    async fn find_identity(
        &self,
        project: &Project,
        credentials: &Credentials,
    ) -> Result<Identity, DirectoryError> {
        let space = if credentials.admin { Space::console() } else { self.space_of(project) };
        let mut proof = self.by_sessions(&space, &credentials.sessions).await?;
        if let Some(jwt) = credentials.jwt.as_ref().filter(|jwt| !jwt.expose().is_empty()) {
            // Up to 1.8 the JWT won, and applications rendered on servers rely on it.
            if proof.is_some() && self.rows.has(&Space::console(), "keys", "resourceType").await? {
                return Err(refused(RefusalKind::Forbidden, JWT_AND_SESSION));
            }
            proof = self.by_jwt(project, &space, jwt).await?;
        }
        if let Some((key, user)) = &credentials.account_key {
            if proof.is_some() {
                return Err(refused(RefusalKind::Forbidden, KEY_AND_SESSION));
            }
            proof = self.by_account_key(key, user).await?;
        }
        let mut identity = match proof {
            Some(proof) => self.identity_of(project, &space, proof, credentials.impersonate.as_ref()).await?,
            None => Identity::guest(),
        };
        if let Some(key) = &credentials.dev_key {
            identity.dev_key = self.is_dev_key(project, key).await?;
        }
        Ok(identity)
    }

    /// Who somebody is who has proved it, or acts as.
    async fn identity_of(
        &self,
        project: &Project,
        space: &Space,
        proof: Proof,
        impersonate: Option<&Impersonate>,
    ) -> Result<Identity, DirectoryError> {
        let valid_for = proof.until.map(|until| self.left_until(until));
        let user = match proof.who {
            Who::Claimed(account) => {
                let account = Some(Arc::new(account));
                return Ok(Identity { account, valid_for, claimed: true, ..Identity::guest() });
            }
            Who::Stored(user) => user,
        };
        self.check_not_blocked(&user)?;
        let account = self.account_of(&user).await?;
        self.check_membership(project, &user, &account)?;
        if let Some(whom) = impersonate.filter(|_| user.is_impersonator())
            && let Some(target) = self.find_impersonated(space, whom).await?
        {
            self.check_not_blocked(&target)?;
            let real = Actor {
                project: if *user.space() == Space::console() {
                    ProjectId::console()
                } else {
                    project.id.clone()
                },
                user: account.id,
                session: proof.session,
            };
            let account = self.account_of(&target).await?;
            self.check_membership(project, &target, &account)?;
            let admin = self.is_foreign(project, &target);
            return Ok(Identity {
                account: Some(Arc::new(account)),
                valid_for,
                actor: Some(Box::new(real)),
                admin,
                ..Identity::guest()
            });
        }
        let admin = self.is_foreign(project, &user);
        Ok(Identity {
            account: Some(Arc::new(account)),
            session: proof.session,
            valid_for,
            admin,
            ..Identity::guest()
        })
    }

    async fn add_up(
        &self,
        own: &BTreeMap<ProjectId, u64>,
    ) -> Result<BTreeMap<ProjectId, u64>, DirectoryError> {
        let counts: Map<String, Value> =
            own.iter().map(|(project, count)| (project.to_string(), Value::from(*count))).collect();
        let text = Value::Object(counts).to_string();
        if text.len() > LONGEST_COUNTS {
            return Ok(own.clone());
        }
        let mut totals = BTreeMap::new();
        for row in self.rows.share_counts(&self.server, &text).await? {
            // Another server's row that cannot be read counts for nothing.
            let counts: BTreeMap<String, u64> = serde_json::from_str(&row).unwrap_or_default();
            for (project, count) in counts {
                let total: &mut u64 = totals.entry(ProjectId::new(project)).or_default();
                *total = total.saturating_add(count);
            }
        }
        Ok(totals)
    }

    fn space_of(&self, project: &Project) -> Space {
        Space::of(project, &self.settings.shared_tables)
    }

    /// Whether a user is one of the console while the project is another.
    fn is_foreign(&self, project: &Project, user: &User) -> bool {
        *user.space() != self.space_of(project)
    }

    fn left_until(&self, until: Timestamp) -> std::time::Duration {
        std::time::Duration::try_from(until.duration_since(self.clock.now())).unwrap_or_default()
    }

    fn check_not_blocked(&self, user: &User) -> Result<(), DirectoryError> {
        if user.is_blocked() && self.settings.refuse_blocked {
            return Err(refused(RefusalKind::Unauthorized, BLOCKED));
        }
        Ok(())
    }

    /// A user of the console may connect to the projects of its teams. Without this, everybody with an account on the
    /// console would be one of the `users` of every project, and a chosen id would make it somebody else's.
    fn check_membership(
        &self,
        project: &Project,
        user: &User,
        account: &Account,
    ) -> Result<(), DirectoryError> {
        if !self.is_foreign(project, user) || !self.settings.console_users_need_membership {
            return Ok(());
        }
        let is_member = project.team.as_ref().is_some_and(|team| {
            account.memberships.iter().any(|membership| membership.confirmed && membership.team == *team)
        });
        if is_member { Ok(()) } else { Err(refused(RefusalKind::Unauthorized, NOT_A_MEMBER)) }
    }

    /// Appwrite's tokens first, since a token with its signature is its own, whatever it says; then the backend's.
    /// Each is verified by its own keys only.
    async fn by_jwt(
        &self,
        project: &Project,
        space: &Space,
        jwt: &Secret,
    ) -> Result<Option<Proof>, DirectoryError> {
        let (token, now) = (jwt.expose(), self.clock.now());
        let header = Header::of(token);
        // Appwrite names no key and signs with HS256.
        let may_be_appwrites =
            header.as_ref().is_none_or(|header| header.kid.is_none() && header.alg == "HS256");
        match (&self.settings.backend, may_be_appwrites) {
            (None, _) => {}
            (Some(backend), false) => return self.by_backend_jwt(backend, project, space, token).await,
            (Some(backend), true) => {
                if self.settings.jwt.verify(token, now) == Err(JwtError::SignatureFailed) {
                    return self.by_backend_jwt(backend, project, space, token).await;
                }
            }
        }
        let claims = self.settings.jwt.verify(token, now).map_err(jwt_refused)?;
        let Some(user) = self.find_user(space, "_uid", claims.user.as_str()).await? else { return Ok(None) };
        if claims.session.is_empty() {
            return Ok(Some(Proof { who: Who::Stored(user), session: None, until: claims.expires }));
        }
        let Some(ends) = self.find_session(&user, &claims.session).await? else { return Ok(None) };
        let until = claims.expires.map_or(ends, |expires| expires.min(ends));
        let session = Some(SessionId::new(&claims.session));
        Ok(Some(Proof { who: Who::Stored(user), session, until: Some(until) }))
    }

    async fn by_backend_jwt(
        &self,
        backend: &BackendJwt,
        project: &Project,
        space: &Space,
        token: &str,
    ) -> Result<Option<Proof>, DirectoryError> {
        // A backend speaks for users of a project, never for those who administer projects.
        if *space == Space::console() {
            let reason = "Invalid token: The console takes none but Appwrite's own";
            return Err(jwt_refused(reason));
        }
        let Speaker { account, expires } =
            backend.verify(token, &project.id, self.clock.now()).map_err(jwt_refused)?;
        let who = match self.find_user(space, "_uid", account.id.as_str()).await? {
            // What the directory knows of a user outweighs what a token says.
            Some(user) => Who::Stored(user),
            None => Who::Claimed(account),
        };
        Ok(Some(Proof { who, session: None, until: Some(expires) }))
    }

    /// A user of the console by one of its own API keys.
    async fn by_account_key(&self, key: &Secret, user: &UserId) -> Result<Option<Proof>, DirectoryError> {
        if key.expose().is_empty() {
            return Ok(None);
        }
        let Some(user) = self.find_user(&Space::console(), "_uid", user.as_str()).await? else {
            return Ok(None);
        };
        let owner = [("resourceType", "users"), ("resourceInternalId", user.sequence())];
        let Some(row) = self.find_key("keys", &owner, key).await? else { return Ok(None) };
        let until = row.time("expire");
        if until.is_some_and(|until| until < self.clock.now()) {
            return Err(refused(RefusalKind::Unauthorized, KEY_EXPIRED));
        }
        Ok(Some(Proof { who: Who::Stored(user), session: None, until }))
    }

    async fn is_dev_key(&self, project: &Project, key: &Secret) -> Result<bool, DirectoryError> {
        let owner = [("projectInternalId", project.sequence.as_str())];
        let row = self.find_key("devKeys", &owner, key).await?;
        Ok(row.is_some_and(|row| !self.has_expired(&row)))
    }

    async fn find_api_key(
        &self,
        project: &Project,
        secret: &Secret,
    ) -> Result<Option<ApiKey>, DirectoryError> {
        let owner = [("resourceType", "projects"), ("resourceInternalId", project.sequence.as_str())];
        // Up to 1.8 every key was a project's.
        let until_1_8 = [("projectInternalId", project.sequence.as_str())];
        let is_newer = self.rows.has(&Space::console(), "keys", "resourceType").await?;
        let owner = if is_newer { &owner[..] } else { &until_1_8[..] };
        let row = self.find_key("keys", owner, secret).await?.filter(|row| !self.has_expired(row));
        Ok(row.map(|row| ApiKey {
            id: row.text_or_empty("_uid").to_owned(),
            scopes: row.list("scopes").unwrap_or_default(),
        }))
    }

    fn has_expired(&self, key: &Row) -> bool {
        key.time("expire").is_some_and(|expires| expires < self.clock.now())
    }

    /// The key of an owner that has this secret. Every key is compared, so that time tells nothing.
    async fn find_key(
        &self,
        collection: &'static str,
        owner: &[(&'static str, &str)],
        secret: &Secret,
    ) -> Result<Option<Row>, DirectoryError> {
        if secret.expose().is_empty() {
            return Ok(None);
        }
        let columns = &["_uid", "secret", "expire", "scopes"];
        let space = Space::console();
        let keys = self
            .rows
            .select(Select { space: &space, collection, columns, filters: owner, before: None })
            .await?;
        let mut found = None;
        for row in keys {
            if self.opens_to(&row, secret.expose()) && found.is_none() {
                found = Some(row);
            }
        }
        Ok(found)
    }

    /// Whether a row's `secret` is this text. A row that cannot be read is none that matches.
    fn opens_to(&self, row: &Row, text: &str) -> bool {
        let Some(sealed) = row.text("secret") else { return false };
        match self.cipher.open(sealed) {
            Ok(secret) => secret.expose().as_bytes().ct_eq(text.as_bytes()).into(),
            Err(error) => {
                let id = row.text_or_empty("_uid");
                warn!(database = self.rows.name(), id, %error, "a stored secret is left out");
                false
            }
        }
    }

    async fn find_rule(&self, project: &Project, host: &str) -> Result<bool, DirectoryError> {
        let host = host.to_lowercase();
        let space = Space::console();
        let rules = self
            .rows
            .select(Select {
                space: &space,
                collection: "rules",
                columns: &["projectId", "projectInternalId"],
                filters: &[("domain", &host)],
                before: None,
            })
            .await?;
        Ok(rules.first().is_some_and(|rule| {
            let trusted = |id| self.settings.trusted_projects.iter().any(|project| project.as_str() == id);
            rule.text("projectInternalId") == Some(&project.sequence)
                || rule.text("projectId").is_some_and(trusted)
        }))
    }

    async fn find_credential(
        &self,
        project: &Project,
        credential: &Credential,
    ) -> Result<Option<Identity>, DirectoryError> {
        let space = self.space_of(project);
        let proof = match credential {
            Credential::Session(token) => self.by_sessions(&space, std::slice::from_ref(token)).await?,
            Credential::Jwt(jwt) => self.by_jwt(project, &space, jwt).await?,
        };
        match proof {
            Some(proof) => self.identity_of(project, &space, proof, None).await.map(Some),
            None => Ok(None),
        }
    }

    async fn read_again(&self, project: &Project, user: &UserId) -> Result<Option<Standing>, DirectoryError> {
        let Some(user) = self.find_user(&self.space_of(project), "_uid", user.as_str()).await? else {
            return Ok(None);
        };
        self.check_not_blocked(&user)?;
        let sessions = self.sessions_of(&user).await?;
        let account = Arc::new(self.account_of(&user).await?);
        Ok(Some(Standing { account, sessions, may_impersonate: user.is_impersonator() }))
    }
}

impl Directory for Appwrite {
    fn name(&self) -> &'static str {
        self.rows.name()
    }

    fn project<'a>(&'a self, id: &'a ProjectId) -> Lookup<'a, Option<Arc<Project>>> {
        Box::pin(self.find_project(id))
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
        Box::pin(self.read_again(project, user))
    }

    fn api_key<'a>(&'a self, project: &'a Project, secret: &'a Secret) -> Lookup<'a, Option<ApiKey>> {
        Box::pin(self.find_api_key(project, secret))
    }

    fn share_counts<'a>(&'a self, own: &'a BTreeMap<ProjectId, u64>) -> Lookup<'a, BTreeMap<ProjectId, u64>> {
        Box::pin(self.add_up(own))
    }

    fn keep_presence<'a>(&'a self, kept: Keep<'a>) -> Lookup<'a, KeptPresence> {
        Box::pin(self.write_presence(kept))
    }

    fn remove_presence<'a>(
        &'a self,
        project: &'a Project,
        user: &'a UserId,
        sequence: &'a str,
    ) -> Lookup<'a, Option<KeptPresence>> {
        Box::pin(self.take_presence(project, user, sequence))
    }

    fn remove_stale_presences<'a>(
        &'a self,
        project: &'a Project,
        left_by: Option<(&'a str, Timestamp)>,
    ) -> Lookup<'a, Vec<KeptPresence>> {
        Box::pin(self.take_stale_presences(project, left_by))
    }

    fn owns_host<'a>(&'a self, project: &'a Project, host: &'a str) -> Lookup<'a, bool> {
        Box::pin(self.find_rule(project, host))
    }
}

/// A name for this process among the servers of an installation: 20 hexadecimal digits, as Appwrite's ids have.
fn drawn_name() -> String {
    format!("{:020x}", rand::random::<u128>() >> 48)
}

/// `apis.websocket`, else `apis.realtime`, else on.
fn is_enabled(apis: Option<&str>) -> bool {
    let apis: Value = apis.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let switch = ["websocket", "realtime"].iter().find_map(|name| apis.get(*name)?.as_bool());
    switch.unwrap_or(true)
}

fn platform(row: &Row) -> Platform {
    let text = |column| row.text_or_empty(column).to_owned();
    Platform { kind: text("type"), hostname: text("hostname"), key: text("key") }
}

fn refused(kind: RefusalKind, message: impl Into<Cow<'static, str>>) -> DirectoryError {
    DirectoryError::Refused(Refusal::new(kind, message))
}

fn jwt_refused(reason: impl std::fmt::Display) -> DirectoryError {
    let message = format!("Failed to verify JWT. {reason}");
    DirectoryError::Refused(Refusal::new(RefusalKind::Unauthorized, message))
}

#[cfg(test)]
mod tests;
