//! How a user is presented to itself: Appwrite's account model.

use bytes::Bytes;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The members of Appwrite's account model (1.9), in its order.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profile<'a> {
    #[serde(rename = "$id")]
    pub(crate) id: &'a str,
    #[serde(rename = "$createdAt")]
    pub(crate) created_at: String,
    #[serde(rename = "$updatedAt")]
    pub(crate) updated_at: String,
    pub(crate) name: &'a str,
    pub(crate) registration: String,
    #[serde(rename = "status")]
    pub(crate) active: Active,
    pub(crate) labels: &'a [String],
    pub(crate) password_update: String,
    pub(crate) email: &'a str,
    pub(crate) phone: &'a str,
    pub(crate) email_verification: bool,
    pub(crate) email_canonical: Option<&'a str>,
    pub(crate) email_is_free: Option<bool>,
    pub(crate) email_is_disposable: Option<bool>,
    pub(crate) email_is_corporate: Option<bool>,
    pub(crate) email_is_canonical: Option<bool>,
    pub(crate) phone_verification: bool,
    pub(crate) mfa: bool,
    pub(crate) prefs: Prefs<'a>,
    pub(crate) targets: Vec<Target<'a>>,
    pub(crate) accessed_at: String,
    pub(crate) impersonator: Option<bool>,
    /// Appwrite fills this in only where it replaces the user by the target, which it no longer does.
    pub(crate) impersonator_user_id: Option<&'a str>,
}

/// Whether a user may sign in; Appwrite takes an unknown status for yes.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
pub(crate) struct Active(pub(crate) bool);

impl Default for Active {
    fn default() -> Self {
        Self(true)
    }
}

/// A user's preferences: JSON that is passed on as it is stored.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Prefs<'a>(Option<&'a RawValue>);

impl<'a> Prefs<'a> {
    /// Preferences as stored; what is no JSON counts as none. PHP writes an empty object as `[]`.
    pub(crate) fn stored(text: &'a str) -> Self {
        let raw: Option<&RawValue> = serde_json::from_str(text).ok();
        Self(raw.filter(|raw| !matches!(raw.get(), "[]" | "null")))
    }
}

impl Serialize for Prefs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(stored) => stored.serialize(serializer),
            None => serializer.serialize_map(Some(0))?.end(),
        }
    }
}

/// A way to reach a user with a message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Target<'a> {
    #[serde(rename = "$id")]
    pub(crate) id: &'a str,
    #[serde(rename = "$createdAt")]
    pub(crate) created_at: String,
    #[serde(rename = "$updatedAt")]
    pub(crate) updated_at: String,
    pub(crate) name: &'a str,
    pub(crate) user_id: &'a str,
    pub(crate) provider_id: Option<&'a str>,
    pub(crate) provider_type: &'a str,
    pub(crate) identifier: &'a str,
    pub(crate) expired: bool,
}

impl Profile<'_> {
    /// The profile as JSON.
    pub(crate) fn to_json(&self) -> Bytes {
        // Nothing in it can fail to be written: no maps, no foreign implementations.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}
