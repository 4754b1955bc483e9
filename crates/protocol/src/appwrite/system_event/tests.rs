//! Every event family against the channels, roles, names and counts that Appwrite gives it.

mod dotted_ids;
mod seed_channels;

use std::collections::BTreeMap;

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

fn assert_heard(event: &Given, channel: &str) {
    let channels = event.channels();
    assert!(channels.iter().any(|heard| heard == channel), "{} is heard on {channels:?}", event.name);
}

fn assert_not_heard(event: &Given, channel: &str) {
    let channels = event.channels();
    assert!(channels.iter().all(|heard| heard != channel), "{} is heard on {channels:?}", event.name);
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
fn three_ids_become_stars_in_appwrites_order() {
    let event =
        given("documentsdb.D.collections.C.documents.X.create", &json!({"$id": "X"})).readable_by("any");
    let ids = |name: &String| name.split('.').skip(1).step_by(2).take(3).collect::<Vec<_>>().join(" ");
    assert_eq!(
        event.events().iter().take(8).map(ids).collect::<Vec<_>>(),
        ["D C X", "* * *", "D * X", "* * X", "* C X", "D C *", "* C *", "D * *"]
    );
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
fn only_a_deleted_presence_with_an_id_is_gone() {
    let gone = |name: &str, payload: &str| {
        let message = format!(
            r#"{{"project":"P","roles":["any"],"data":{{"events":["{name}"],"channels":["presences"],"payload":{payload}}}}}"#
        );
        deleted_presence(&crate::appwrite::envelope::decode(&message.into()).unwrap())
    };
    let presence = |sequence: Option<&str>| {
        Some(DeletedPresence { id: "R.1".to_owned(), sequence: sequence.map(str::to_owned) })
    };
    assert_eq!(gone("presences.R.delete", r#"{"$id":"R.1"}"#), presence(None));
    assert_eq!(gone("presences.R.delete", r#"{"$id":"R.1","$sequence":"7"}"#), presence(Some("7")));
    assert_eq!(gone("presences.R.update", r#"{"$id":"R"}"#), None);
    assert_eq!(gone("users.R.delete", r#"{"$id":"R"}"#), None);
    for payload in [r#"{"$id":""}"#, r#"{"$id":7}"#, "{}", "[]"] {
        assert_eq!(gone("presences.R.delete", payload), None, "{payload}");
    }
}

#[test]
fn the_console_project_publishes_presences_alone() {
    let user = given("users.U.update", &json!({"$id": "U"})).project("console");
    assert_eq!(user.silence(), Unpublished::ConsoleProject);
    let presence = given("presences.R.upsert", &json!({"$id": "R"})).readable_by("users").project("console");
    assert_eq!(presence.audiences(), ["console: users"]);
}
