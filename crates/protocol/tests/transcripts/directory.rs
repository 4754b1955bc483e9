//! The directory of a transcript: who exists in it, and what proves it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use realtime_core::command::Hello;
use realtime_core::effect::Admission;
use realtime_core::id::{ProjectId, UserId};
use realtime_core::identity::{Account, Credential, Identity, Membership};
use realtime_core::project::{Platform, Project};
use realtime_core::refusal::{Refusal, RefusalKind};
use serde_json::json;

#[derive(Debug, Default)]
pub(crate) struct Directory {
    projects: BTreeMap<String, Arc<Project>>,
    users: BTreeMap<(String, String), User>,
}

#[derive(Debug)]
struct User {
    account: Arc<Account>,
    sessions: Vec<String>,
    jwts: Vec<String>,
    expires: Option<Duration>,
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
    /// `project P [team=T] [region=R] [web=host,…] [off]`
    pub(crate) fn add_project(&mut self, line: &str) {
        let (plain, named) = options(line);
        let id = plain.first().expect("a project has an id");
        let platforms = list(&named, "web")
            .into_iter()
            .map(|host| Platform { kind: "web".into(), hostname: host.into(), key: String::new() })
            .collect();
        self.projects.insert(
            (*id).to_owned(),
            Arc::new(Project {
                id: ProjectId::new(id),
                sequence: "1".to_owned(),
                team: named.get("team").map(|team| (*team).into()),
                region: named.get("region").copied().unwrap_or_default().to_owned(),
                realtime_enabled: !plain.contains(&"off"),
                platforms,
            }),
        );
    }

    /// `user U project=P [session=token,…] [jwt=token,…] [teams=T:role+role,…] [labels=l,…] [unverified] [expires=60s]
    /// [name=N]`; said again it replaces what is known of the user.
    pub(crate) fn add_user(&mut self, line: &str) {
        let (plain, named) = options(line);
        let id = *plain.first().expect("a user has an id");
        let project = named.get("project").expect("a user has a project");
        let memberships = list(&named, "teams")
            .into_iter()
            .map(|team| {
                let (team, roles) = team.split_once(':').unwrap_or((team, ""));
                Membership {
                    id: format!("m-{id}-{team}").as_str().into(),
                    team: team.into(),
                    roles: roles.split('+').filter(|role| !role.is_empty()).map(str::to_owned).collect(),
                    confirmed: true,
                }
            })
            .collect();
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
        self.projects.get(id.as_str()).cloned()
    }

    pub(crate) fn admit(&self, hello: &Hello) -> Result<Admission, Refusal> {
        let project =
            self.project(&hello.project).ok_or_else(|| Refusal::policy("Missing or unknown project ID"))?;
        let mut identity = Identity::guest();
        for session in &hello.credentials.sessions {
            if let Some(found) =
                self.find(&project.id, |user| user.sessions.iter().any(|s| s == session.expose()))
            {
                identity = found;
            }
        }
        if let Some(jwt) = &hello.credentials.jwt {
            identity = self
                .find(&project.id, |user| user.jwts.iter().any(|token| token == jwt.expose()))
                .ok_or_else(|| {
                    let text = "Failed to verify JWT. Invalid token: Incomplete segments";
                    Refusal::new(RefusalKind::Unauthorized, text)
                })?;
        }
        Ok(Admission { project, identity, owns_origin: false })
    }

    pub(crate) fn authenticate(&self, project: &ProjectId, credential: &Credential) -> Option<Identity> {
        match credential {
            Credential::Session(token) => {
                self.find(project, |user| user.sessions.iter().any(|session| session == token.expose()))
            }
            Credential::Jwt(token) => {
                self.find(project, |user| user.jwts.iter().any(|jwt| jwt == token.expose()))
            }
        }
    }

    pub(crate) fn refresh(&self, project: &ProjectId, user: &UserId) -> Option<Arc<Account>> {
        let key = (project.as_str().to_owned(), user.as_str().to_owned());
        self.users.get(&key).map(|user| Arc::clone(&user.account))
    }

    fn find(&self, project: &ProjectId, proves: impl Fn(&User) -> bool) -> Option<Identity> {
        let mut users = self.users.iter().filter(|((home, _), _)| home == project.as_str());
        let (_, user) = users.find(|(_, user)| proves(user))?;
        Some(Identity {
            account: Some(Arc::clone(&user.account)),
            valid_for: user.expires,
            ..Identity::guest()
        })
    }
}
