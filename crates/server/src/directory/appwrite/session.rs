//! Whether a session token proves a user.

use jiff::Timestamp;
use realtime_core::id::SessionId;
use realtime_core::secret::Secret;
use realtime_protocol::appwrite::session_token::SessionToken;
use sha2::{Digest, Sha256};

use super::rows::{Row, Space};
use super::{Appwrite, Proof, User, Who};
use crate::directory::DirectoryError;
use crate::directory::cipher::hex_of;

const COLUMNS: &[&str] = &["_uid", "provider", "secret", "expire"];

impl Appwrite {
    /// The user of the first token that can be read; if that proves nothing, the others are not tried.
    pub(super) async fn by_sessions(
        &self,
        space: &Space,
        tokens: &[Secret],
    ) -> Result<Option<Proof>, DirectoryError> {
        let Some(token) = tokens.iter().find_map(SessionToken::decode) else { return Ok(None) };
        let Some(user) = self.find_user(space, "_uid", token.user.as_str()).await? else { return Ok(None) };
        let hash = hash_of(&token.secret);
        let mut proof = None;
        for row in self.rows_of(&user, "sessions", COLUMNS).await? {
            let ends = self.lives_until(&row);
            // Every session is compared, so that time tells nothing.
            if self.opens_to(&row, &hash) && proof.is_none() {
                proof = ends.map(|ends| (row.text("_uid").map(SessionId::new), ends));
            }
        }
        Ok(proof.map(|(session, until)| Proof { who: Who::Stored(user), session, until: Some(until) }))
    }

    /// Until when a user's session with this id lives; `None` if it does not.
    pub(super) async fn find_session(
        &self,
        user: &User,
        id: &str,
    ) -> Result<Option<Timestamp>, DirectoryError> {
        let sessions = self.rows_of(user, "sessions", COLUMNS).await?;
        let session = sessions.iter().find(|row| row.text("_uid") == Some(id));
        Ok(session.and_then(|row| self.lives_until(row)))
    }

    /// A user's sessions that are good.
    pub(super) async fn sessions_of(&self, user: &User) -> Result<Vec<SessionId>, DirectoryError> {
        let rows = self.rows_of(user, "sessions", COLUMNS).await?;
        let good = rows.iter().filter(|row| self.lives_until(row).is_some());
        Ok(good.filter_map(|row| row.text("_uid").map(SessionId::new)).collect())
    }

    fn lives_until(&self, session: &Row) -> Option<Timestamp> {
        session.text("provider")?;
        session.time("expire").filter(|ends| *ends >= self.clock.now())
    }
}

/// A session's secret as it is stored, before it is sealed.
pub(in crate::directory) fn hash_of(secret: &Secret) -> String {
    hex_of(&Sha256::digest(secret.expose().as_bytes()))
}
