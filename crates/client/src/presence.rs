//! What a user lets others know of itself, for as long as it is connected.

use serde_json::{Value, json};

use crate::error::Error;

/// The longest presence, spelled in bytes: servers take messages of 64,000 bytes, framing included.
const MAX_BYTES: usize = 60_000;

/// What a user lets others know of itself. Whoever may read it hears of it on the channel `presences`.
///
/// A user has one, which keeps its first id, whichever device writes it last.
///
/// ```
/// # use realtime_client::Presence;
/// # use serde_json::json;
/// Presence::new("online").metadata(json!({ "page": "/" })).permissions([r#"read("any")"#]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Presence {
    status: String,
    metadata: Option<Value>,
    permissions: Option<Vec<String>>,
    id: Option<String>,
}

impl Presence {
    /// With a status of 1 to 255 characters, such as `online`.
    pub fn new(status: impl Into<String>) -> Self {
        Self { status: status.into(), metadata: None, permissions: None, id: None }
    }

    /// Anything that JSON can say; `{}` if nothing is said.
    pub fn metadata(mut self, metadata: impl Into<Value>) -> Self {
        self.metadata = Some(metadata.into());
        self
    }

    /// Who may do what with it, as in `read("any")`: roles that the user holds, and `any`. The user alone if nothing is said.
    pub fn permissions<P: Into<String>>(mut self, permissions: impl IntoIterator<Item = P>) -> Self {
        self.permissions = Some(permissions.into_iter().map(Into::into).collect());
        self
    }

    /// The id that it is to have; the server draws one if nothing is said.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The message that says it; [`Error::Presence`] if it is too large.
    pub(crate) fn message(&self) -> Result<String, Error> {
        let Self { status, metadata, permissions, id } = self;
        let mut data = json!({ "status": status });
        let optional = [
            ("metadata", metadata.clone()),
            ("permissions", permissions.clone().map(Value::from)),
            ("presenceId", id.clone().map(Value::from)),
        ];
        if let Some(data) = data.as_object_mut() {
            let said = |(name, value): (&str, Option<Value>)| Some((name.to_owned(), value?));
            data.extend(optional.into_iter().filter_map(said));
        }
        let text = json!({ "type": "presence", "data": data }).to_string();
        if text.len() > MAX_BYTES {
            return Err(Error::Presence(format!("it may have {MAX_BYTES} bytes; this has {}", text.len())));
        }
        Ok(text)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_not_in_the_message() {
        let message =
            |presence: Presence| serde_json::from_str::<Value>(&presence.message().unwrap()).unwrap();
        let alone = json!({ "type": "presence", "data": { "status": "online" } });
        assert_eq!(message(Presence::new("online")), alone);
        let whole = Presence::new("away").metadata(Value::Null).permissions(["read(\"any\")"]).id("p");
        let data = json!({ "status": "away", "metadata": null, "permissions": ["read(\"any\")"], "presenceId": "p" });
        assert_eq!(message(whole), json!({ "type": "presence", "data": data }));
    }

    #[test]
    fn a_presence_that_no_server_would_take_is_refused() {
        let presence = Presence::new("online").metadata("x".repeat(MAX_BYTES));
        assert!(matches!(presence.message(), Err(Error::Presence(_))));
    }
}
