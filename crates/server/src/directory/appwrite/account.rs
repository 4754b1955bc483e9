//! From a user's rows to its account.

use realtime_core::id::{MembershipId, TeamId};
use realtime_core::identity::{Account, Impersonate, Membership};
use tracing::warn;

use super::Appwrite;
use super::rows::{Row, Select, Space};
use crate::directory::DirectoryError;
use crate::directory::profile::{Active, Prefs, Profile, Target};

/// A user's row, and whose user it is.
#[derive(Debug, Clone)]
pub(super) struct User {
    space: Space,
    sequence: String,
    row: Row,
}

impl User {
    /// The tables that the user is in.
    pub(super) fn space(&self) -> &Space {
        &self.space
    }

    /// Appwrite's `$sequence`, by which other rows refer to the user.
    pub(super) fn sequence(&self) -> &str {
        &self.sequence
    }

    /// Whether the user may not sign in. Appwrite takes an unknown status for active.
    pub(super) fn is_blocked(&self) -> bool {
        self.row.flag("status") == Some(false)
    }

    /// Whether the user may act as others.
    pub(super) fn is_impersonator(&self) -> bool {
        self.row.flag("impersonator") == Some(true)
    }
}

impl Appwrite {
    /// The user whose column is this; the first, if there are several.
    pub(super) async fn find_user(
        &self,
        space: &Space,
        column: &'static str,
        value: &str,
    ) -> Result<Option<User>, DirectoryError> {
        if value.is_empty() {
            return Ok(None);
        }
        let columns = &[
            "_id",
            "_uid",
            "_createdAt",
            "_updatedAt",
            "name",
            "email",
            "phone",
            "status",
            "labels",
            "passwordUpdate",
            "prefs",
            "registration",
            "emailVerification",
            "phoneVerification",
            "mfa",
            "accessedAt",
            "emailCanonical",
            "emailIsFree",
            "emailIsDisposable",
            "emailIsCorporate",
            "emailIsCanonical",
            "impersonator",
        ];
        let filters = &[(column, value)];
        let users =
            self.rows.select(Select { space, collection: "users", columns, filters, before: None }).await?;
        // A database may take `ANN` for `ann`. An id is meant exactly: a backend may have users of both names.
        let is_meant = |row: &Row| column != "_uid" || row.text("_uid") == Some(value);
        Ok(users.into_iter().find(is_meant).and_then(|row| {
            let sequence = row.text("_id")?.to_owned();
            Some(User { space: space.clone(), sequence, row })
        }))
    }

    /// Whom somebody wants to act as.
    pub(super) async fn find_impersonated(
        &self,
        space: &Space,
        whom: &Impersonate,
    ) -> Result<Option<User>, DirectoryError> {
        match whom {
            Impersonate::Id(id) => self.find_user(space, "_uid", id.as_str()).await,
            Impersonate::Email(email) => self.find_user(space, "email", &email.to_lowercase()).await,
            Impersonate::Phone(phone) => self.find_user(space, "phone", phone).await,
        }
    }

    /// All that the directory knows of a user.
    pub(super) async fn account_of(&self, user: &User) -> Result<Account, DirectoryError> {
        let memberships = self.memberships_of(user).await?;
        let targets = self.targets_of(user).await?;
        let row = &user.row;
        let labels = row.list("labels").unwrap_or_else(|| {
            self.warn_of(row, "labels");
            Vec::new()
        });
        let email_verified = row.flag("emailVerification").unwrap_or(false);
        let phone_verified = row.flag("phoneVerification").unwrap_or(false);
        let profile = Profile {
            id: row.text_or_empty("_uid"),
            created_at: row.shown_time("_createdAt"),
            updated_at: row.shown_time("_updatedAt"),
            name: row.text_or_empty("name"),
            registration: row.shown_time("registration"),
            active: Active(row.flag("status").unwrap_or(true)),
            labels: &labels,
            password_update: row.shown_time("passwordUpdate"),
            email: row.text_or_empty("email"),
            phone: row.text_or_empty("phone"),
            email_verification: email_verified,
            email_canonical: row.text("emailCanonical"),
            email_is_free: row.flag("emailIsFree"),
            email_is_disposable: row.flag("emailIsDisposable"),
            email_is_corporate: row.flag("emailIsCorporate"),
            email_is_canonical: row.flag("emailIsCanonical"),
            phone_verification: phone_verified,
            mfa: row.flag("mfa").unwrap_or(false),
            prefs: Prefs::stored(row.text_or_empty("prefs")),
            targets: targets.iter().map(target).collect(),
            accessed_at: row.shown_time("accessedAt"),
            impersonator: row.flag("impersonator"),
            impersonator_user_id: None,
        };
        let profile = profile.to_json();
        let id = row.text_or_empty("_uid").into();
        Ok(Account { id, email_verified, phone_verified, memberships, labels, profile })
    }

    async fn memberships_of(&self, user: &User) -> Result<Vec<Membership>, DirectoryError> {
        let columns = &["_uid", "teamId", "roles", "confirm"];
        let rows = self.rows_of(user, "memberships", columns).await?;
        Ok(rows.iter().filter_map(|row| self.membership(row)).collect())
    }

    fn membership(&self, row: &Row) -> Option<Membership> {
        let id = MembershipId::new(row.text("_uid")?);
        let team = TeamId::new(row.text("teamId")?);
        let Some(roles) = row.list("roles") else {
            self.warn_of(row, "roles");
            return None;
        };
        Some(Membership { id, team, roles, confirmed: row.flag("confirm").unwrap_or(false) })
    }

    async fn targets_of(&self, user: &User) -> Result<Vec<Row>, DirectoryError> {
        let columns = &[
            "_uid",
            "_createdAt",
            "_updatedAt",
            "name",
            "userId",
            "providerId",
            "providerType",
            "identifier",
            "expired",
        ];
        self.rows_of(user, "targets", columns).await
    }

    /// What belongs to a user.
    pub(super) async fn rows_of(
        &self,
        user: &User,
        collection: &'static str,
        columns: &'static [&'static str],
    ) -> Result<Vec<Row>, DirectoryError> {
        let filters = &[("userInternalId", user.sequence())];
        self.rows.select(Select { space: user.space(), collection, columns, filters, before: None }).await
    }

    fn warn_of(&self, row: &Row, column: &'static str) {
        let id = row.text_or_empty("_uid");
        warn!(database = self.rows.name(), id, column, "a row is left out, since a column cannot be read");
    }
}

fn target(row: &Row) -> Target<'_> {
    Target {
        id: row.text_or_empty("_uid"),
        created_at: row.shown_time("_createdAt"),
        updated_at: row.shown_time("_updatedAt"),
        name: row.text_or_empty("name"),
        user_id: row.text_or_empty("userId"),
        provider_id: row.text("providerId"),
        provider_type: row.text_or_empty("providerType"),
        identifier: row.text_or_empty("identifier"),
        expired: row.flag("expired").unwrap_or(false),
    }
}
