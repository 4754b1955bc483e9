//! The twelve channels of Appwrite's first Realtime, each with what its table promised.

use super::*;

fn collection(family: &str, action: &str) -> Given {
    let kind = if family == "tablesdb" { "tables" } else { "collections" };
    given(
        &format!("{family}.D.{kind}.C.{action}"),
        &json!({"$id": "C", "databaseId": "D", "$permissions": [r#"read("users")"#, r#"create("any")"#]}),
    )
    .legacy()
}

fn function(action: &str) -> Given {
    given(&format!("functions.F.{action}"), &json!({"$id": "F"})).readable_by("team:T").legacy()
}

#[test]
fn seed_channel_account_receives_all_events_of_the_users_account() {
    for (name, id) in [
        ("users.U.update.name", "U"),
        ("users.U.create", "U"),
        ("users.U.delete", "U"),
        ("users.U.sessions.S.create", "S"),
        ("users.U.recovery.S.create", "S"),
        ("users.U.verification.S.update", "S"),
    ] {
        let payload = if id == "U" { json!({"$id": id}) } else { json!({"$id": id, "userId": "U"}) };
        let event = given(name, &payload).legacy();
        assert_heard(&event, "account");
        assert_eq!(event.audiences(), ["P: user:U"]);
    }
}

#[test]
fn seed_channel_collections_receives_created_updated_and_deleted_collections() {
    for family in ["databases", "tablesdb", "documentsdb", "vectorsdb"] {
        for action in ["create", "update", "delete"] {
            let event = collection(family, action);
            assert_heard(&event, "collections");
            assert_eq!(event.audiences(), ["P: users"]);
        }
    }
    assert_not_heard(&document("create").legacy(), "collections");
}

#[test]
fn seed_channel_collections_id_receives_that_collection() {
    assert_eq!(collection("databases", "update").channels(), ["collections", "collections.C"]);
    assert_not_heard(&collection("databases", "update"), "collections.OTHER");
    assert_not_heard(&document("update").legacy(), "collections.C");
}

#[test]
fn seed_channel_collections_id_documents_receives_documents_of_that_collection() {
    for action in ["create", "update", "upsert", "delete"] {
        assert_heard(&document(action).legacy(), "collections.C.documents");
        assert_heard(&row(action).legacy(), "collections.C.documents");
    }
    assert_not_heard(&collection("databases", "create"), "collections.C.documents");
}

#[test]
fn seed_channel_documents_receives_any_document() {
    assert_heard(&document("create").legacy(), "documents");
    assert_heard(&row("delete").legacy(), "documents");
}

#[test]
fn seed_channel_documents_id_receives_that_document() {
    assert_heard(&document("update").legacy(), "documents.X");
    assert_not_heard(&document("update").legacy(), "documents.C");
}

#[test]
fn seed_channel_files_receives_any_file() {
    assert_heard(&file("create").legacy(), "files");
}

#[test]
fn seed_channel_files_id_receives_that_file() {
    assert_heard(&file("delete").legacy(), "files.F");
    assert_not_heard(&file("delete").legacy(), "files.B");
}

#[test]
fn seed_channel_functions_receives_any_function_event() {
    for event in [function("create"), function("delete"), execution("create").legacy()] {
        assert_heard(&event, "functions");
    }
    assert_eq!(function("update").audiences(), ["P: team:T"]);
}

#[test]
fn seed_channel_functions_id_receives_that_function() {
    assert_heard(&function("update"), "functions.F");
    assert_heard(&execution("update").legacy(), "functions.F");
    assert_not_heard(&function("update"), "functions.OTHER");
}

#[test]
fn seed_channel_functions_executions_receives_any_execution() {
    assert_heard(&execution("create").legacy(), "functions.executions");
    assert_not_heard(&function("create"), "functions.executions");
}

#[test]
fn seed_channel_functions_executions_id_receives_that_execution() {
    assert_heard(&execution("update").legacy(), "functions.executions.E");
    assert_not_heard(&execution("update").legacy(), "functions.executions.F");
}

#[test]
fn legacy_channels_come_after_todays_and_change_none_of_them() {
    for event in [document("create"), row("update"), file("delete"), execution("update")] {
        let modern = event.channels();
        let legacy = event.clone().legacy().channels();
        assert!(legacy.len() > modern.len());
        assert!(legacy.starts_with(&modern), "{legacy:?}");
        assert_eq!(event.clone().legacy().audiences(), event.audiences());
    }
}

#[test]
fn legacy_channels_add_no_reader_to_a_collection_or_function_without_permissions() {
    assert_eq!(collection("databases", "create").permissions(&[]).silence(), Unpublished::NoReaders);
    assert_eq!(function("create").permissions(&[]).silence(), Unpublished::NoReaders);
}
