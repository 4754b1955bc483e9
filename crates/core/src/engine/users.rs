//! The users of connections: whom they are, who acts as them, and how it is noticed that these may do so no more, also where
//! nothing told of it.

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::Engine;
use crate::connection::{Connection, Live};
use crate::effect::Effect;
use crate::id::{ConnectionId, ProjectId, TeamId, UserId};
use crate::identity::{Identity, Standing};
use crate::notice::Notice;
use crate::recheck::Recheck;
use crate::refusal::{Close, Refusal, RefusalKind};
use crate::role::Role;

impl Engine {
    /// From now on changes of the connection's users reach it.
    pub(super) fn join_users(&mut self, id: ConnectionId) {
        let keys: SmallVec<[_; 2]> = self.live(id).into_iter().flat_map(Live::concerned).collect();
        for key in keys {
            self.by_user.entry(key).or_default().push(id);
        }
    }

    pub(super) fn leave_users(&mut self, id: ConnectionId) {
        let keys: SmallVec<[_; 2]> = self.live(id).into_iter().flat_map(Live::concerned).collect();
        for key in keys {
            let Some(ids) = self.by_user.get_mut(&key) else { continue };
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_user.remove(&key);
            }
        }
    }

    /// Whether the connection is this user, and not somebody whom the user acts as.
    pub(super) fn is_user(&self, id: ConnectionId, key: &(ProjectId, UserId)) -> bool {
        self.live(id).and_then(Live::user_key).is_some_and(|own| own == *key)
    }

    /// Whether the session that a connection goes by, if it goes by one, is still there.
    pub(super) fn is_proved_by(&self, id: ConnectionId, standing: &Standing) -> bool {
        let session = self.live(id).and_then(|live| live.identity.session.as_ref());
        session.is_none_or(|session| standing.sessions.contains(session))
    }

    /// Takes the roles in a team from everybody who holds them: the team is no more. Appwrite removes the memberships
    /// some time after it, so that whoever is read again meanwhile must not get them back.
    pub(super) fn end_team(&mut self, project: &ProjectId, team: &TeamId) {
        let role = Role::team(team);
        // Users in admin mode are the console's, and hold its roles wherever they are connected.
        let is_held = match project.is_console() {
            true => self.index.is_held_anywhere(&role),
            false => self.index.is_held(project, &role),
        };
        if !is_held {
            return;
        }
        for id in self.ids() {
            let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) else { continue };
            if live.user_key().is_none_or(|(of, _)| of != *project) {
                continue;
            }
            let Some(account) = live.identity.account.clone() else { continue };
            let of_team = account.memberships.iter().filter(|membership| membership.team == *team);
            let before = live.ended.len();
            live.ended.extend(of_team.map(|membership| membership.id.clone()));
            if live.ended.len() > before {
                self.set_account(id, account);
            }
        }
    }

    pub(super) fn end_session(&mut self, id: ConnectionId) {
        let refusal = Refusal::new(RefusalKind::Unauthorized, "The session has ended.");
        self.finish(id, Some(Notice::Refused(refusal)), Close::Expired);
    }

    pub(super) fn end_user(&mut self, id: ConnectionId) {
        self.refuse(id, Refusal::new(RefusalKind::Unauthorized, "The user no longer exists."));
    }

    /// When somebody is read again for the first time: at a random part of the interval, so that those of a wave of
    /// connections spread out. Never, if no directory knows the user.
    pub(super) fn first_reread(&mut self, identity: &Identity, now: Instant) -> Option<Instant> {
        let every = self.settings.reread?;
        let is_stored = identity.account.is_some() && !identity.claimed;
        is_stored.then(|| now + self.random.part_of(every))
    }

    /// Has the users of a connection read again whose time has come, once for all the connections of each.
    pub(super) fn reread_if_due(&mut self, id: ConnectionId, now: Instant) {
        let Some(every) = self.settings.reread else { return };
        let Some(live) = self.live(id) else { return };
        if live.reread_at.is_none_or(|at| at > now) {
            return;
        }
        let keys: Vec<_> = live.concerned().collect();
        for key in keys {
            for other in self.by_user.get(&key).cloned().unwrap_or_default() {
                if let Some(live) = self.connection_mut(other).and_then(Connection::live_mut) {
                    live.reread_at = live.reread_at.map(|_| now + every);
                }
            }
            self.reread(&key, false);
        }
    }

    /// Has a user read again while events go on. The answer is for all that the user is concerned with.
    pub(super) fn reread(&mut self, key: &(ProjectId, UserId), is_awaited: bool) {
        let recheck = self.rechecks.entry(key.clone()).or_insert_with(|| {
            let (project, user) = key.clone();
            self.effects.push_back(Effect::Refresh { project, user, is_awaited });
            Recheck { is_awaited, ..Recheck::default() }
        });
        recheck.again |= is_awaited && !recheck.is_awaited;
        recheck.is_for_all = true;
    }

    /// The user was read again, which concerns also those of its connections that did not wait for it, and those by which
    /// it acts as another one. Where it was only to be seen whether something has changed, and could not be read, they stay
    /// what they are.
    pub(super) fn refresh_unawaited(
        &mut self,
        key: &(ProjectId, UserId),
        recheck: &Recheck,
        found: &Result<Option<Standing>, Refusal>,
    ) {
        let waits = |id: &ConnectionId| recheck.connections.iter().any(|(waiting, _)| waiting == id);
        let ids = self.by_user.get(key).cloned().unwrap_or_default();
        for id in ids.into_iter().filter(|id| !waits(id)) {
            match found {
                Err(refusal) if refusal.kind == RefusalKind::Unavailable && !recheck.is_awaited => {}
                _ if self.live(id).is_none_or(|live| live.identity.claimed) => {}
                Err(refusal) => self.refuse(id, refusal.clone()),
                Ok(None) => self.end_user(id),
                Ok(Some(standing)) if self.is_user(id, key) => self.refresh_user(id, standing),
                Ok(Some(standing)) => self.refresh_actor(id, standing),
            }
        }
    }

    fn refresh_user(&mut self, id: ConnectionId, standing: &Standing) {
        if !self.is_proved_by(id, standing) {
            self.end_session(id);
        } else if self.live(id).is_some_and(|live| live.identity.account.as_ref() != Some(&standing.account))
        {
            self.set_account(id, Arc::clone(&standing.account));
        }
    }

    fn refresh_actor(&mut self, id: ConnectionId, standing: &Standing) {
        let actor = self.live(id).and_then(|live| live.identity.actor.as_ref());
        let session = actor.and_then(|actor| actor.session.as_ref());
        if !session.is_none_or(|session| standing.sessions.contains(session)) {
            self.end_session(id);
        } else if !standing.may_impersonate {
            let text = "The user may not act as others any more.";
            self.refuse(id, Refusal::new(RefusalKind::Unauthorized, text));
        }
    }
}
