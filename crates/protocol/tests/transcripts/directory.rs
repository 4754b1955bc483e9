//! The directory of a transcript: who exists in it, and what proves it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use realtime_core::command::Hello;
use realtime_core::effect::Admission;
use realtime_core::id::{ProjectId, TeamId, UserId};
use realtime_core::identity::{
    Account, Actor, Credential, Credentials, Identity, Impersonate, Membership, Standing,
};
use realtime_core::origin;
use realtime_core::project::{Platform, Project};
use realtime_core::refusal::{Refusal, RefusalKind};
use realtime_core::secret::Secret;
use serde_json::json;

/// Appwrite's text for two proofs at once (`user_jwt_and_cookie_set`).
const JWT_AND_SESSION: &str = "JWT and cookie used in the same request. Use either `setJWT` or `setCookie`. Learn about which authentication method to use in the SSR docs: https://appwrite.io/docs/products/auth/server-side-rendering";
/// Appwrite's text for two proofs at once (`user_api_key_and_session_set`).
const KEY_AND_SESSION: &str = "API key and session used in the same request. Use either `setSession` or `setKey`. Learn about which authentication method to use in the SSR docs: https://appwrite.io/docs/products/auth/server-side-rendering";

#[derive(Debug, Default)]
pub(crate) struct Directory {
    projects: BTreeMap<String, Entry>,
    users: BTreeMap<(String, String), User>,
    /// Whether it can tell nothing at the moment.
    pub(crate) is_down: bool,
}

/// A project and what opens it to origins beyond its platforms.
#[derive(Debug)]
struct Entry {
    project: Arc<Project>,
    domains: Vec<String>,
    dev_keys: Vec<String>,
}

#[derive(Debug)]
struct User {
    account: Arc<Account>,
    sessions: Vec<String>,
    jwts: Vec<String>,
    keys: Vec<String>,
    expires: Option<Duration>,
    impersonator: bool,
}

/// The words `key=value` of a line, and those without `=`.
fn options(text: &str) -> (Vec<&str>, BTreeMap<&str, &str>) {
    let mut plain = Vec::new();
    let mut named = BTreeMap::new();
    for word in text.split_whitespace() {
        match word.split_once('=') {
            Some((key, value)) => {
                named.insert(key, value);
            }
            None => plain.push(word),
        }
    }
    (plain, named)
}

fn list<'a>(named: &BTreeMap<&str, &'a str>, key: &str) -> Vec<&'a str> {
    named.get(key).map_or_else(Vec::new, |value| value.split(',').filter(|part| !part.is_empty()).collect())
}

impl Directory {
    /// `project P [team=T] [region=R] [web=host,…] [app=kind:key,…] [domain=host,…] [devkey=K,…] [off]`
    pub(crate) fn add_project(&mut self, line: &str) {
        let (plain, named) = options(line);
        let id = plain.first().expect("a project has an id");
        let web = list(&named, "web").into_iter().map(|host| Platform {
            kind: "web".to_owned(),
            hostname: host.to_owned(),
            key: String::new(),
        });
        let apps = list(&named, "app").into_iter().map(|app| {
            let (kind, key) = app.split_once(':').expect("an app has a kind and a key");
            Platform { kind: kind.to_owned(), hostname: String::new(), key: key.to_owned() }
        });
        let project = Project {
            id: ProjectId::new(id),
            sequence: "1".to_owned(),
            database: String::new(),
            team: named.get("team").map(|team| (*team).into()),
            region: named.get("region").copied().unwrap_or_default().to_owned(),
            realtime_enabled: !plain.contains(&"off"),
            platforms: web.chain(apps).collect(),
        };
        let texts = |key| list(&named, key).into_iter().map(str::to_owned).collect();
        let entry = Entry { project: Arc::new(project), domains: texts("domain"), dev_keys: texts("devkey") };
        self.projects.insert((*id).to_owned(), entry);
    }

    /// `user U project=P [session=token,…] [jwt=token,…] [key=K,…] [teams=T:role+role,…] [invited=T,…] [labels=l,…]
    /// [unverified] [impersonator] [expires=60s] [name=N]`; said again it replaces what is known of the user.
    pub(crate) fn add_user(&mut self, line: &str) {
        let (plain, named) = options(line);
        let id = *plain.first().expect("a user has an id");
        let project = named.get("project").expect("a user has a project");
        let membership = |team: &str, confirmed| {
            let (team, roles) = team.split_once(':').unwrap_or((team, ""));
            Membership {
                id: format!("m-{id}-{team}").as_str().into(),
                team: team.into(),
                roles: roles.split('+').filter(|role| !role.is_empty()).map(str::to_owned).collect(),
                confirmed,
            }
        };
        let joined = list(&named, "teams").into_iter().map(|team| membership(team, true));
        let invited = list(&named, "invited").into_iter().map(|team| membership(team, false));
        let memberships = joined.chain(invited).collect();
        let profile = json!({ "$id": id, "name": named.get("name").copied().unwrap_or_default() });
        let account = Account {
            id: id.into(),
            email_verified: !plain.contains(&"unverified"),
            phone_verified: false,
            memberships,
            labels: list(&named, "labels").into_iter().map(str::to_owned).collect(),
            profile: Bytes::from(profile.to_string()),
        };
        let texts = |key| list(&named, key).into_iter().map(str::to_owned).collect();
        let user = User {
            account: Arc::new(account),
            sessions: texts("session"),
            jwts: texts("jwt"),
            keys: texts("key"),
            impersonator: plain.contains(&"impersonator"),
            expires: named.get("expires").map(|text| super::world::duration(text)),
        };
        self.users.insert(((*project).to_owned(), id.to_owned()), user);
    }

    /// `gone U project=P`
    pub(crate) fn remove_user(&mut self, line: &str) {
        let (plain, named) = options(line);
        let id = plain.first().expect("a user has an id");
        self.users.remove(&(named["project"].to_owned(), (*id).to_owned()));
    }

    pub(crate) fn project(&self, id: &ProjectId) -> Option<Arc<Project>> {
        self.projects.get(id.as_str()).map(|entry| Arc::clone(&entry.project))
    }

    pub(crate) fn admit(&self, hello: &Hello) -> Result<Admission, Refusal> {
        self.check_up()?;
        let entry = self
            .projects
            .get(hello.project.as_str())
            .ok_or_else(|| Refusal::policy("Missing or unknown project ID"))?;
        let mut identity = self.identify(&hello.project, &hello.credentials)?;
        let dev_key = hello.credentials.dev_key.as_ref();
        identity.dev_key =
            dev_key.is_some_and(|key| entry.dev_keys.iter().any(|known| known == key.expose()));
        let host = origin::host_of(&hello.origin);
        let owns_origin = host.is_some_and(|host| entry.domains.contains(&host));
        Ok(Admission { project: Arc::clone(&entry.project), identity, owns_origin })
    }

    pub(crate) fn authenticate(
        &self,
        project: &ProjectId,
        credential: &Credential,
    ) -> Result<Option<Identity>, Refusal> {
        self.check_up()?;
        Ok(match credential {
            Credential::Session(token) => self.by_session(project, token),
            Credential::Jwt(token) => self.by_jwt(project, token),
        }
        .map(identity_of))
    }

    pub(crate) fn owner(&self, project: &ProjectId) -> Result<Option<TeamId>, Refusal> {
        self.check_up()?;
        Ok(self.project(project).and_then(|project| project.team.clone()))
    }

    pub(crate) fn refresh(&self, project: &ProjectId, user: &UserId) -> Result<Option<Standing>, Refusal> {
        self.check_up()?;
        let key = (project.as_str().to_owned(), user.as_str().to_owned());
        let standing = |user: &User| Standing {
            account: Arc::clone(&user.account),
            sessions: Vec::new(),
            may_impersonate: user.impersonator,
        };
        Ok(self.users.get(&key).map(standing))
    }

    fn check_up(&self) -> Result<(), Refusal> {
        let text = "The directory cannot answer at the moment. Try again later.";
        if self.is_down { Err(Refusal::new(RefusalKind::Unavailable, text)) } else { Ok(()) }
    }

    fn identify(&self, project: &ProjectId, shown: &Credentials) -> Result<Identity, Refusal> {
        let console = ProjectId::console();
        let mut home = if shown.admin { &console } else { project };
        let mut user = shown.sessions.iter().find_map(|token| self.by_session(home, token));
        if let Some(jwt) = &shown.jwt {
            if user.is_some() {
                return Err(Refusal::new(RefusalKind::Forbidden, JWT_AND_SESSION));
            }
            let text = "Failed to verify JWT. Invalid token: Incomplete segments";
            let known = self.by_jwt(home, jwt);
            user = Some(known.ok_or_else(|| Refusal::new(RefusalKind::Unauthorized, text))?);
        }
        if let Some((key, id)) = &shown.account_key {
            if user.is_some() {
                return Err(Refusal::new(RefusalKind::Forbidden, KEY_AND_SESSION));
            }
            // Accounts of the console alone have keys.
            home = &console;
            user = self.find(home, |user| {
                user.account.id == *id && user.keys.iter().any(|known| known == key.expose())
            });
        }
        let Some(user) = user else { return Ok(Identity::guest()) };
        let target = match &shown.impersonate {
            Some(Impersonate::Id(id)) if user.impersonator => self.find(home, |user| user.account.id == *id),
            _ => None,
        };
        let admin = home.is_console() && !project.is_console();
        let real = || Actor { project: home.clone(), user: user.account.id.clone(), session: None };
        let actor = target.map(|_| Box::new(real()));
        Ok(Identity { actor, admin, ..identity_of(target.unwrap_or(user)) })
    }

    fn by_session(&self, project: &ProjectId, token: &Secret) -> Option<&User> {
        self.find(project, |user| user.sessions.iter().any(|session| session == token.expose()))
    }

    fn by_jwt(&self, project: &ProjectId, token: &Secret) -> Option<&User> {
        self.find(project, |user| user.jwts.iter().any(|jwt| jwt == token.expose()))
    }

    fn find(&self, project: &ProjectId, proves: impl Fn(&User) -> bool) -> Option<&User> {
        let mut users = self.users.iter().filter(|((home, _), _)| home == project.as_str());
        users.find(|(_, user)| proves(user)).map(|(_, user)| user)
    }
}

fn identity_of(user: &User) -> Identity {
    Identity { account: Some(Arc::clone(&user.account)), valid_for: user.expires, ..Identity::guest() }
}
