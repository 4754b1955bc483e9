//! Who may read a resource, as Appwrite writes it: `read("team:T/owner")`.

use realtime_core::role::Role;

/// The longest id or role name that is taken, in bytes. Appwrite's own ids have at most 36; other backends' may have more.
pub const MAX_ID_BYTES: usize = 255;

/// What Appwrite lets a permission string grant (`write` stands for create, update and delete, and never for read).
const GRANTS: [&str; 6] = ["read", "create", "update", "delete", "write", "execute"];

/// Why a role or a permission string was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// Not one of Appwrite's roles.
    #[error(
        "`{role}` is not a role; write any, guests, users, users/verified, user:ID, user:ID/verified, team:ID, \
         team:ID/ROLE, member:ID or label:NAME"
    )]
    Role {
        /// What was written.
        role: String,
    },
    /// Not of the form `grant("role")`.
    #[error("`{permission}` is not a permission; write it as read(\"ROLE\"), for instance read(\"user:ID\")")]
    Form {
        /// What was written.
        permission: String,
    },
    /// A form that is right with a grant that does not exist.
    #[error(
        "`{permission}` grants nothing known; a permission is one of read, create, update, delete, write, execute"
    )]
    Grant {
        /// What was written.
        permission: String,
    },
    /// An id that could be taken for something else.
    #[error(
        "`{id}` cannot be an id: use 1 to {MAX_ID_BYTES} bytes without spaces, control characters, quotes, `/`, `*`, \
         `[` and `]`"
    )]
    Id {
        /// What was written.
        id: String,
    },
}

/// Reads a role by Appwrite's grammar. Names that no connection could ever hold are refused, since they are mistakes.
pub fn parse_role(text: &str) -> Result<Role, PermissionError> {
    let known = match text.split_once(':') {
        None => matches!(text, "any" | "guests" | "users" | "users/verified" | "users/unverified"),
        Some((kind, rest)) => {
            let (id, dimension) = match rest.split_once('/') {
                Some((id, dimension)) => (id, Some(dimension)),
                None => (rest, None),
            };
            is_id(id)
                && match (kind, dimension) {
                    ("user" | "team" | "member" | "label", None) => true,
                    ("user", Some(dimension)) => matches!(dimension, "verified" | "unverified"),
                    ("team", Some(role)) => is_id(role),
                    _ => false,
                }
        }
    };
    if known { Ok(Role::new(text)) } else { Err(PermissionError::Role { role: shortened(text) }) }
}

/// The roles that may read: what stands inside `read("…")`, in order and without repetition. Every entry must be
/// well-formed, the ones that grant something else too.
pub fn read_roles<S: AsRef<str>>(permissions: &[S]) -> Result<Vec<Role>, PermissionError> {
    let mut roles = Vec::new();
    for permission in permissions {
        let (grant, role) = parse_permission(permission.as_ref())?;
        if grant == "read" && !roles.contains(&role) {
            roles.push(role);
        }
    }
    Ok(roles)
}

/// Whether a text can stand as an id in names, channels and roles without being taken for something else.
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ID_BYTES && text.chars().all(is_id_char)
}

/// Takes a text as an id, or says why not.
pub(super) fn checked_id(text: &str) -> Result<&str, PermissionError> {
    if is_id(text) { Ok(text) } else { Err(PermissionError::Id { id: shortened(text) }) }
}

/// A `/` in a user's or team's id would make `team:T/owner` of the team `T/owner`; a `*` would make a concrete event
/// name a wildcard; brackets mark placeholders.
pub(super) fn is_id_char(c: char) -> bool {
    !c.is_control() && !c.is_whitespace() && !matches!(c, '/' | '*' | '[' | ']' | '"')
}

/// As much of a text as an error message should repeat.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// What a permission string grants, and to whom.
pub(super) fn parse_permission(text: &str) -> Result<(&str, Role), PermissionError> {
    let form = || PermissionError::Form { permission: shortened(text) };
    let (grant, rest) = text.split_once("(\"").ok_or_else(form)?;
    let role = rest.strip_suffix("\")").ok_or_else(form)?;
    if !GRANTS.contains(&grant) {
        return Err(PermissionError::Grant { permission: shortened(text) });
    }
    Ok((grant, parse_role(role)?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn readers(permissions: &[&str]) -> Vec<String> {
        read_roles(permissions).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_role_of_the_grammar_is_read() {
        for role in [
            "any",
            "guests",
            "users",
            "users/verified",
            "users/unverified",
            "user:U",
            "user:john.doe",
            "user:U/verified",
            "user:U/unverified",
            "team:T",
            "team:T/owner",
            "member:M",
            "label:vip",
        ] {
            assert_eq!(parse_role(role).map(|role| role.to_string()), Ok(role.to_owned()));
        }
    }

    #[test]
    fn a_role_that_nobody_can_hold_is_refused() {
        for role in [
            "",
            "user",
            "user:",
            "user:U/owner",
            "users/owner",
            "any:x",
            "team:T/",
            "team:T/a/b",
            "member:M/x",
            "label:",
            "role:U",
            "user: U",
            "user:*",
            " any",
            "Any",
        ] {
            assert_eq!(parse_role(role), Err(PermissionError::Role { role: role.to_owned() }));
        }
    }

    #[test]
    fn only_read_entries_let_read() {
        assert_eq!(
            readers(&[
                r#"read("user:U")"#,
                r#"write("any")"#,
                r#"update("users")"#,
                r#"read("team:T")"#,
                r#"read("user:U")"#
            ]),
            ["user:U", "team:T"]
        );
        assert_eq!(readers(&[r#"write("any")"#]), [""; 0]);
    }

    #[test]
    fn a_permission_out_of_form_is_refused_even_beside_good_ones() {
        for bad in [
            "any",
            "read(any)",
            "read('any')",
            "read(\"any\"",
            "read(\"any\") ",
            "read( \"any\")",
            "read(\"a\"b\")",
            "see(\"any\")",
        ] {
            assert!(read_roles(&[r#"read("any")"#, bad]).is_err(), "{bad}");
        }
    }
}
