//! What users let others know of themselves, in Appwrite's `presenceLogs`.

use jiff::{SignedDuration, Timestamp};
use md5::{Digest as _, Md5};
use realtime_core::id::{PresenceId, UserId};
use realtime_core::presence::Grant;
use realtime_core::project::Project;
use realtime_core::refusal::RefusalKind;
use realtime_core::role::Role;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::copies::CopyKey;
use super::rows::{Row, Select, Space, Write, Written, stored_time};
use super::{Appwrite, refused};
use crate::directory::cipher::hex_of;
use crate::directory::{DirectoryError, Keep, KeptPresence};

/// The collection.
const PRESENCES: &str = "presenceLogs";
/// Its permissions, repeated for Appwrite to search by.
const PERMISSIONS: &str = "presenceLogs_perms";
/// What of a presence is read.
const COLUMNS: &[&str] = &[
    "_id",
    "_uid",
    "_createdAt",
    "_updatedAt",
    "_permissions",
    "userId",
    "expiresAt",
    "status",
    "source",
    "hostname",
    "metadata",
];
/// How long a presence that nobody removes is kept (Appwrite's realtime: 30 days).
const KEEPS: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Who writes presences of connections, in the column `source`.
const SOURCE: &str = "realtime";
/// How often writing is begun again when somebody else wrote at the same time.
const ATTEMPTS: usize = 3;

impl Appwrite {
    pub(super) async fn write_presence(&self, keep: Keep<'_>) -> Result<KeptPresence, DirectoryError> {
        let space = self.space_of(keep.project);
        if !self.rows.has(&space, PRESENCES, "userId").await? {
            // What Appwrite said before it knew of presences.
            return Err(refused(RefusalKind::Invalid, "Message type is not valid."));
        }
        let user = self.find_user(&space, "_uid", keep.user.as_str()).await?;
        if user.is_none() && !keep.claimed {
            return Err(refused(RefusalKind::NotFound, "User with the requested ID could not be found."));
        }
        let sequence = user.as_ref().map(|user| user.sequence().to_owned());
        for _ in 0..ATTEMPTS {
            let before = self.presence_of(&space, keep.user).await?;
            if !self.try_to_write(&space, &keep, sequence.as_deref(), before.as_ref()).await? {
                self.check_id_is_free(&space, &keep).await?;
                continue;
            }
            let Some(row) = self.presence_of(&space, keep.user).await? else { continue };
            let mut kept = kept(&row);
            kept.is_new = before.is_none();
            self.forget_copies(&space, &kept.id).await;
            return Ok(kept);
        }
        let text = "The presence was changed at the same time by somebody else. Try again.";
        Err(refused(RefusalKind::Conflict, text))
    }

    pub(super) async fn take_presence(
        &self,
        project: &Project,
        user: &UserId,
        sequence: &str,
    ) -> Result<Option<KeptPresence>, DirectoryError> {
        let space = self.space_of(project);
        let found = self.presence_of(&space, user).await?;
        match found.filter(|row| row.text("_id") == Some(sequence)) {
            Some(row) => self.delete_presence(&space, &row).await,
            None => Ok(None),
        }
    }

    pub(super) async fn take_stale_presences(
        &self,
        project: &Project,
        left_by: Option<(&str, Timestamp)>,
    ) -> Result<Vec<KeptPresence>, DirectoryError> {
        let space = self.space_of(project);
        let mut stale = self.presences(&space, &[], ("expiresAt", self.clock.now())).await?;
        if let Some((server, before)) = left_by {
            let filters = &[("source", SOURCE), ("hostname", server)];
            stale.extend(self.presences(&space, filters, ("_updatedAt", before)).await?);
        }
        let mut removed = Vec::new();
        for row in stale {
            removed.extend(self.delete_presence(&space, &row).await?);
        }
        Ok(removed)
    }

    async fn presences(
        &self,
        space: &Space,
        filters: &[(&'static str, &str)],
        (column, bound): (&'static str, Timestamp),
    ) -> Result<Vec<Row>, DirectoryError> {
        let before = Some((column, &*stored_time(bound)));
        self.rows.select(Select { space, collection: PRESENCES, columns: COLUMNS, filters, before }).await
    }

    async fn presence_of(&self, space: &Space, user: &UserId) -> Result<Option<Row>, DirectoryError> {
        let filters = &[("userId", user.as_str())];
        let select = Select { space, collection: PRESENCES, columns: COLUMNS, filters, before: None };
        // A database may take `ANN` for `ann`.
        let is_meant = |row: &Row| row.text("userId") == Some(user.as_str());
        Ok(self.rows.select(select).await?.into_iter().find(is_meant))
    }

    /// Writes it in place of what was there before; `false` if somebody else was faster.
    async fn try_to_write(
        &self,
        space: &Space,
        keep: &Keep<'_>,
        user_sequence: Option<&str>,
        before: Option<&Row>,
    ) -> Result<bool, DirectoryError> {
        let drawn = drawn_id(self.clock.now());
        let wanted = keep.presence.id.as_ref().map_or(drawn.as_str(), PresenceId::as_str);
        let id = before.and_then(|row| row.text("_uid")).unwrap_or(wanted);
        let grants = keep.presence.grants_or_all_to(&Role::user(keep.user));
        let texts: Vec<String> = grants.iter().map(permission).collect();
        let (permissions, hash) = (json!(texts).to_string(), hash_of(&texts));
        let now = stored_time(self.clock.now());
        let until = stored_time(self.clock.now().saturating_add(KEEPS).unwrap_or(Timestamp::MAX));
        let metadata = String::from_utf8_lossy(&keep.presence.metadata);
        let mut cells = vec![
            ("_permissions", Some(permissions.as_str())),
            ("_updatedAt", Some(now.as_str())),
            ("expiresAt", Some(until.as_str())),
            ("hostname", Some(keep.server)),
            ("metadata", Some(&*metadata)),
            ("permissionsHash", Some(hash.as_str())),
            ("source", Some(SOURCE)),
            ("status", Some(keep.presence.status.as_str())),
            ("userId", Some(keep.user.as_str())),
            ("userInternalId", user_sequence),
        ];
        let of_document = [("_document", id)];
        let row = [("_id", before.and_then(|row| row.text("_id")).unwrap_or_default())];
        let mut writes = Vec::new();
        if before.is_some() {
            writes.push(Write::Update { collection: PRESENCES, cells: &cells, filters: &row });
        } else {
            cells.extend([("_createdAt", Some(now.as_str())), ("_uid", Some(id))]);
            writes.push(Write::Insert { collection: PRESENCES, cells: &cells });
        }
        let granted: Vec<[(&str, Option<&str>); 3]> = grants
            .iter()
            .map(|grant| {
                let (action, role) = (grant.action.as_str(), grant.role.as_str());
                [("_document", Some(id)), ("_type", Some(action)), ("_permission", Some(role))]
            })
            .collect();
        if self.rows.has(space, PERMISSIONS, "_document").await? {
            writes.push(Write::Delete { collection: PERMISSIONS, filters: &of_document });
            let inserts = granted.iter().map(|cells| Write::Insert { collection: PERMISSIONS, cells });
            writes.extend(inserts);
        }
        match self.rows.write(space, &writes).await? {
            Written::Rows(found) => Ok(found.first().is_some_and(|found| *found > 0)),
            Written::Taken => Ok(false),
        }
    }

    /// Whether the id that was asked for is nobody else's.
    async fn check_id_is_free(&self, space: &Space, keep: &Keep<'_>) -> Result<(), DirectoryError> {
        let Some(id) = &keep.presence.id else { return Ok(()) };
        let filters = &[("_uid", id.as_str())];
        let select = Select { space, collection: PRESENCES, columns: COLUMNS, filters, before: None };
        let others = self.rows.select(select).await?;
        if others.iter().all(|row| row.text("userId") == Some(keep.user.as_str())) {
            return Ok(());
        }
        let text = format!(
            "Presence with the requested ID '{id}' already exists. Try again with a different ID or use ID.unique() to \
             generate a unique ID."
        );
        Err(refused(RefusalKind::Conflict, text))
    }

    /// Removes it, unless somebody else did: then it is not for us to tell of it.
    async fn delete_presence(
        &self,
        space: &Space,
        row: &Row,
    ) -> Result<Option<KeptPresence>, DirectoryError> {
        let kept = kept(row);
        let by_sequence = [("_id", kept.sequence.as_str())];
        let of_document = [("_document", kept.id.as_str())];
        let mut writes = vec![Write::Delete { collection: PRESENCES, filters: &by_sequence }];
        if self.rows.has(space, PERMISSIONS, "_document").await? {
            writes.push(Write::Delete { collection: PERMISSIONS, filters: &of_document });
        }
        let removed = match self.rows.write(space, &writes).await? {
            Written::Rows(found) => found.first().is_some_and(|found| *found > 0),
            Written::Taken => false,
        };
        self.forget_copies(space, &kept.id).await;
        Ok(removed.then_some(kept))
    }

    async fn forget_copies(&self, space: &Space, id: &PresenceId) {
        if let Some((copies, host)) = &self.copies {
            copies.forget(&CopyKey::of(host, space, PRESENCES, id.as_str())).await;
        }
    }
}

fn kept(row: &Row) -> KeptPresence {
    let text = |column| row.text_or_empty(column);
    let permissions = row.list("_permissions").unwrap_or_default();
    let metadata: Option<Box<RawValue>> = serde_json::from_str(text("metadata")).ok();
    let mut document = json!({
        "$id": text("_uid"),
        "$sequence": text("_id"),
        "$createdAt": row.shown_time("_createdAt"),
        "$updatedAt": row.shown_time("_updatedAt"),
        "$permissions": permissions,
        "userId": text("userId"),
        "expiresAt": row.shown_time("expiresAt"),
        "status": text("status"),
        "source": text("source"),
    });
    let metadata = metadata.and_then(|metadata| serde_json::to_value(metadata).ok());
    if let Value::Object(members) = &mut document {
        members.insert("metadata".to_owned(), metadata.unwrap_or_else(|| json!({})));
    }
    KeptPresence {
        id: PresenceId::new(text("_uid")),
        user: UserId::new(text("userId")),
        sequence: text("_id").to_owned(),
        document: document.to_string(),
        is_new: false,
    }
}

fn permission(grant: &Grant) -> String {
    format!("{}(\"{}\")", grant.action.as_str(), grant.role)
}

/// Appwrite's `permissionsHash`: MD5 of the sorted list in PHP's JSON, which writes `/` as `\/`.
fn hash_of(permissions: &[String]) -> String {
    let mut sorted = permissions.to_vec();
    sorted.sort();
    hex_of(&Md5::digest(json!(sorted).to_string().replace('/', "\\/")))
}

/// An id as Appwrite's `ID.unique()` draws it: the time in hexadecimal microseconds, and 7 random digits.
fn drawn_id(now: Timestamp) -> String {
    format!("{:013x}{:07x}", now.as_microsecond(), rand::random::<u32>() >> 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_sorted_permissions_in_phps_spelling() {
        let permissions = ["update(\"team:T/owner\")".to_owned(), "read(\"any\")".to_owned()];
        // md5('["read(\"any\")","update(\"team:T\/owner\")"]')
        let text = r#"["read(\"any\")","update(\"team:T\/owner\")"]"#;
        assert_eq!(hash_of(&permissions), hex_of(&Md5::digest(text)));
    }

    #[test]
    fn a_drawn_id_is_one_of_appwrites() {
        let id = drawn_id(Timestamp::now());
        assert_eq!(id.len(), 20, "{id}");
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
}
