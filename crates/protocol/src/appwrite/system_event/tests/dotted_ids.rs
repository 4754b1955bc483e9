//! Ids with dots, which must never be taken for other ids, and names that are no names.

use proptest::prelude::*;

use super::*;

#[test]
fn a_dotted_user_hears_of_himself_and_nobody_else_does() {
    for event in [
        given("users.john.doe.update", &json!({"$id": "john.doe"})),
        given("users.john.doe.update.name", &json!({"$id": "john.doe"})),
        given("users.john.doe.update", &json!({})).user("john.doe"),
        given("users.john.doe.update", &json!({})).param("userId", "john.doe"),
        given("users.[userId].update.name", &json!({"$id": "x"})).param("userId", "john.doe"),
        given("users.john.doe.sessions.s.1.create", &json!({"$id": "s.1", "userId": "john.doe"})),
    ] {
        assert_eq!(event.audiences(), ["P: user:john.doe"], "{}", event.name);
        assert_heard(&event, "account.john.doe");
        assert_eq!(event.published().user, Some(UserId::from("john.doe")));
    }
}

#[test]
fn a_dotted_id_that_nothing_confirms_is_refused_with_the_pattern_as_the_way_out() {
    let result = given("users.john.doe.update", &json!({})).derive();
    assert!(is_ambiguous(&result));
    assert!(result.unwrap_err().to_string().contains("users.[userId].update"));
    assert!(is_ambiguous(&given("users.a.sessions.b.create", &json!({})).derive()));
    let two_splits = given(
        "databases.a.collections.b.collections.c.documents.x.create",
        &json!({"$id": "x", "$permissions": [r#"read("any")"#]}),
    );
    assert!(is_ambiguous(&two_splits.derive()));
}

#[test]
fn a_name_that_contradicts_the_payload_is_refused() {
    for event in [
        given("users.john.update", &json!({"$id": "john.doe"})),
        given("users.john.doe.update", &json!({"$id": "john"})),
        given("databases.D.collections.C.documents.X.create", &json!({"$id": "X", "$collectionId": "other"})),
        given("buckets.B.files.F.create", &json!({"$id": "F", "bucketId": "other"})),
        given("teams.T.memberships.M.create", &json!({"$id": "M", "teamId": "other"})),
        given("functions.F.executions.E.create", &json!({"$id": "E", "functionId": "other"})),
    ] {
        assert!(is_contradicted(&event.derive()), "{} {:?}", event.name, event.derive());
    }
}

#[test]
fn a_documents_own_fields_say_nothing_of_its_ids() {
    let event = given(
        "databases.D.collections.C.documents.X.create",
        &json!({"$id": "X", "databaseId": "mine", "collectionId": "mine", "userId": "mine"}),
    );
    assert_eq!(event.readable_by("any").channels(), with_twins(&DOCUMENT_BASE, "create"));
}

#[test]
fn a_payload_that_names_its_id_twice_is_refused() {
    let mut event = document("create");
    event.payload = r#"{"$id":"X","$id":"Y"}"#.to_owned();
    assert!(matches!(event.derive(), Err(DeriveError::Payload { .. })));
}

#[test]
fn an_id_that_would_make_another_role_is_refused() {
    for id in ["T/owner", "", "*", "a b", "a\"b", "[x]"] {
        let event = given("teams.[teamId].update", &json!({})).param("teamId", id);
        assert!(event.derive().is_err(), "{id}");
    }
    assert!(given("teams.T/owner.update", &json!({"$id": "T/owner"})).derive().is_err());
    assert!(given("users.*.update", &json!({"$id": "*"})).derive().is_err());
}

#[test]
fn names_out_of_form_are_refused() {
    let dotted = format!("users{}.update", ".a".repeat(name::MAX_DOTS));
    let long = format!("users.{}.update", "x".repeat(name::MAX_NAME_BYTES));
    for name in [
        "",
        ".",
        "users",
        "users.U",
        "users..update",
        "users.U.frobnicate",
        "cats.C.create",
        "users.[userId]",
        "users.[userId.update",
        "users.[userId].update.name.more",
        "users.U.sessions.[sessionId].create",
        "[users].U.create",
        "users.[missing].create",
        "cats.[userId].create",
        "users.[userId].a.[userId].b.[userId].c.[userId].create",
        &dotted,
        &long,
    ] {
        let result = given(name, &json!({})).param("userId", "U").derive();
        assert!(matches!(result, Err(DeriveError::Name(_))), "{name} {result:?}");
    }
}

#[test]
fn a_name_with_thousands_of_readings_is_refused_all_the_same() {
    let name = format!("databases.a{}.update", ".tables.rows".repeat(31));
    assert!(is_contradicted(&given(&name, &json!({"$id": "x", "$databaseId": "nowhere"})).derive()));
    assert!(is_ambiguous(&given(&name, &json!({})).derive()));
}

/// Kinds from the root down, each with the param that names its id.
type Kinds = &'static [(&'static str, &'static str)];

/// The families whose ids are cross-checked: kinds with the params that name them, and the key under which a payload
/// names each.
const FAMILIES: [(Kinds, &[&str]); 9] = [
    (&[("users", "userId")], &["$id"]),
    (&[("users", "userId"), ("sessions", "sessionId")], &["userId", "$id"]),
    (&[("teams", "teamId")], &["$id"]),
    (&[("teams", "teamId"), ("memberships", "membershipId")], &["teamId", "$id"]),
    (
        &[("databases", "databaseId"), ("collections", "collectionId"), ("documents", "documentId")],
        &["$databaseId", "$collectionId", "$id"],
    ),
    (
        &[("tablesdb", "databaseId"), ("tables", "tableId"), ("rows", "rowId")],
        &["$databaseId", "$tableId", "$id"],
    ),
    (&[("buckets", "bucketId"), ("files", "fileId")], &["bucketId", "$id"]),
    (&[("functions", "functionId"), ("executions", "executionId")], &["functionId", "$id"]),
    (&[("presences", "presenceId")], &["$id"]),
];

fn dotted_id() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "a",
        "b",
        "john",
        "create",
        "update",
        "sessions",
        "memberships",
        "collections",
        "documents",
        "tables",
        "rows",
        "files",
        "executions",
        "users",
        "name",
        "",
    ]);
    prop::collection::vec(word, 1..6)
        .prop_map(|words| words.join("."))
        .prop_filter("not empty", |id| !id.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_name_written_out_is_refused_or_addresses_exactly_what_its_pattern_does(
        family in prop::sample::select(FAMILIES.to_vec()),
        ids in prop::collection::vec(dotted_id(), 3),
        told in prop::collection::vec(any::<bool>(), 3),
        tail in prop::sample::select(vec!["create", "update", "delete", "update.name"]),
    ) {
        let (kinds, keys) = family;
        let (mut pattern, mut written) = (String::new(), String::new());
        let mut payload = serde_json::Map::new();
        let mut event = given("", &json!({})).readable_by("any");
        for ((((kind, param), key), id), told) in kinds.iter().zip(keys).zip(&ids).zip(&told) {
            pattern.push_str(&format!("{kind}.[{param}]."));
            written.push_str(&format!("{kind}.{id}."));
            event = event.param(param, id);
            if *told {
                payload.insert((*key).to_owned(), json!(id));
            }
        }
        event.payload = Value::Object(payload).to_string();
        let with_pattern = Given { name: pattern + tail, ..event.clone() };
        let written_out = Given { name: written + tail, params: BTreeMap::new(), ..event };

        let truth = with_pattern.derive();
        prop_assert!(truth.is_ok());
        let read = written_out.derive();
        prop_assert!(read == truth || is_ambiguous(&read), "{} read as {read:?}, not {truth:?}", written_out.name);
        // All sessions of `a` deleted, or the user `a.sessions`: the payload of the former may be anything.
        let deleted_sessions = written_out.name.ends_with(".sessions.delete");
        if told.iter().take(kinds.len()).all(|told| *told) && !deleted_sessions {
            prop_assert_eq!(&read, &truth, "the payload tells every id of {}", written_out.name);
        }
    }

    #[test]
    fn no_name_and_no_payload_panics(name in "[a-z.*\\[\\]/é]{0,40}|(users|\\.|databases|collections|documents|update|\\[userId\\]){0,9}", payload in ".{0,60}") {
        let mut event = given(&name, &json!({})).param("userId", "U");
        let _: Result<_, _> = event.derive();
        event.payload = payload;
        let _: Result<_, _> = event.derive();
    }
}
