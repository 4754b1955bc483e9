//! What a user wants others to know of it, in a `presence` message.

use bytes::Bytes;
use realtime_core::command::Malformed;
use realtime_core::id::PresenceId;
use realtime_core::presence::{Action, Grant, Presence};
use realtime_core::refusal::{Refusal, RefusalKind};
use serde_json::Value;

use super::permission;

/// The longest status that Appwrite takes in a message, in characters.
const MAX_STATUS: usize = 2_048;
/// The longest status that Appwrite keeps, in characters.
const MAX_KEPT_STATUS: usize = 255;
/// The longest id, in characters (Appwrite `UID`).
const MAX_ID: usize = 36;
/// Appwrite's placeholder for "make one up".
const UNIQUE: &str = "unique()";
/// The longest metadata that Appwrite keeps, in bytes of JSON.
const MAX_METADATA: usize = 65_535;
/// Permissions of one presence (Appwrite `APP_LIMIT_ARRAY_PARAMS_SIZE`).
const MAX_PERMISSIONS: usize = 100;

/// Reads the `data` of the message.
pub(super) fn decode(data: Option<&Value>) -> Result<Presence, Malformed> {
    let field = |name| data.and_then(|data| data.get(name));
    let status = field("status").filter(|value| !value.is_null());
    let status = status.ok_or_else(|| invalid("Payload is not valid. Status is required"))?;
    let status = text("status", status, MAX_STATUS)?;
    let id = match field("presenceId").filter(|value| !value.is_null()) {
        None => None,
        Some(value) => Some(text("presenceId", value, MAX_ID)?).filter(|id| *id != UNIQUE),
    };
    let grants = field("permissions").map(grants).transpose()?;
    let metadata = match field("metadata") {
        None | Some(Value::Null) => Bytes::from_static(b"{}"),
        Some(value) => Bytes::from(value.to_string()),
    };
    if status.chars().count() > MAX_KEPT_STATUS {
        return Err(unfit(format!("Attribute \"status\" has at most {MAX_KEPT_STATUS} characters.")));
    }
    if status.contains('\0') {
        return Err(unfit("Attribute \"status\" has a character that not every database can hold."));
    }
    if metadata.len() > MAX_METADATA {
        return Err(unfit(format!("Attribute \"metadata\" has at most {MAX_METADATA} bytes of JSON.")));
    }
    if id.is_some_and(|id| !is_id(id)) {
        return Err(unfit(
            "A presence's id has 1 to 36 of a-z, A-Z, 0-9, dot, dash and underscore, and begins with a letter or digit.",
        ));
    }
    Ok(Presence { id: id.map(PresenceId::new), status: status.to_owned(), metadata, grants })
}

fn text<'a>(name: &str, value: &'a Value, longest: usize) -> Result<&'a str, Malformed> {
    let text = value.as_str().filter(|text| !text.is_empty() && text.chars().count() <= longest);
    text.ok_or_else(|| {
        invalid(format!(
            "{name}: Value must be a valid string and at least 1 chars and no longer than {longest} chars"
        ))
    })
}

/// Each grant once, `write` spelled out.
fn grants(value: &Value) -> Result<Vec<Grant>, Malformed> {
    let texts =
        value.as_array().and_then(|members| members.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let texts = texts.ok_or_else(|| invalid("permissions: Permissions must be an array of strings."))?;
    if texts.len() > MAX_PERMISSIONS {
        return Err(invalid(format!(
            "permissions: You can only provide up to {MAX_PERMISSIONS} permissions."
        )));
    }
    let mut grants = Vec::new();
    for text in texts {
        let (name, role) =
            permission::parse_permission(text).map_err(|error| invalid(format!("permissions: {error}")))?;
        let actions: &[Action] = match name {
            "read" => &[Action::Read],
            "update" => &[Action::Update],
            "delete" => &[Action::Delete],
            // What is there cannot be created, so that is left out.
            "write" => &[Action::Update, Action::Delete],
            _ => {
                let text = format!(
                    "permissions: A presence cannot grant {name}; use read, update, delete or write."
                );
                return Err(invalid(text));
            }
        };
        for action in actions {
            let grant = Grant { action: *action, role: role.clone() };
            if !grants.contains(&grant) {
                grants.push(grant);
            }
        }
    }
    Ok(grants)
}

fn is_id(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(is_name)
}

fn invalid(text: impl Into<String>) -> Malformed {
    Malformed(Refusal::invalid(text.into()))
}

/// Well-formed, but nothing that could be kept.
fn unfit(text: impl Into<String>) -> Malformed {
    Malformed(Refusal::new(RefusalKind::BadRequest, text.into()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(data: &Value) -> (RefusalKind, String) {
        let Malformed(refusal) = decode(Some(data)).unwrap_err();
        (refusal.kind, refusal.message.into_owned())
    }

    fn granted(permissions: &Value) -> Vec<String> {
        let presence = decode(Some(&json!({"status": "on", "permissions": permissions}))).unwrap();
        let grants = presence.grants.unwrap();
        grants.iter().map(|grant| format!("{} {}", grant.action.as_str(), grant.role)).collect()
    }

    #[test]
    fn a_status_is_all_that_is_needed() {
        let presence = decode(Some(&json!({"status": "on", "presenceId": null, "metadata": null}))).unwrap();
        let expected =
            Presence { id: None, status: "on".to_owned(), metadata: Bytes::from_static(b"{}"), grants: None };
        assert_eq!(presence, expected);
        assert_eq!(decode(Some(&json!({"status": "on", "presenceId": "unique()"}))).unwrap(), expected);
    }

    #[test]
    fn metadata_is_any_json() {
        for metadata in [json!({"page": "/"}), json!([1, "a"]), json!("text"), json!(false)] {
            let presence = decode(Some(&json!({"status": "on", "metadata": metadata}))).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&presence.metadata).unwrap(), metadata);
        }
    }

    #[test]
    fn write_stands_for_update_and_delete_and_no_grant_comes_twice() {
        let permissions = json!([r#"read("any")"#, r#"write("users")"#, r#"delete("users")"#]);
        assert_eq!(granted(&permissions), ["read any", "update users", "delete users"]);
        assert!(granted(&json!([])).is_empty());
    }

    #[test]
    fn what_is_missing_or_malformed_is_told_in_appwrites_words() {
        let required = "Payload is not valid. Status is required".to_owned();
        for data in [json!({}), json!({"status": null}), json!([]), json!("on")] {
            assert_eq!(refused(&data), (RefusalKind::Invalid, required.clone()));
        }
        assert_eq!(decode(None).unwrap_err().0.message, required);
        let list = (RefusalKind::Invalid, "permissions: Permissions must be an array of strings.".to_owned());
        for permissions in [json!(null), json!("any"), json!([1]), json!({})] {
            assert_eq!(refused(&json!({"status": "on", "permissions": permissions})), list);
        }
        for data in [
            json!({"status": ""}),
            json!({"status": 1}),
            json!({"status": "x".repeat(2_049)}),
            json!({"status": "on", "presenceId": ""}),
            json!({"status": "on", "presenceId": "x".repeat(37)}),
            json!({"status": "on", "permissions": ["read(any)"]}),
            json!({"status": "on", "permissions": [r#"create("any")"#]}),
            json!({"status": "on", "permissions": vec![r#"read("any")"#; 101]}),
        ] {
            assert_eq!(refused(&data).0, RefusalKind::Invalid, "{data}");
        }
    }

    #[test]
    fn what_could_not_be_kept_is_refused_as_such() {
        for data in [
            json!({"status": "x".repeat(256)}),
            json!({"status": "a\u{0}b"}),
            json!({"status": "on", "presenceId": "-no"}),
            json!({"status": "on", "presenceId": "a b"}),
            json!({"status": "on", "metadata": "x".repeat(65_534)}),
        ] {
            assert_eq!(refused(&data).0, RefusalKind::BadRequest, "{data}");
        }
        assert!(decode(Some(&json!({"status": "x".repeat(255)}))).is_ok());
    }
}
