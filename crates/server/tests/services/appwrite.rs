//! Databases that Appwrite's own library wrote, and who may hear what according to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::certificate::Certificate;
use crate::mariadb_server::MariadbServer;
use crate::node::{Client, Node, PATIENCE};
use crate::postgres_server::PostgresServer;
use crate::redis_server::Redis;

/// What comes with the databases: key, session tokens, and the roles that Appwrite computes.
struct Fixtures {
    credentials: Value,
    roles: BTreeMap<String, BTreeSet<String>>,
}

impl Fixtures {
    fn read() -> Self {
        let json = |name: &str| -> Value {
            serde_json::from_str(&std::fs::read_to_string(dump(name)).unwrap()).unwrap()
        };
        let roles = json("roles.json");
        let roles = roles.as_object().unwrap().iter().map(|(user, facts)| {
            (user.clone(), facts["roles"].as_array().unwrap().iter().map(text).collect())
        });
        Self { credentials: json("credentials.json"), roles: roles.collect() }
    }

    fn key(&self) -> &str {
        self.credentials["encryptionKey"].as_str().unwrap()
    }

    /// The token of a session such as `alpha/alice/main`.
    fn token(&self, session: &str) -> &str {
        self.credentials["sessions"][session]["token"].as_str().unwrap()
    }

    fn session_id(&self, session: &str) -> &str {
        self.credentials["sessions"][session]["sessionId"].as_str().unwrap()
    }

    fn jwt(&self, claims: &Value) -> String {
        signed(&json!({ "typ": "JWT", "alg": "HS256" }), claims, self.key())
    }

    /// Every role that anybody holds, and some that nobody does.
    fn all_roles(&self) -> BTreeSet<String> {
        let mut all: BTreeSet<String> = self.roles.values().flatten().cloned().collect();
        all.extend(
            ["guests", "user:mallory", "team:blue", "team:red/guest", "label:VIP", "user:ALICE"]
                .map(str::to_owned),
        );
        all
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn dump(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/databases").join(name)
}

pub(crate) fn signed(header: &Value, claims: &Value, key: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// Beside which database a server runs.
#[derive(Clone, Copy)]
struct Installation<'a> {
    adapter: &'a str,
    port: u16,
    schema: &'a str,
    user: &'a str,
}

/// A server beside an installation, with a Redis to publish on.
struct World {
    fixtures: Fixtures,
    redis: Redis,
    node: Node,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(installation: &Installation<'_>, more: &[(&str, &str)]) -> Self {
        let world = Self::start(installation, more);
        world.node.wait_for_log("found the Appwrite installation");
        world.node.wait_for_readiness(200);
        world
    }

    fn start(installation: &Installation<'_>, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = Redis::start(&[]);
        let fixtures = Fixtures::read();
        let node = Self::node(installation, &fixtures, &redis, folder.path(), more);
        Self { fixtures, redis, node, _folder: folder }
    }

    /// A server in the environment that Appwrite gives to its own.
    fn node(
        installation: &Installation<'_>,
        fixtures: &Fixtures,
        redis: &Redis,
        folder: &Path,
        more: &[(&str, &str)],
    ) -> Node {
        let (port, redis_port) = (installation.port.to_string(), redis.port());
        let environment = [
            ("_APP_ENV", "development"),
            ("_APP_OPENSSL_KEY_V1", fixtures.key()),
            ("_APP_DB_ADAPTER", installation.adapter),
            ("_APP_DB_HOST", "127.0.0.1"),
            ("_APP_DB_PORT", &port),
            ("_APP_DB_SCHEMA", installation.schema),
            ("_APP_DB_USER", installation.user),
            ("_APP_DB_PASS", ""),
            ("_APP_REDIS_HOST", "127.0.0.1"),
            ("_APP_REDIS_PORT", &redis_port),
            ("_APP_REDIS_PASS", ""),
        ];
        Node::start(folder, &[], &[&environment[..], more].concat())
    }

    /// Connects to a project; the first message is for the test to read.
    fn connect(&self, project: &str, query: &str, headers: &[(&str, &str)]) -> Client {
        self.node.connect(&format!("project={project}&channels[]=probe{query}"), headers)
    }

    /// The roles by which a connected client hears events: all of them are tried, one event for each.
    fn roles_of(&self, project: &str, client: &mut Client) -> BTreeSet<String> {
        for role in self.fixtures.all_roles() {
            self.redis.publish(&event(project, &role, &role));
        }
        self.redis.publish(&event(project, "any", "fence"));
        client.ids_until("fence").into_iter().collect()
    }
}

pub(crate) fn event(project: &str, role: &str, id: &str) -> String {
    json!({
        "project": project, "roles": [role], "permissionsChanged": false, "userId": null,
        "data": {
            "events": ["probe.p.create"], "channels": ["probe"],
            "timestamp": "2026-08-21T10:15:30.123+00:00", "payload": { "$id": id }
        }
    })
    .to_string()
}

/// Every way to show a session or a JWT.
const WAYS: [&str; 8] = [
    "cookie",
    "legacy cookie",
    "header",
    "fallback cookies",
    "message",
    "JWT header",
    "jwt in URL",
    "JWT message",
];

impl World {
    /// Shows who somebody is in one of [`WAYS`], as an SDK does; the client has been told `connected` or an error.
    fn connect_as(&self, project: &str, user: &str, way: &str) -> (Client, Value) {
        let session = format!("{project}/{user}/main");
        let token = self.fixtures.token(&session);
        let claims = json!({ "userId": user, "sessionId": self.fixtures.session_id(&session), "exp": 4_000_000_000_u32 });
        let jwt = self.fixtures.jwt(&claims);
        let cookie = |suffix: &str| format!("a_session_{project}{suffix}={}", token.replace('=', "%3D"));
        let fallback = json!({ format!("a_session_{project}"): token }).to_string();
        let (query, headers) = match way {
            "cookie" => (String::new(), vec![("cookie", cookie(""))]),
            "legacy cookie" => (String::new(), vec![("cookie", cookie("_legacy"))]),
            "header" => (String::new(), vec![("x-appwrite-session", token.to_owned())]),
            "fallback cookies" => (String::new(), vec![("x-fallback-cookies", fallback)]),
            "JWT header" => (String::new(), vec![("x-appwrite-jwt", jwt.clone())]),
            "jwt in URL" => (format!("&jwt={jwt}"), vec![]),
            _ => (String::new(), vec![]),
        };
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut client = self.connect(project, &query, &headers);
        let mut first = client.next();
        let shown = match way {
            "message" => Some(json!({ "session": token })),
            "JWT message" => Some(json!({ "jwt": jwt })),
            _ => None,
        };
        if let Some(shown) = shown {
            assert_eq!(first["type"], "connected", "{first}");
            client.say(&json!({ "type": "authentication", "data": shown }));
            first = client.next();
        }
        (client, first)
    }

    /// Everybody of every project, in every way, hears what Appwrite's own code says they may.
    fn everybody_hears_what_appwrite_says(&self) {
        for project in ["alpha", "Beta9"] {
            let mut guest = self.connect(project, "", &[]);
            assert_eq!(guest.expect("connected")["data"]["user"], Value::Null);
            assert_eq!(self.roles_of(project, &mut guest), BTreeSet::from(["guests".to_owned()]));
            for user in ["alice", "bob", "dave", "eve.dot"] {
                for way in WAYS {
                    let (mut client, first) = self.connect_as(project, user, way);
                    assert_eq!(first["data"]["user"]["$id"], user, "{project} {user} by {way}: {first}");
                    let expected = &self.fixtures.roles[&format!("{project}/{user}")];
                    assert_eq!(&self.roles_of(project, &mut client), expected, "{project} {user} by {way}");
                }
            }
            for way in ["cookie", "header", "fallback cookies", "JWT header", "jwt in URL", "message"] {
                let (_, first) = self.connect_as(project, "carol", way);
                assert_eq!(first["type"], "error", "a blocked user by {way}: {first}");
                assert_eq!(first["data"]["message"], "The current user has been blocked.", "{way}");
            }
        }
    }

    /// Who proves nothing is a guest, or is told why not; nobody becomes somebody else.
    fn nobody_gains_what_is_not_theirs(&self) {
        let of = |session: &str| self.fixtures.token(session);
        let cut = of("alpha/alice/main").get(..100).unwrap();
        let cases = [
            ("an expired session", "alpha", of("alpha/dave/old")),
            ("a session of another project", "alpha", of("Beta9/alice/main")),
            ("a session of the console", "alpha", of("console/admin1/main")),
            ("a token that was cut", "alpha", cut),
            ("no token at all", "alpha", "!!!"),
        ];
        for (what, project, token) in cases {
            for cookie in
                [format!("a_session_{project}={token}"), format!("a_session_{project}_legacy={token}")]
            {
                let mut client = self.connect(project, "", &[("cookie", &cookie)]);
                assert_eq!(client.expect("connected")["data"]["user"], Value::Null, "{what}");
                assert_eq!(
                    self.roles_of(project, &mut client),
                    BTreeSet::from(["guests".to_owned()]),
                    "{what}"
                );
            }
        }
        let far = 4_000_000_000_u32;
        let hs256 = json!({ "alg": "HS256" });
        let claims = json!({ "userId": "alice", "exp": far });
        let tokens = [
            ("alg none", signed(&json!({ "alg": "none" }), &claims, "")),
            ("another key", signed(&hs256, &claims, "another key")),
            ("expired", signed(&hs256, &json!({ "userId": "alice", "exp": 1 }), self.fixtures.key())),
            ("not yet", signed(&hs256, &json!({ "userId": "alice", "nbf": far }), self.fixtures.key())),
            (
                "too old",
                signed(&hs256, &json!({ "userId": "alice", "exp": far, "iat": 1 }), self.fixtures.key()),
            ),
        ];
        for (what, jwt) in tokens {
            let refused = self.connect("alpha", "", &[("x-appwrite-jwt", &jwt)]).expect("error");
            let said = refused["data"]["message"].as_str().unwrap();
            assert!(said.starts_with("Failed to verify JWT."), "{what}: {refused}");
        }
        let gone = self.fixtures.jwt(&json!({ "userId": "alice", "sessionId": "s-bob-main", "exp": far }));
        let first = self.connect("alpha", "", &[("x-appwrite-jwt", &gone)]).expect("connected");
        assert_eq!(first["data"]["user"], Value::Null, "a JWT of a session that the user does not have");
        for unknown in ["ALPHA", "beta9", "nowhere", "alpha%20", "alpha'--"] {
            let refused = self.connect(unknown, "", &[]).expect("error");
            assert_eq!(refused["data"]["message"], "Missing or unknown project ID", "{unknown}");
        }
    }

    /// The console's users in admin mode, who hold the roles they have there.
    fn the_console_is_for_its_members(&self) {
        let as_admin = |user: &str| {
            let cookie =
                format!("a_session_console={}", self.fixtures.token(&format!("console/{user}/main")));
            self.connect("alpha", "&mode=admin", &[("cookie", &cookie)])
        };
        let mut admin = as_admin("admin1");
        assert_eq!(admin.expect("connected")["data"]["user"]["$id"], "admin1");
        assert_eq!(self.roles_of("alpha", &mut admin), self.fixtures.roles["console/admin1"]);
        let refused = as_admin("outsider").expect("error");
        assert_eq!(refused["data"]["code"], 401, "{refused}");
    }

    /// Pages of registered platforms and of custom domains may connect; others are told how to be registered.
    fn origins_follow_platforms_and_rules(&self) {
        for origin in [
            "https://www.example.com",
            "https://app.test",
            "appwrite-android://com.example.android",
            "appwrite-ios://com.example.ios",
            "http://localhost:3000",
        ] {
            self.connect("alpha", "", &[("origin", origin)]).expect("connected");
        }
        let refused = self.connect("alpha", "", &[("origin", "https://evil.test")]).expect("error");
        let said = refused["data"]["message"].as_str().unwrap();
        assert!(said.starts_with("Invalid Origin. Register your new client (evil.test)"), "{said}");
        let own = self.connect("Beta9", "", &[("origin", "https://beta9.custom.example.net")]).next();
        assert_eq!(own["type"], "connected", "{own}");
        let others = self.connect("alpha", "", &[("origin", "https://beta9.custom.example.net")]).next();
        assert_eq!(others["type"], "error", "{others}");
    }
}

/// The installations that know of presences, with what runs statements on their databases.
pub(crate) enum Changeable {
    Mariadb(MariadbServer),
    Postgres(PostgresServer),
}

impl Changeable {
    pub(crate) fn mariadb() -> Self {
        let server = MariadbServer::start();
        server.load("appwrite", &dump("appwrite-1.9.6.mariadb.sql"));
        Self::Mariadb(server)
    }

    pub(crate) fn postgres() -> Self {
        let server = PostgresServer::start();
        server.load("production", &dump("appwrite-main.postgres.sql"));
        Self::Postgres(server)
    }

    /// Runs statements on the tables, whose names stand in braces: `{_1_users}`.
    pub(crate) fn query(&self, statements: &str) -> String {
        match self {
            Self::Mariadb(server) => {
                let statements = statements.replace('{', "`appwrite`.`").replace('}', "`");
                server.query(&statements)
            }
            Self::Postgres(server) => {
                let statements = statements.replace('{', "appwrite.\"").replace('}', "\"");
                server.query("production", &statements)
            }
        }
    }

    /// Kills the database; port and data stay.
    pub(crate) fn kill(&mut self) {
        match self {
            Self::Mariadb(server) => server.kill(),
            Self::Postgres(server) => server.kill(),
        }
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) fn restart(&mut self) {
        match self {
            Self::Mariadb(server) => server.restart(),
            Self::Postgres(server) => server.restart(),
        }
    }

    /// The environment of a server beside it, and where its Redis is.
    pub(crate) fn environment(&self, redis: &Redis) -> Vec<(&'static str, String)> {
        let (adapter, port, schema, user) = match self {
            Self::Mariadb(server) => ("mariadb", server.port(), "appwrite", "root"),
            Self::Postgres(server) => ("postgresql", server.port(), "production", "postgres"),
        };
        [
            ("_APP_ENV", "development"),
            ("_APP_OPENSSL_KEY_V1", Fixtures::read().key()),
            ("_APP_DB_ADAPTER", adapter),
            ("_APP_DB_HOST", "127.0.0.1"),
            ("_APP_DB_PORT", &port.to_string()),
            ("_APP_DB_SCHEMA", schema),
            ("_APP_DB_USER", user),
            ("_APP_DB_PASS", ""),
            ("_APP_REDIS_HOST", "127.0.0.1"),
            ("_APP_REDIS_PORT", &redis.port()),
            ("_APP_REDIS_PASS", ""),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into()
    }
}

/// The cookie of a session such as `alpha/alice/main`.
pub(crate) fn cookie(session: &str) -> String {
    let project = session.split('/').next().unwrap();
    format!("a_session_{project}={}", Fixtures::read().token(session))
}

/// The `alpha` of Appwrite 1.9.6 on a MariaDB that the test may change.
pub(crate) struct Live {
    pub(crate) server: MariadbServer,
    world: World,
}

impl Live {
    /// The secret of a session such as `alpha/alice/main`.
    pub(crate) fn secret_of(&self, session: &str) -> String {
        text(&self.world.fixtures.credentials["sessions"][session]["secret"])
    }

    pub(crate) fn jwt(&self, claims: &Value) -> String {
        self.world.fixtures.jwt(claims)
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        self.world.node.log()
    }

    /// The most memory that the server has had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.world.node.peak_memory()
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> &str {
        self.world.node.address()
    }

    /// A client of alpha who shows this, before its first message is read.
    pub(crate) fn connect_with(&self, headers: &[(&str, &str)]) -> Client {
        self.world.connect("alpha", "&channels[]=teams", headers)
    }

    /// Publishes as Appwrite does.
    pub(crate) fn publish(&self, message: &str) {
        self.world.redis.publish(message);
    }

    /// Tells of an event that concerns a user.
    pub(crate) fn tell(&self, name: &str, roles: &[&str], user: &str, announced: bool) {
        let message = json!({
            "project": "alpha", "roles": roles, "permissionsChanged": announced, "userId": user,
            "data": { "events": [name], "channels": ["account"], "timestamp": "", "payload": { "$id": "x" } }
        });
        self.publish(&message.to_string());
    }

    pub(crate) fn new(more: &[(&str, &str)]) -> Self {
        let server = MariadbServer::start();
        server.load("appwrite", &dump("appwrite-1.9.6.mariadb.sql"));
        let world = World::new(&Self::installation(&server), more);
        Self { server, world }
    }

    fn installation(server: &MariadbServer) -> Installation<'static> {
        Installation { adapter: "mariadb", port: server.port(), schema: "appwrite", user: "root" }
    }

    /// One more server beside the same installation, with a folder of its own.
    pub(crate) fn another_node(&self, folder: &Path, more: &[(&str, &str)]) -> Node {
        let World { fixtures, redis, .. } = &self.world;
        let node = World::node(&Self::installation(&self.server), fixtures, redis, folder, more);
        node.wait_for_readiness(200);
        node
    }

    /// A client of alpha who listens to everything that the test publishes.
    fn connect(&self, session: &str) -> Client {
        let cookie = format!("a_session_alpha={}", self.world.fixtures.token(&format!("alpha/{session}")));
        let mut client = self.world.connect("alpha", "&channels[]=teams", &[("cookie", &cookie)]);
        client.expect("connected");
        client
    }

    /// Changes the database, then tells of it as Appwrite does.
    fn change(&self, sql: &str, events: &[&str], roles: &[&str], user: Option<&str>, announced: bool) {
        self.server.query(&format!("USE appwrite; {sql}"));
        let id = events[0].split('.').rev().nth(1).unwrap();
        let channel = if events[0].ends_with(".update") { "account" } else { "teams" };
        let message = json!({
            "project": "alpha", "roles": roles, "permissionsChanged": announced, "userId": user,
            "data": {
                "events": events, "channels": [channel],
                "timestamp": "2026-08-21T10:15:30.123+00:00", "payload": { "$id": id }
            }
        });
        self.world.redis.publish(&message.to_string());
    }

    /// Asserts that the client hears of what follows by exactly these of its former roles.
    fn hears(&self, client: &mut Client, roles: &[&str]) {
        for role in
            ["user:alice", "team:red", "team:red/owner", "label:vip", "users/verified", "users/unverified"]
        {
            self.world.redis.publish(&event("alpha", role, role));
        }
        self.world.redis.publish(&event("alpha", "any", "fence"));
        assert_eq!(client.ids_until("fence"), roles);
    }
}

#[test]
fn what_changes_in_appwrite_changes_what_live_connections_hear() {
    let live = Live::new(&[]);
    let mut main = live.connect("alice/main");
    let mut phone = live.connect("alice/phone");
    let mut bob = live.connect("bob/main");
    let all = ["user:alice", "team:red", "team:red/owner", "label:vip", "users/verified"];
    live.hears(&mut main, &all);

    let events = ["users.alice.update", "users.*.update", "users.alice.update.labels"];
    let labels = r#"UPDATE _1_users SET labels = '["beta"]' WHERE _uid = 'alice'"#;
    live.change(labels, &events, &["user:alice"], Some("alice"), false);
    live.hears(&mut main, &["user:alice", "team:red", "team:red/owner", "users/verified"]);

    let events = ["users.alice.update", "users.*.update", "users.alice.update.emailVerification"];
    let unverified = "UPDATE _1_users SET emailVerification = 0, phoneVerification = 0 WHERE _uid = 'alice'";
    live.change(unverified, &events, &["user:alice"], Some("alice"), false);
    live.hears(&mut main, &["user:alice", "team:red", "team:red/owner", "users/unverified"]);

    let gone = "DELETE FROM _1_memberships WHERE _uid = 'm-alice-red'";
    live.change(gone, &["teams.red.memberships.m-alice-red.delete"], &["team:red"], Some("alice"), true);
    assert_eq!(
        main.expect("event")["data"]["payload"]["$id"],
        "m-alice-red",
        "the removal reaches the member once"
    );
    live.hears(&mut main, &["user:alice", "users/unverified"]);

    let session = live.world.fixtures.session_id("alpha/alice/phone").to_owned();
    let ended = format!("DELETE FROM _1_sessions WHERE _uid = '{session}'");
    let name = format!("users.alice.sessions.{session}.delete");
    live.change(&ended, &[&name], &["user:alice"], Some("alice"), false);
    assert_eq!(last_error(&mut phone), "The session has ended.");
    assert_eq!(main.expect("event")["data"]["payload"]["$id"], session.as_str(), "the other session stays");

    let events = ["users.alice.update", "users.*.update", "users.alice.update.status"];
    let block = "UPDATE _1_users SET status = 0 WHERE _uid = 'alice'";
    live.change(block, &events, &["user:alice"], Some("alice"), false);
    assert_eq!(last_error(&mut main), "The current user has been blocked.");

    live.change(
        "DELETE FROM _1_users WHERE _uid = 'bob'",
        &["users.bob.delete"],
        &["user:bob"],
        Some("bob"),
        false,
    );
    assert_eq!(last_error(&mut bob), "The user no longer exists.");
}

#[test]
fn what_changes_in_the_database_without_a_word_is_noticed_in_a_while() {
    let live = Live::new(&[("REALTIME_USERS_REREAD", "1s")]);
    let mut alice = live.connect("alice/main");
    let mut bob = live.connect("bob/main");
    live.server.query("USE appwrite; DELETE FROM _1_memberships WHERE _uid = 'm-alice-red'");
    let hears_of_red = |alice: &mut Client| {
        live.world.redis.publish(&event("alpha", "team:red", "red"));
        live.world.redis.publish(&event("alpha", "any", "fence"));
        !alice.ids_until("fence").is_empty()
    };
    let deadline = Instant::now() + PATIENCE;
    while hears_of_red(&mut alice) {
        assert!(Instant::now() < deadline, "she still hears of the team");
    }
    live.server.query("USE appwrite; UPDATE _1_users SET status = 0 WHERE _uid = 'alice'");
    assert_eq!(last_error(&mut alice), "The current user has been blocked.");
    live.world.redis.publish(&event("alpha", "user:bob", "for bob"));
    bob.ids_until("for bob");
}

/// Two servers of one installation tell the console how many connections a project has on both.
fn the_console_is_told_of_the_connections_of_all_servers(installation: &Installation<'_>) {
    let worlds = [World::new(installation, &[]), World::new(installation, &[])];
    let mut others: Vec<Client> = Vec::new();
    for (world, user) in worlds.iter().zip(["alice", "bob"]) {
        let (client, first) = world.connect_as("alpha", user, "cookie");
        assert_eq!(first["type"], "connected");
        others.push(client);
    }
    let console = |user: &str| {
        let token = worlds[0].fixtures.token(&format!("console/{user}/main"));
        let cookie = format!("a_session_console={token}");
        let mut client = worlds[0].node.connect("project=console&channels[]=project", &[("cookie", &cookie)]);
        client.expect("connected");
        client
    };
    let (mut owner, mut outsider) = (console("admin1"), console("outsider"));
    loop {
        let event = owner.expect("event");
        assert_eq!(event["data"]["events"], json!(["stats.connections"]));
        assert_eq!(event["data"]["channels"], json!(["project"]));
        if event["data"]["payload"] == json!({ "alpha": 2 }) {
            break;
        }
    }
    outsider.say(&json!({ "type": "subscribe", "data": [{ "channels": ["x"] }] }));
    outsider.expect("response");
}

#[test]
fn the_console_is_told_of_connections_on_mariadb() {
    let server = MariadbServer::start();
    server.load("appwrite", &dump("appwrite-1.6.mariadb.sql"));
    server.query(
        "CREATE USER realtime@'%'; GRANT SELECT ON appwrite.* TO realtime@'%'; \
         GRANT INSERT, UPDATE ON appwrite._console_realtime TO realtime@'%'; CREATE USER reader@'%'; \
         GRANT SELECT ON appwrite.* TO reader@'%'",
    );
    let installation = Installation { adapter: "mariadb", port: server.port(), schema: "", user: "realtime" };
    the_console_is_told_of_the_connections_of_all_servers(&installation);
    let rows =
        server.query("SELECT COUNT(*), MAX(value LIKE '%\"alpha\":1%') FROM appwrite._console_realtime");
    assert_eq!(rows.lines().nth(1), Some("2\t1"), "a row for each server: {rows}");
    let world = World::new(&Installation { user: "reader", ..installation }, &[]);
    let told = world.node.wait_for_log("connections are counted for this server alone");
    assert!(told.to_string().contains("denied"), "{told}");
}

#[test]
fn the_console_is_told_of_connections_on_postgresql() {
    let server = PostgresServer::start();
    server.load("production", &dump("appwrite-main.postgres.sql"));
    let installation =
        Installation { adapter: "postgresql", port: server.port(), schema: "production", user: "postgres" };
    the_console_is_told_of_the_connections_of_all_servers(&installation);
    let rows = server.query("production", "SELECT count(*) FROM appwrite._console_realtime");
    assert_eq!(rows.trim(), "2");
}

/// The error that comes before a client is closed.
fn last_error(client: &mut Client) -> String {
    loop {
        let message = client.next();
        if message["type"] == "error" {
            assert!(client.next()["close"].is_u64());
            return text(&message["data"]["message"]);
        }
    }
}

#[test]
fn an_outage_of_the_database_makes_events_wait_and_nobody_a_guest() {
    let mut live = Live::new(&[]);
    let mut client = live.connect("alice/main");
    live.server.kill();
    let told = r#"{"project":"alpha","roles":["user:alice"],"permissionsChanged":true,"userId":"alice","data":{"events":["users.alice.update"],"channels":["account"],"timestamp":"","payload":{}}}"#;
    live.world.redis.publish(told);
    live.world.node.wait_for_log("its events wait");
    live.world.redis.publish(&event("alpha", "guests", "for guests"));
    live.world.redis.publish(&event("alpha", "team:red", "for the team"));
    live.server.restart();
    live.hears(
        &mut client,
        &["for the team", "user:alice", "team:red", "team:red/owner", "label:vip", "users/verified"],
    );
}

#[test]
fn an_outage_that_lasts_closes_those_whose_roles_are_in_doubt_with_a_code_to_come_back() {
    let mut live = Live::new(&[("REALTIME_USERS_OUTAGE", "300ms"), ("REALTIME_DATABASE_TIMEOUT", "1s")]);
    let (mut alice, mut bob) = (live.connect("alice/main"), live.connect("bob/main"));
    live.server.kill();
    let told = r#"{"project":"alpha","roles":["user:alice"],"permissionsChanged":true,"userId":"alice","data":{"events":["users.alice.update"],"channels":["account"],"timestamp":"","payload":{}}}"#;
    live.world.redis.publish(told);
    let error = alice.expect("error");
    assert_eq!(error["data"]["message"], "The directory cannot answer at the moment. Try again later.");
    assert_eq!(alice.next(), json!({ "close": 1013 }));
    live.world.redis.publish(&event("alpha", "user:bob", "for bob"));
    assert_eq!(bob.expect("event")["data"]["payload"]["$id"], "for bob", "nobody else is touched");
}

/// The page that lists every statement, and what of a statement stands there: no values, no number of a project.
fn statements_page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/appwrite-database.md"))
        .unwrap()
}

#[test]
fn every_statement_on_mariadb_is_documented_and_uses_an_index() {
    let live = Live::new(&[("REALTIME_CACHE_PROJECTS", "0s"), ("REALTIME_STATISTICS", "false")]);
    live.server.query("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON");
    let token = live.world.fixtures.token("alpha/alice/main");
    let cookie = format!("a_session_alpha={token}");
    let key = live.world.fixtures.credentials["devKeys"]["alpha/valid"].as_str().unwrap();
    let headers = [
        ("cookie", cookie.as_str()),
        ("origin", "https://alpha.custom.example.net"),
        ("x-appwrite-dev-key", key),
    ];
    let mut client = live.world.connect("alpha", "", &headers);
    client.expect("connected");
    live.change("DO 0", &["users.alice.update"], &["user:alice"], Some("alice"), true);
    live.hears(&mut client, &["user:alice", "team:red", "team:red/owner", "label:vip", "users/verified"]);
    for status in ["here", "busy"] {
        client.say(&json!({ "type": "presence", "data": { "status": status } }));
        client.expect("response");
    }
    let logged = |like: &str| {
        live.server.query(&format!(
            "SELECT DISTINCT CONVERT(argument USING utf8mb4) FROM mysql.general_log \
             WHERE command_type = 'Execute' AND argument LIKE '{like}' AND argument NOT LIKE 'INSERT %'"
        ))
    };
    wait_until("stale presences are looked for", || !logged("%_1_presenceLogs%expiresAt` <%").is_empty());
    drop(client);
    wait_until("the presence is removed", || !logged("DELETE FROM `%_1_presenceLogs`%").is_empty());
    live.server.query("SET GLOBAL general_log = OFF");
    let log = logged("%`appwrite`.%");
    // So many that a scan would be chosen were there no index.
    live.server.query(
        "USE appwrite; INSERT INTO _1_presenceLogs (_uid, userId, expiresAt, userInternalId, source, hostname) \
         SELECT CONCAT('p', seq), CONCAT('u', seq), '2099-01-01', seq, CONCAT('s', seq), 'h' FROM seq_1_to_1000; \
         INSERT INTO _1_presenceLogs_perms (_type, _permission, _document) \
         SELECT 'read', 'any', CONCAT('p', seq) FROM seq_1_to_1000; \
         INSERT INTO _1_presenceLogs (_id, _uid, userId, source) VALUES (1, 'p', 'alice', 'realtime'); \
         ANALYZE TABLE _1_presenceLogs, _1_presenceLogs_perms",
    );
    let page = statements_page();
    let statements: Vec<&str> = log.lines().skip(1).collect();
    assert!(statements.len() >= 13, "{statements:#?}");
    for statement in statements {
        let plan = live.server.query(&format!("EXPLAIN FORMAT=JSON {statement}"));
        assert!(plan.contains(r#""key": ""#), "no index for {statement}: {plan}");
        assert!(!plan.contains(r#""access_type": "ALL""#), "a scan for {statement}: {plan}");
        let (table, filter) = table_and_filter(statement);
        let row = format!("| `{table}` | `{filter}` |");
        assert!(page.contains(&row), "docs/appwrite-database.md lacks {row}");
    }
}

#[test]
fn every_statement_on_postgresql_uses_an_index() {
    let server = PostgresServer::start();
    server.load("production", &dump("appwrite-main.postgres.sql"));
    let installation =
        Installation { adapter: "postgresql", port: server.port(), schema: "production", user: "postgres" };
    let world =
        World::new(&installation, &[("REALTIME_CACHE_PROJECTS", "0s"), ("REALTIME_STATISTICS", "false")]);
    let cookie = format!("a_session_alpha={}", world.fixtures.token("alpha/alice/main"));
    let key = world.fixtures.credentials["devKeys"]["alpha/valid"].as_str().unwrap();
    let headers = [
        ("cookie", cookie.as_str()),
        ("origin", "https://alpha.custom.example.net"),
        ("x-appwrite-dev-key", key),
    ];
    world.connect("alpha", "", &headers).expect("connected");
    let statements = server.log_lines("execute sqlx_s_");
    let statements: BTreeSet<&str> = statements
        .iter()
        .filter_map(|line| line.split_once(": SELECT "))
        .map(|(_, statement)| statement)
        .filter(|statement| statement.contains("FROM \"appwrite\""))
        .collect();
    assert!(statements.len() >= 7, "{statements:#?}");
    for statement in statements {
        let parameters = (1..9).filter(|number| statement.contains(&format!("${number}"))).count();
        let values = vec!["'x'"; parameters].join(", ");
        let plan = server.query(
            "production",
            &format!(
                "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan; \
                 PREPARE s AS SELECT {statement}; EXPLAIN EXECUTE s({values})"
            ),
        );
        assert!(plan.contains("Index") && !plan.contains("Seq Scan"), "{statement}: {plan}");
    }
}

/// `_1_users` and `_uid`, of a statement that reads or writes that table by that column.
fn table_and_filter(statement: &str) -> (String, String) {
    let (_, rest) = statement.split_once("`appwrite`.`").unwrap();
    let (table, rest) = rest.split_once('`').unwrap();
    let (_, filter) = rest.split_once(" WHERE ").unwrap();
    let filter = filter.split(" ORDER BY").next().unwrap();
    let columns: Vec<&str> = filter.split(" AND ").map(|term| term.split('`').nth(1).unwrap()).collect();
    (table.replace("_1_", "_N_"), columns.join("`, `"))
}

/// Asks until it is so.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never so: {what}");
    }
}

#[test]
fn a_wrong_key_missing_tables_and_a_wrong_password_are_told_with_what_to_do() {
    let server = MariadbServer::start();
    server.load("appwrite", &dump("appwrite-1.9.6.mariadb.sql"));
    server.query("CREATE DATABASE empty; CREATE USER stranger@'%' IDENTIFIED BY 'p4ss'");
    let installation =
        Installation { adapter: "mariadb", port: server.port(), schema: "appwrite", user: "root" };

    let world = World::new(&installation, &[("_APP_OPENSSL_KEY_V1", "a wrong key")]);
    let cookie = format!("a_session_alpha={}", world.fixtures.token("alpha/alice/main"));
    let first = world.connect("alpha", "", &[("cookie", &cookie)]).expect("connected");
    assert_eq!(first["data"]["user"], Value::Null, "a secret that cannot be opened proves nothing");
    world.node.wait_for_log("_APP_OPENSSL_KEY_V1");

    server.query("USE appwrite; DROP TABLE _1_targets; ALTER TABLE _1_users DROP COLUMN mfa; ALTER TABLE _1_users ADD COLUMN novel INT");
    let world = World::new(&installation, &[]);
    let (_, first) = world.connect_as("alpha", "alice", "cookie");
    assert_eq!(first["data"]["user"]["$id"], "alice", "half a migration: {first}");

    server.query("DROP DATABASE appwrite");
    let world = World::start(&Installation { schema: "empty", ..installation }, &[]);
    let told = world.node.wait_for_log("there is no table _console_projects");
    assert!(told.to_string().contains("_APP_DB_SCHEMA"), "{told}");
    assert_eq!(world.connect("alpha", "", &[]).expect("error")["data"]["code"], 503);

    let world =
        World::start(&Installation { user: "stranger", ..installation }, &[("_APP_DB_PASS", "wr0ng")]);
    let told = world.node.wait_for_log("Access denied");
    assert!(told.to_string().contains("_APP_DB_PASS") && !world.node.log().contains("wr0ng"), "{told}");
}

#[test]
fn an_installation_on_mariadb_is_read_as_appwrite_reads_it() {
    let mut server = MariadbServer::start();
    server.query("CREATE USER reader@'127.0.0.1'; GRANT SELECT ON *.* TO reader@'127.0.0.1'");
    for (release, found, schema) in
        [("1.6", "1.6", "old"), ("1.8", "1.8", "middle"), ("1.9.6", "1.9", "appwrite")]
    {
        server.load(schema, &dump(&format!("appwrite-{release}.mariadb.sql")));
        let installation = Installation { adapter: "mariadb", port: server.port(), schema, user: "reader" };
        let world = World::new(&installation, &[]);
        let told = world.node.wait_for_log("found the Appwrite installation");
        assert_eq!(told["appwrite"], found, "{told}");
        world.everybody_hears_what_appwrite_says();
        world.nobody_gains_what_is_not_theirs();
        world.the_console_is_for_its_members();
        world.origins_follow_platforms_and_rules();
    }
    let installation = Installation { adapter: "mysql", port: server.port(), schema: "old", user: "reader" };
    let world = World::new(&installation, &[]);
    let told = world.node.wait_for_log("found the Appwrite installation");
    assert_eq!(told["appwrite"], "1.9", "the schema `appwrite` comes before the one in the settings: {told}");

    server.kill();
    let refused = world.connect("Beta9", "", &[]).expect("error");
    assert_eq!(refused["data"]["message"], "The directory cannot answer at the moment. Try again later.");
    server.restart();
    let (_, first) = world.connect_as("alpha", "alice", "cookie");
    assert_eq!(first["data"]["user"]["$id"], "alice", "the server came back: {first}");
}

#[test]
fn an_installation_on_postgresql_is_read_as_appwrite_reads_it() {
    let server = PostgresServer::start();
    server.load("production", &dump("appwrite-main.postgres.sql"));
    server.query(
        "production",
        "CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA appwrite TO reader; \
         GRANT SELECT ON ALL TABLES IN SCHEMA appwrite TO reader",
    );
    let installation =
        Installation { adapter: "postgresql", port: server.port(), schema: "production", user: "reader" };
    let world = World::new(&installation, &[]);
    let told = world.node.wait_for_log("found the Appwrite installation");
    assert_eq!(told["appwrite"], "newer than 1.9", "{told}");
    world.everybody_hears_what_appwrite_says();
    world.nobody_gains_what_is_not_theirs();
    world.the_console_is_for_its_members();
    world.origins_follow_platforms_and_rules();
}

#[test]
fn text_that_postgresql_cannot_hold_names_nobody_and_is_no_outage() {
    let server = PostgresServer::start();
    server.load("production", &dump("appwrite-main.postgres.sql"));
    let installation =
        Installation { adapter: "postgresql", port: server.port(), schema: "production", user: "postgres" };
    let world = World::new(&installation, &[]);
    let refused = world.connect("al%00pha", "", &[]).expect("error");
    assert_eq!(refused["data"]["message"], "Missing or unknown project ID");
    let nobody = STANDARD.encode(r#"{"id":"ali\u0000ce","secret":"s"}"#);
    let first = world.connect("alpha", "", &[("x-appwrite-session", &nobody)]).expect("connected");
    assert_eq!(first["data"]["user"], Value::Null);
    assert!(!world.node.log().contains("cannot answer"), "{}", world.node.log());
}

/// The database has this certificate, and takes nobody without TLS.
fn a_link_is_encrypted_and_its_other_end_checked(installation: &Installation<'_>, certificate: &Certificate) {
    let trusted =
        [("REALTIME_DATABASE_TLS", "verify"), ("REALTIME_DATABASE_CERTIFICATES", certificate.chain())];
    for more in [&trusted[..], &[("REALTIME_DATABASE_TLS", "require")], &[]] {
        let world = World::new(installation, more);
        let (_, first) = world.connect_as("alpha", "alice", "cookie");
        assert_eq!(first["data"]["user"]["$id"], "alice", "{more:?}: {first}");
    }
    let distrusting = World::start(installation, &[("REALTIME_DATABASE_TLS", "verify")]);
    let told = distrusting.node.wait_for_log("certificate");
    assert!(told.to_string().contains("database.certificates"), "{told}");
    let open = World::start(installation, &[("REALTIME_DATABASE_TLS", "off")]);
    open.node.wait_for_log("cannot read the Appwrite installation");
}

#[test]
fn the_link_to_mariadb_is_encrypted_and_its_other_end_checked() {
    let certificate = Certificate::new();
    let (key, chain) =
        (format!("--ssl-key={}", certificate.key()), format!("--ssl-cert={}", certificate.chain()));
    let server = MariadbServer::start_with(&[&key, &chain, "--require-secure-transport=ON"]);
    server.load("appwrite", &dump("appwrite-1.9.6.mariadb.sql"));
    let installation =
        Installation { adapter: "mariadb", port: server.port(), schema: "appwrite", user: "root" };
    a_link_is_encrypted_and_its_other_end_checked(&installation, &certificate);
}

#[test]
fn the_link_to_postgresql_is_encrypted_and_its_other_end_checked() {
    let certificate = Certificate::new();
    let server = PostgresServer::start();
    server.load("production", &dump("appwrite-main.postgres.sql"));
    server.encrypt(&certificate);
    let installation =
        Installation { adapter: "postgresql", port: server.port(), schema: "production", user: "postgres" };
    a_link_is_encrypted_and_its_other_end_checked(&installation, &certificate);
}
