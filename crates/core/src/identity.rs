//! What a client shows, who it turns out to be, and the roles that follow.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::id::{MembershipId, ProjectId, SessionId, TeamId, UserId};
use crate::role::Role;
use crate::secret::Secret;

/// Everything a client showed when it connected. Nothing here is believed before a directory has verified it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Session token candidates in order of precedence: cookie, header, fallback cookie.
    pub sessions: Vec<Secret>,
    /// A JSON Web Token, from a header or the URL.
    pub jwt: Option<Secret>,
    /// An account API key and the user it is for (`X-Appwrite-Key` with `X-Appwrite-User`).
    pub account_key: Option<(Secret, UserId)>,
    /// A development key, which relaxes the origin check.
    pub dev_key: Option<Secret>,
    /// Whether the client asked for `mode=admin`: its user is then one of the console project.
    pub admin: bool,
    /// Whom the user wants to act as, if it may.
    pub impersonate: Option<Impersonate>,
}

/// How the user to act as was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Impersonate {
    /// By user id.
    Id(UserId),
    /// By e-mail address.
    Email(String),
    /// By phone number.
    Phone(String),
}

/// A credential shown after connecting, in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A session token.
    Session(Secret),
    /// A JSON Web Token.
    Jwt(Secret),
}

/// What a directory knows of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub id: UserId,
    /// Whether the e-mail address is verified.
    pub email_verified: bool,
    /// Whether the phone number is verified.
    pub phone_verified: bool,
    /// In the order of the directory, unconfirmed ones included.
    pub memberships: Vec<Membership>,
    /// Labels, in order.
    pub labels: Vec<String>,
    /// How the directory presents the user to itself: a JSON object, forwarded to the client untouched.
    pub profile: Bytes,
}

/// A user's place in a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The membership.
    pub id: MembershipId,
    /// The team.
    pub team: TeamId,
    /// The roles held in it.
    pub roles: Vec<String>,
    /// Whether the invitation was accepted; until then it grants nothing.
    pub confirmed: bool,
}

/// A user as it stands at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What the directory knows of it.
    pub account: Arc<Account>,
    /// Its sessions that are good, in the order of the directory.
    pub sessions: Vec<SessionId>,
    /// Whether it may act as others.
    pub may_impersonate: bool,
}

/// The real user of a connection that acts as another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Where the user is: the project connected to, or the console.
    pub project: ProjectId,
    /// Who it is.
    pub user: UserId,
    /// The session that proves it; the connection ends with it.
    pub session: Option<SessionId>,
}

/// Who a connection is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// `None` is a guest.
    pub account: Option<Arc<Account>>,
    /// The session that proves it, directly or by a token made from it; the connection ends with it. `None` if something
    /// else proves it, or somebody else's session does.
    pub session: Option<SessionId>,
    /// How long the proof is good for from the moment of the look-up; `None` is for ever.
    pub valid_for: Option<Duration>,
    /// Whether a token alone speaks of the account, and no directory.
    pub claimed: bool,
    /// The real user, where the account is somebody that it acts as.
    pub actor: Option<Box<Actor>>,
    /// Whether a valid development key was shown.
    pub dev_key: bool,
    /// Whether the account is one of the console project (`mode=admin`), not of the project connected to.
    pub admin: bool,
}

impl Identity {
    /// Somebody without an account.
    pub fn guest() -> Self {
        Self::default()
    }

    /// The user, unless a guest.
    pub fn user(&self) -> Option<&UserId> {
        self.account.as_deref().map(|account| &account.id)
    }

    /// The roles that follow from the identity, in Appwrite's order (`User::getRoles`). `any` is not among them.
    pub fn roles(&self) -> Vec<Role> {
        match &self.account {
            Some(account) => roles_of(account),
            None => vec![Role::guests()],
        }
    }
}

/// The roles of a user: itself, its verification, its confirmed memberships, its labels.
pub fn roles_of(account: &Account) -> Vec<Role> {
    let verified = account.email_verified || account.phone_verified;
    let mut roles = vec![
        Role::user(&account.id),
        Role::users(),
        Role::user_by_verification(&account.id, verified),
        Role::users_by_verification(verified),
    ];
    for membership in account.memberships.iter().filter(|membership| membership.confirmed) {
        roles.push(Role::team(&membership.team));
        roles.push(Role::member(&membership.id));
        roles.extend(membership.roles.iter().map(|role| Role::team_role(&membership.team, role)));
    }
    roles.extend(account.labels.iter().map(|label| Role::label(label)));
    roles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            id: "user1".into(),
            email_verified: false,
            phone_verified: false,
            memberships: vec![
                Membership {
                    id: "mem1".into(),
                    team: "teamA".into(),
                    roles: vec!["owner".into(), "dev".into()],
                    confirmed: true,
                },
                Membership { id: "mem2".into(), team: "teamB".into(), roles: vec![], confirmed: false },
            ],
            labels: vec!["vip".into()],
            profile: Bytes::new(),
        }
    }

    #[test]
    fn roles_follow_from_verification_confirmed_memberships_and_labels() {
        let roles: Vec<String> = roles_of(&account()).iter().map(ToString::to_string).collect();
        assert_eq!(
            roles,
            [
                "user:user1",
                "users",
                "user:user1/unverified",
                "users/unverified",
                "team:teamA",
                "member:mem1",
                "team:teamA/owner",
                "team:teamA/dev",
                "label:vip"
            ]
        );
    }

    #[test]
    fn a_verified_phone_is_verification_enough() {
        let roles = roles_of(&Account { phone_verified: true, ..account() });
        assert!(roles.contains(&Role::new("users/verified")));
        assert!(!roles.contains(&Role::new("users/unverified")));
    }

    #[test]
    fn a_guest_holds_one_role() {
        assert_eq!(Identity::guest().roles(), [Role::guests()]);
    }
}
