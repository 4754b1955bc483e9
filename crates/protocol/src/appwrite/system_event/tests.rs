//! Every event family against the channels, roles, names and counts that Appwrite gives it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// An event and where it happens; legacy channels are off, the project is `P` of team `TEAM`.
#[derive(Clone)]
struct Given {
    name: String,
    params: BTreeMap<String, String>,
    payload: String,
    permissions: Option<Vec<String>>,
    resource_permissions: Option<Vec<String>>,
    own_security: Option<bool>,
    user: Option<UserId>,
    project: ProjectId,
    team: Option<TeamId>,
    legacy_channels: bool,
}

fn given(name: &str, payload: &Value) -> Given {
    Given {
        name: name.to_owned(),
        params: BTreeMap::new(),
        payload: payload.to_string(),
        permissions: None,
        resource_permissions: None,
        own_security: None,
        user: None,
        project: ProjectId::from("P"),
        team: Some(TeamId::from("TEAM")),
        legacy_channels: false,
    }
}

fn document(action: &str) -> Given {
    given(
        &format!("databases.D.collections.C.documents.X.{action}"),
        &json!({"$id": "X", "$databaseId": "D", "$collectionId": "C"}),
    )
    .readable_by("user:U")
}

fn row(action: &str) -> Given {
    given(
        &format!("tablesdb.D.tables.C.rows.X.{action}"),
        &json!({"$id": "X", "$databaseId": "D", "$tableId": "C"}),
    )
    .readable_by("any")
}

fn file(action: &str) -> Given {
    given(&format!("buckets.B.files.F.{action}"), &json!({"$id": "F", "bucketId": "B"})).readable_by("users")
}

fn execution(action: &str) -> Given {
    given(
        &format!("functions.F.executions.E.{action}"),
        &json!({"$id": "E", "resourceId": "F", "$permissions": [r#"read("user:U")"#]}),
    )
}

impl Given {
    fn param(mut self, key: &str, id: &str) -> Self {
        self.params.insert(key.to_owned(), id.to_owned());
        self
    }

    fn permissions(mut self, permissions: &[&str]) -> Self {
        self.permissions = Some(permissions.iter().map(ToString::to_string).collect());
        self
    }

    fn container(mut self, permissions: &[&str]) -> Self {
        self.resource_permissions = Some(permissions.iter().map(ToString::to_string).collect());
        self
    }

    fn own_security(mut self, counts: bool) -> Self {
        self.own_security = Some(counts);
        self
    }

    fn readable_by(self, role: &str) -> Self {
        self.permissions(&[&format!("read(\"{role}\")")])
    }

    fn legacy(mut self) -> Self {
        self.legacy_channels = true;
        self
    }

    fn user(mut self, user: &str) -> Self {
        self.user = Some(UserId::from(user));
        self
    }

    fn project(mut self, project: &str) -> Self {
        self.project = ProjectId::from(project);
        self
    }

    fn derive(&self) -> Result<Outcome<Derivation>, DeriveError> {
        derive(
            &SystemEvent {
                name: &self.name,
                params: &self.params,
                payload: &self.payload,
                permissions: self.permissions.as_deref(),
                resource_permissions: self.resource_permissions.as_deref(),
                own_security: self.own_security,
                user: self.user.as_ref(),
            },
            &Context {
                project: &self.project,
                team: self.team.as_ref(),
                legacy_channels: self.legacy_channels,
            },
        )
    }

    fn published(&self) -> Derivation {
        match self.derive().unwrap() {
            Outcome::Published(derivation) => derivation,
            Outcome::Unpublished(reason) => panic!("{} is not published: {reason}", self.name),
        }
    }

    fn silence(&self) -> Unpublished {
        match self.derive().unwrap() {
            Outcome::Published(derivation) => panic!("{} is published: {derivation:?}", self.name),
            Outcome::Unpublished(reason) => reason,
        }
    }

    fn channels(&self) -> Vec<String> {
        self.published().channels
    }

    fn events(&self) -> Vec<String> {
        self.published().events
    }

    /// `PROJECT: role role`, one for each audience.
    fn audiences(&self) -> Vec<String> {
        let text = |audience: &Audience| {
            let roles: Vec<&str> = audience.roles.iter().map(Role::as_str).collect();
            format!("{}: {}", audience.project, roles.join(" "))
        };
        self.published().audiences.iter().map(text).collect()
    }
}

fn is_ambiguous(result: &Result<Outcome<Derivation>, DeriveError>) -> bool {
    matches!(result, Err(DeriveError::Name(NameError::Ambiguous { .. })))
}

fn is_contradicted(result: &Result<Outcome<Derivation>, DeriveError>) -> bool {
    matches!(result, Err(DeriveError::Name(NameError::Contradicted { .. })))
}

// --- accounts ---------------------------------------------------------------------------------------------------------

#[test]
fn an_account_change_has_four_channels_and_six_names() {
    for attribute in ["name", "password", "email", "prefs"] {
        let event = given(&format!("users.U.update.{attribute}"), &json!({"$id": "U"}));
        let derived = event.published();
        assert_eq!(derived.channels, ["account", "account.U", "account.update", "account.U.update"]);
        assert_eq!(
            derived.events,
            [
                "users.U.update".to_owned(),
                "users.*.update".to_owned(),
                format!("users.U.update.{attribute}"),
                format!("users.*.update.{attribute}"),
                "users.U".to_owned(),
                "users.*".to_owned()
            ]
        );
        assert_eq!(event.audiences(), ["P: user:U"]);
        assert_eq!((derived.permissions_changed, derived.user), (false, Some(UserId::from("U"))));
    }
}

#[test]
fn a_new_account_has_four_names() {
    assert_eq!(
        given("users.U.create", &json!({"$id": "U"})).events(),
        ["users.U.create", "users.*.create", "users.U", "users.*"]
    );
}

#[test]
fn what_happens_inside_an_account_has_two_channels_and_ten_names() {
    for (sub, action) in [
        ("sessions", "create"),
        ("sessions", "delete"),
        ("sessions", "update"),
        ("recovery", "create"),
        ("recovery", "update"),
        ("verification", "create"),
        ("verification", "update"),
        ("challenges", "create"),
        ("targets", "delete"),
        ("identities", "delete"),
        ("tokens", "create"),
    ] {
        let event = given(&format!("users.U.{sub}.S.{action}"), &json!({"$id": "S", "userId": "U"}));
        assert_eq!(event.channels(), ["account", "account.U"], "{sub}");
        assert_eq!(event.audiences(), ["P: user:U"]);
        assert_eq!(
            event.events(),
            [
                format!("users.U.{sub}.S.{action}"),
                format!("users.*.{sub}.*.{action}"),
                format!("users.U.{sub}.*.{action}"),
                format!("users.*.{sub}.S.{action}"),
                format!("users.U.{sub}.S"),
                format!("users.*.{sub}.*"),
                format!("users.U.{sub}.*"),
                format!("users.*.{sub}.S"),
                "users.U".to_owned(),
                "users.*".to_owned(),
            ]
        );
    }
}

#[test]
fn deleting_all_sessions_is_named_after_the_sessions() {
    let pattern = given("users.[userId].sessions.delete", &json!({})).param("userId", "U");
    assert_eq!(
        pattern.events(),
        [
            "users.U.sessions",
            "users.*.sessions",
            "users.U.sessions.delete",
            "users.*.sessions.delete",
            "users.U",
            "users.*"
        ]
    );
    assert_eq!(pattern.channels(), ["account", "account.U"]);
    let written = given("users.U.sessions.delete", &json!({"$id": "last", "userId": "U"}));
    assert_eq!(written.published(), pattern.published());
}

// --- teams ------------------------------------------------------------------------------------------------------------

#[test]
fn a_new_team_changes_its_makers_roles() {
    let event = given("teams.T.create", &json!({"$id": "T"})).user("U");
    let derived = event.published();
    assert_eq!(derived.channels, ["teams", "teams.T", "teams.create", "teams.T.create"]);
    assert_eq!(derived.events.len(), 4);
    assert_eq!(event.audiences(), ["P: team:T"]);
    assert_eq!((derived.permissions_changed, derived.user), (true, Some(UserId::from("U"))));
}

#[test]
fn a_changed_or_deleted_team_changes_nobodys_roles() {
    for action in ["update", "delete", "update.prefs"] {
        let event = given(&format!("teams.T.{action}"), &json!({"colour": "red"}));
        let derived = event.published();
        let suffix = if action == "delete" { "delete" } else { "update" };
        assert_eq!(
            derived.channels,
            [
                "teams".to_owned(),
                "teams.T".to_owned(),
                format!("teams.{suffix}"),
                format!("teams.T.{suffix}")
            ]
        );
        assert_eq!(event.audiences(), ["P: team:T"]);
        assert_eq!((derived.permissions_changed, derived.user), (false, None));
        assert!(derived.events.contains(&format!("teams.T.{action}")));
    }
}

#[test]
fn a_membership_changes_its_members_roles_whatever_happens_to_it() {
    for action in ["create", "update", "delete", "update.status"] {
        let event = given(
            &format!("teams.T.memberships.M.{action}"),
            &json!({"$id": "M", "teamId": "T", "userId": "U", "$permissions": [r#"read("any")"#]}),
        );
        let derived = event.published();
        let suffix = action.trim_end_matches(".status");
        assert_eq!(
            derived.channels,
            [
                "memberships".to_owned(),
                "memberships.M".to_owned(),
                format!("memberships.{suffix}"),
                format!("memberships.M.{suffix}")
            ]
        );
        assert_eq!(event.audiences(), ["P: team:T"]);
        assert_eq!((derived.permissions_changed, derived.user), (true, Some(UserId::from("U"))));
        assert_eq!(derived.events.len(), if action == "update.status" { 16 } else { 10 });
    }
}

#[test]
fn a_membership_of_another_user_than_the_given_is_refused() {
    let event = given("teams.T.memberships.M.create", &json!({"$id": "M", "teamId": "T", "userId": "U"}));
    assert!(matches!(event.user("V").derive(), Err(DeriveError::ForeignUser { .. })));
}

#[test]
fn a_name_of_two_levels_with_attribute_has_sixteen_forms_in_appwrites_order() {
    let event = given("teams.T.memberships.M.update.status", &json!({"$id": "M", "teamId": "T"}));
    assert_eq!(
        event.events(),
        [
            "teams.T.memberships.M.update.status",
            "teams.*.memberships.*.update.status",
            "teams.T.memberships.*.update.status",
            "teams.*.memberships.M.update.status",
            "teams.T.memberships.M.update",
            "teams.*.memberships.*.update",
            "teams.T.memberships.*.update",
            "teams.*.memberships.M.update",
            "teams.T.memberships.M",
            "teams.*.memberships.*",
            "teams.T.memberships.*",
            "teams.*.memberships.M",
            "teams.T.update.status",
            "teams.*.update.status",
            "teams.T",
            "teams.*",
        ]
    );
}

// --- databases --------------------------------------------------------------------------------------------------------

const DOCUMENT_BASE: [&str; 8] = [
    "documents",
    "databases.D.collections.C.documents",
    "databases.D.collections.C.documents.X",
    "rows",
    "databases.D.tables.C.rows",
    "databases.D.tables.C.rows.X",
    "tablesdb.D.tables.C.rows",
    "tablesdb.D.tables.C.rows.X",
];

fn with_twins(base: &[&str], action: &str) -> Vec<String> {
    base.iter()
        .map(ToString::to_string)
        .chain(base.iter().map(|channel| format!("{channel}.{action}")))
        .collect()
}

#[test]
fn a_document_of_the_mirrored_databases_has_sixteen_channels_however_it_is_named() {
    for action in ["create", "update", "upsert", "delete"] {
        let named_rows = given(
            &format!("databases.D.tables.C.rows.X.{action}"),
            &json!({"$id": "X", "$databaseId": "D", "$tableId": "C"}),
        );
        for event in [document(action), row(action), named_rows.readable_by("any")] {
            assert_eq!(event.channels(), with_twins(&DOCUMENT_BASE, action), "{}", event.name);
        }
    }
}

#[test]
fn a_document_of_the_newer_databases_has_six_channels_and_twenty_two_names() {
    for family in ["documentsdb", "vectorsdb"] {
        let event = given(
            &format!("{family}.D.collections.C.documents.X.upsert"),
            &json!({"$id": "X", "$databaseId": "D", "$collectionId": "C", "embeddings": [0.1, 0.2, 0.3]}),
        )
        .readable_by("any");
        let base = format!("{family}.D.collections.C.documents");
        assert_eq!(event.channels(), with_twins(&["documents", &base, &format!("{base}.X")], "upsert"));
        let events = event.events();
        assert_eq!(events.len(), 22);
        assert!(events.iter().all(|name| name.starts_with(family)));
    }
}

#[test]
fn a_legacy_document_has_forty_two_names_each_collection_followed_by_its_table() {
    let events = document("create").events();
    assert_eq!(events.len(), 42);
    assert_eq!(
        events.iter().take(10).collect::<Vec<_>>(),
        [
            "databases.D.collections.C.documents.X.create",
            "databases.D.tables.C.rows.X.create",
            "databases.*.collections.*.documents.*.create",
            "databases.*.tables.*.rows.*.create",
            "databases.D.collections.*.documents.X.create",
            "databases.D.tables.*.rows.X.create",
            "databases.*.collections.*.documents.X.create",
            "databases.*.tables.*.rows.X.create",
            "databases.*.collections.C.documents.X.create",
            "databases.*.tables.C.rows.X.create",
        ]
    );
    assert_eq!(events.iter().skip(40).collect::<Vec<_>>(), ["databases.D", "databases.*"]);
    for name in [
        "databases.D.collections.C.documents.*.create",
        "databases.D.collections.*.documents.*.create",
        "databases.*.collections.C.documents.*.create",
        "databases.D.tables.C.rows.X",
        "databases.D.collections.C",
        "databases.D.tables.*",
    ] {
        assert!(events.iter().any(|event| event == name), "{name}");
    }
}

#[test]
fn a_row_has_sixty_four_names_in_three_spellings() {
    let events = row("update").events();
    assert_eq!(events.len(), 64);
    assert_eq!(
        events.iter().take(3).collect::<Vec<_>>(),
        [
            "tablesdb.D.tables.C.rows.X.update",
            "databases.D.collections.C.documents.X.update",
            "databases.D.tables.C.rows.X.update",
        ]
    );
    assert_eq!(
        events.iter().skip(60).collect::<Vec<_>>(),
        ["tablesdb.D", "databases.D", "tablesdb.*", "databases.*"]
    );
}

#[test]
fn a_row_event_named_in_the_legacy_database_is_mirrored_to_collections() {
    let event = given(
        "databases.D.tables.C.rows.X.create",
        &json!({"$id": "X", "$databaseId": "D", "$tableId": "C", "$permissions": [r#"read("any")"#]}),
    );
    let events = event.events();
    assert_eq!(events.len(), 42);
    assert_eq!(
        events.iter().take(2).collect::<Vec<_>>(),
        ["databases.D.tables.C.rows.X.create", "databases.D.collections.C.documents.X.create"]
    );
}

#[test]
fn schema_changes_are_for_the_owners_in_the_console() {
    for (family, collection, part) in [
        ("databases", "collections", "attributes"),
        ("databases", "collections", "indexes"),
        ("databases", "tables", "columns"),
        ("tablesdb", "tables", "columns"),
        ("tablesdb", "tables", "indexes"),
        ("documentsdb", "collections", "indexes"),
        ("vectorsdb", "collections", "attributes"),
    ] {
        for action in ["create", "update", "delete"] {
            let event = given(
                &format!("{family}.D.{collection}.C.{part}.1_2_name.{action}"),
                &json!({"$id": "1_2_name", "key": "name", "status": "processing"}),
            );
            assert_eq!(event.channels(), ["console", "projects.P"]);
            assert_eq!(event.audiences(), ["console: team:TEAM"]);
            assert!(event.events().contains(&format!("{family}.D.{collection}.C.{part}.*.{action}")));
        }
    }
    let attribute = given("databases.D.collections.C.attributes.A.create", &json!({"$id": "A"})).events();
    assert!(attribute.contains(&"databases.*.tables.*.columns.*.create".to_owned()));
}

#[test]
fn databases_collections_buckets_functions_and_sites_themselves_are_not_published() {
    for (name, reason) in [
        ("databases.D.create", Unpublished::Database),
        ("tablesdb.D.delete", Unpublished::Database),
        ("databases.D.collections.D.update", Unpublished::Collection),
        ("vectorsdb.D.collections.D.create", Unpublished::Collection),
        ("buckets.D.update", Unpublished::Bucket),
        ("functions.D.update", Unpublished::Function),
        ("sites.D.create", Unpublished::Family),
        ("sites.D.logs.D.delete", Unpublished::Family),
        ("messages.D.create", Unpublished::Family),
        ("topics.D.subscribers.D.create", Unpublished::Family),
        ("functions.D.variables.D.create", Unpublished::Family),
    ] {
        let event = given(name, &json!({"$id": "D", "$permissions": [r#"read("any")"#]}));
        assert_eq!(event.silence(), reason, "{name}");
    }
}

// --- permissions ------------------------------------------------------------------------------------------------------

#[test]
fn document_permissions_count_beside_the_collections_only_where_security_is_on() {
    let event = document("create").readable_by("user:U").container(&[r#"read("users")"#, r#"write("any")"#]);
    assert_eq!(event.clone().own_security(true).audiences(), ["P: users user:U"]);
    assert_eq!(event.clone().own_security(false).audiences(), ["P: users"]);
    let payload_only = given(
        "databases.D.collections.C.documents.X.create",
        &json!({"$id": "X", "$permissions": [r#"read("user:U")"#]}),
    );
    assert_eq!(payload_only.clone().container(&[r#"read("users")"#]).audiences(), ["P: users"]);
    assert_eq!(
        payload_only.clone().container(&[r#"read("users")"#]).own_security(true).audiences(),
        ["P: users user:U"]
    );
    assert_eq!(payload_only.audiences(), ["P: user:U"]);
}

#[test]
fn file_permissions_count_beside_the_buckets_only_where_security_is_on() {
    let event = file("create").readable_by("user:U").container(&[r#"read("team:T/owner")"#]);
    assert_eq!(event.clone().own_security(true).audiences(), ["P: team:T/owner user:U"]);
    assert_eq!(event.own_security(false).audiences(), ["P: team:T/owner"]);
}

#[test]
fn permissions_given_with_the_event_replace_the_payloads() {
    let event = given(
        "buckets.B.files.F.create",
        &json!({"$id": "F", "bucketId": "B", "$permissions": [r#"read("any")"#]}),
    );
    assert_eq!(event.audiences(), ["P: any"]);
    assert_eq!(event.clone().readable_by("user:U").audiences(), ["P: user:U"]);
    assert_eq!(event.permissions(&[]).silence(), Unpublished::NoReaders);
}

#[test]
fn write_permission_lets_nobody_read() {
    let event =
        document("create").permissions(&[r#"write("any")"#, r#"update("any")"#, r#"delete("users")"#]);
    assert_eq!(event.silence(), Unpublished::NoReaders);
}

#[test]
fn a_permission_out_of_form_is_refused_wherever_it_stands() {
    assert!(matches!(
        document("create").permissions(&["read(any)"]).derive(),
        Err(DeriveError::Permission(_))
    ));
    let in_payload =
        given("buckets.B.files.F.create", &json!({"$id": "F", "bucketId": "B", "$permissions": ["any"]}));
    assert!(matches!(in_payload.derive(), Err(DeriveError::Permission(_))));
    let no_list =
        given("buckets.B.files.F.create", &json!({"$id": "F", "bucketId": "B", "$permissions": "any"}));
    assert!(matches!(no_list.derive(), Err(DeriveError::Payload { .. })));
}

// --- files and functions ----------------------------------------------------------------------------------------------

#[test]
fn a_file_has_six_channels_and_ten_names_in_appwrites_order() {
    for action in ["create", "update", "delete"] {
        assert_eq!(
            file(action).channels(),
            with_twins(&["files", "buckets.B.files", "buckets.B.files.F"], action)
        );
    }
    assert_eq!(
        file("create").events(),
        [
            "buckets.B.files.F.create",
            "buckets.*.files.*.create",
            "buckets.B.files.*.create",
            "buckets.*.files.F.create",
            "buckets.B.files.F",
            "buckets.*.files.*",
            "buckets.B.files.*",
            "buckets.*.files.F",
            "buckets.B",
            "buckets.*",
        ]
    );
}

#[test]
fn an_execution_has_eight_channels_and_ten_names() {
    let derived = execution("create").published();
    assert_eq!(
        derived.channels,
        [
            "console",
            "projects.P",
            "executions",
            "executions.E",
            "functions.F",
            "executions.create",
            "executions.E.create",
            "functions.F.create"
        ]
    );
    assert_eq!(derived.events.len(), 10);
    assert_eq!(execution("create").audiences(), ["P: user:U"]);
}

#[test]
fn an_executions_progress_is_shown_in_the_console_to_the_owners_alone() {
    assert_eq!(execution("update").audiences(), ["console: team:TEAM", "P: user:U"]);
    let mut without_team = execution("update");
    without_team.team = None;
    assert_eq!(without_team.audiences(), ["P: user:U"]);
}

#[test]
fn an_execution_that_nobody_may_read_is_not_published() {
    assert_eq!(execution("update").permissions(&[]).silence(), Unpublished::NoReaders);
    assert_eq!(execution("update").permissions(&[]).legacy().silence(), Unpublished::NoReaders);
}

#[test]
fn deployments_are_for_the_owners_in_the_console() {
    for root in ["functions", "sites"] {
        let event = given(
            &format!("{root}.F.deployments.D.update"),
            &json!({"$id": "D", "resourceId": "F", "status": "ready"}),
        );
        assert_eq!(event.channels(), ["console", "projects.P"]);
        assert_eq!(event.audiences(), ["console: team:TEAM"]);
        assert_eq!(event.events().len(), 10);
    }
}

// --- console, reports, presences --------------------------------------------------------------------------------------

#[test]
fn rules_migrations_and_project_changes_are_for_the_owners_in_the_console() {
    for name in [
        "rules.R.create",
        "rules.R.delete",
        "migrations.R.update",
        "projects.P.ping",
        "projects.P.update",
        "projects.P.policies.X.update",
    ] {
        let event = given(name, &json!({"pingCount": 1}));
        assert_eq!(event.channels(), ["console", "projects.P"], "{name}");
        assert_eq!(event.audiences(), ["console: team:TEAM"]);
    }
    assert_eq!(
        given("projects.P.ping", &json!({})).events(),
        ["projects.P.ping", "projects.*.ping", "projects.P", "projects.*"]
    );
}

#[test]
fn a_key_cannot_speak_of_another_project() {
    assert!(is_contradicted(&given("projects.Q.ping", &json!({})).derive()));
    let pattern = given("projects.[projectId].ping", &json!({})).param("projectId", "Q");
    assert!(matches!(pattern.derive(), Err(DeriveError::ForeignProject { .. })));
}

#[test]
fn an_event_for_owners_of_a_project_without_team_is_refused() {
    let mut event = given("rules.R.create", &json!({}));
    event.team = None;
    assert!(matches!(event.derive(), Err(DeriveError::NoTeam { .. })));
}

#[test]
fn reports_and_their_insights_have_no_action_channels() {
    let report = given("reports.R.delete", &json!({"$id": "R"}));
    assert_eq!(report.channels(), ["reports", "reports.R"]);
    assert_eq!(report.audiences(), ["P: team:TEAM"]);
    let insight = given("reports.R.insights.I.create", &json!({"$id": "I", "reportId": "R"}));
    assert_eq!(insight.channels(), ["reports", "reports.R", "reports.R.insights", "reports.R.insights.I"]);
    assert_eq!(insight.audiences(), ["P: team:TEAM"]);
}

#[test]
fn a_presence_has_four_channels_and_four_names_and_its_own_readers() {
    for action in ["upsert", "update", "delete"] {
        let event = given(
            &format!("presences.R.{action}"),
            &json!({"$id": "R", "userId": "U", "$permissions": [r#"read("any")"#]}),
        );
        let derived = event.published();
        assert_eq!(derived.channels, with_twins(&["presences", "presences.R"], action));
        assert_eq!(
            derived.events,
            [
                format!("presences.R.{action}"),
                format!("presences.*.{action}"),
                "presences.R".to_owned(),
                "presences.*".to_owned()
            ]
        );
        assert_eq!(event.audiences(), ["P: any"]);
        assert_eq!(derived.user, None);
    }
}

#[test]
fn the_console_project_publishes_presences_alone() {
    let user = given("users.U.update", &json!({"$id": "U"})).project("console");
    assert_eq!(user.silence(), Unpublished::ConsoleProject);
    let presence = given("presences.R.upsert", &json!({"$id": "R"})).readable_by("users").project("console");
    assert_eq!(presence.audiences(), ["console: users"]);
}

// --- the first Realtime's channels ------------------------------------------------------------------------------------

fn assert_heard(event: &Given, channel: &str) {
    let channels = event.channels();
    assert!(channels.iter().any(|heard| heard == channel), "{} is heard on {channels:?}", event.name);
}

fn assert_not_heard(event: &Given, channel: &str) {
    let channels = event.channels();
    assert!(channels.iter().all(|heard| heard != channel), "{} is heard on {channels:?}", event.name);
}

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

// --- ids with dots ----------------------------------------------------------------------------------------------------

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
        &long,
    ] {
        let result = given(name, &json!({})).param("userId", "U").derive();
        assert!(matches!(result, Err(DeriveError::Name(_))), "{name} {result:?}");
    }
}

/// The families whose ids are cross-checked: kinds with the params that name them, and the key under which a payload
/// names each.
const FAMILIES: [(&[(&str, &str)], &[&str]); 9] = [
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
