//! Users that let others know that they are here.

use bytes::Bytes;

use super::Engine;
use crate::connection::{Connection, Presents};
use crate::effect::Effect;
use crate::id::ConnectionId;
use crate::notice::{Notice, Outgoing};
use crate::presence::Presence;
use crate::refusal::{Refusal, RefusalKind};
use crate::role::Role;

impl Engine {
    /// The presence of an [`Effect::Present`] was written, and is this (a JSON object) now.
    pub fn presented(&mut self, id: ConnectionId, written: Result<Bytes, Refusal>) {
        match self.connection_mut(id).and_then(Connection::live_mut) {
            Some(live) => live.presents = Presents::Yes,
            None => {
                // It left before others were let know of it.
                self.effects.push_back(Effect::Absent { connection: id, ended_by_client: false });
                return;
            }
        }
        let notice = written.map_or_else(Notice::Refused, Notice::Presented);
        self.push(id, Outgoing::Notice(notice));
        self.handle_waiting(id);
    }

    /// Has a user's presence written, if it may have one with these grants.
    pub(super) fn present(&mut self, id: ConnectionId, presence: Presence) -> Result<(), Refusal> {
        let Some(live) = self.connection_mut(id).and_then(Connection::live_mut) else { return Ok(()) };
        if live.project.is_console() {
            return Err(Refusal::policy("Presence requires a project context."));
        }
        // A user in admin mode is the console's, so the project has no presence of it.
        let Some(user) = live.identity.user().filter(|_| !live.identity.admin).cloned() else {
            return Err(Refusal::new(RefusalKind::Unauthorized, "User must be authorized"));
        };
        let roles = live.identity.roles();
        let is_held = |role: &Role| role.is_any() || roles.contains(role);
        if presence.grants.iter().flatten().any(|grant| !is_held(&grant.role)) {
            let held: Vec<&str> = roles.iter().map(Role::as_str).collect();
            let text = format!("Permissions must be one of: (any, {})", held.join(", "));
            return Err(Refusal::new(RefusalKind::Unauthorized, text));
        }
        live.presents = Presents::Asked;
        let (project, claimed) = (live.project.clone(), live.identity.claimed);
        self.effects.push_back(Effect::Present { connection: id, project, user, claimed, presence });
        Ok(())
    }
}
