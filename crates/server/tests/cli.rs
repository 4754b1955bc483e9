//! The `realtime` binary as somebody types it, on a data folder of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

fn realtime(data_dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_realtime"))
        .args(arguments)
        .args(["--data-dir", data_dir.to_str().unwrap()])
        .env_remove("PORT")
        .output()
        .expect("the binary runs")
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it printed JSON")
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

/// A server that is killed when the test ends, however it ends.
struct Server {
    child: Child,
    facts: Value,
}

impl Server {
    fn dev(data_dir: &Path) -> Self {
        Self::start(data_dir, Stdio::null(), &["--listen", "127.0.0.1:0"], None)
    }

    fn start(data_dir: &Path, logs: Stdio, arguments: &[&str], port: Option<u16>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime"));
        command.args(["dev", "--json", "--drain", "10ms", "--data-dir"]).arg(data_dir).args(arguments);
        match port {
            Some(port) => command.env("PORT", port.to_string()),
            None => command.env_remove("PORT"),
        };
        let mut child = command.stdout(Stdio::piped()).stderr(logs).spawn().expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, facts: serde_json::from_str(&line).expect("its first line is JSON") }
    }
}

impl Server {
    /// Tells it to stop, and waits until it has.
    fn stop(&mut self) {
        let told = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success() && self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn what_is_created_is_listed_and_what_is_removed_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let made = json(&realtime(data, &["project", "create", "--id", "shop", "--json"]));
    assert_eq!(text(&made, "/id"), "shop");
    let user = ["user", "create", "--project", "shop", "--id", "bob", "--label", "vip", "--json"];
    assert_eq!(text(&json(&realtime(data, &user)), "/labels/0"), "vip");
    let session = ["session", "create", "--project", "shop", "--user", "bob", "--json"];
    assert!(text(&json(&realtime(data, &session)), "/token").len() > 100);
    let key = ["key", "create", "--project", "shop", "--json"];
    assert!(text(&json(&realtime(data, &key)), "/secret").starts_with("standard_"));
    let platform = ["platform", "create", "--project", "shop", "--hostname", "app.example.com", "--json"];
    assert_eq!(text(&json(&realtime(data, &platform)), "/hostname"), "app.example.com");
    let team = ["team", "create", "--project", "shop", "--id", "red", "--json"];
    assert_eq!(text(&json(&realtime(data, &team)), "/id"), "red");
    let member = ["team", "add-member", "--project", "shop", "--team", "red", "--user", "bob", "--json"];
    assert_eq!(json(&realtime(data, &member)).pointer("/confirmed"), Some(&Value::Bool(true)));

    let users = || json(&realtime(data, &["user", "list", "--project", "shop", "--json"]));
    assert_eq!(text(&users(), "/0/id"), "bob");
    assert!(realtime(data, &["user", "remove", "bob", "--project", "shop", "--dry-run"]).status.success());
    assert_eq!(text(&users(), "/0/id"), "bob", "a dry run removes nothing");
    assert!(realtime(data, &["user", "remove", "bob", "--project", "shop"]).status.success());
    assert_eq!(users(), Value::Array(vec![]));
}

#[test]
fn what_is_not_there_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    json(&realtime(folder.path(), &["project", "create", "--id", "shop", "--json"]));
    let output = realtime(folder.path(), &["user", "create", "--project", "nowhere", "--id", "bob"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("nowhere") && said.contains("realtime project list"), "{said}");
    assert_eq!(realtime(folder.path(), &["user", "crate"]).status.code(), Some(2), "a usage error");
    assert_eq!(
        realtime(folder.path(), &["publish", "--key", "k"]).status.code(),
        Some(2),
        "nothing to publish"
    );
}

#[test]
fn a_command_in_the_wrong_folder_says_so_and_makes_nothing_there() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("elsewhere");
    for command in
        [&["user", "list"][..], &["token", "create", "--user", "bob"], &["explain", "--event", "x"]]
    {
        let output = realtime(&elsewhere, command);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("elsewhere") && said.contains("--data-dir"), "{said}");
    }
    assert!(!elsewhere.exists());
}

#[test]
fn a_dry_run_says_whether_there_is_something_to_remove() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    json(&realtime(data, &["project", "create", "--id", "shop", "--json"]));
    for (what, id, rest) in [
        ("user", "u", &[][..]),
        ("team", "t", &[]),
        ("platform", "p", &["--hostname", "app.example.com"]),
        ("key", "k", &[]),
    ] {
        let create = [what, "create", "--project", "shop", "--id", id, "--json"];
        json(&realtime(data, &[&create[..], rest].concat()));
        let remove = |id, dry: &[&str]| {
            realtime(data, &[&[what, "remove", id, "--project", "shop", "--json"], dry].concat())
        };
        assert_eq!(remove("nobody", &["--dry-run"]).status.code(), Some(1));
        assert_eq!(json(&remove(id, &["--dry-run"])).pointer("/removed"), Some(&Value::Bool(false)));
        assert_eq!(json(&remove(id, &[])).pointer("/removed"), Some(&Value::Bool(true)));
        assert_eq!(remove(id, &[]).status.code(), Some(1), "it is gone");
    }
}

#[test]
fn a_token_that_the_server_would_not_take_is_not_issued() {
    let folder = tempfile::tempdir().unwrap();
    json(&realtime(folder.path(), &["project", "create", "--id", "shop", "--json"]));
    let token = ["token", "create", "--user", "bob", "--json"];
    assert!(text(&json(&realtime(folder.path(), &token)), "/token").starts_with("ey"));
    let output = realtime(folder.path(), &[&token[..], &["--lasts", "2h"]].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("an hour at most"));
}

/// A listener that is subscribed by now.
fn listener(server: &Server, arguments: &[&str]) -> Child {
    let mut listener = Command::new(env!("CARGO_BIN_EXE_realtime"))
        .args(["listen", "account", "--endpoint", text(&server.facts, "/endpoint")])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(listener.stderr.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.contains("listening to account"), "{ready}");
    listener
}

fn publish_of_alice(server: &Server) {
    let published = Command::new(env!("CARGO_BIN_EXE_realtime"))
        .args(["publish", "--event", "users.alice.update", "--payload", r#"{"$id":"alice","name":"Al"}"#])
        .args(["--endpoint", text(&server.facts, "/endpoint"), "--key", text(&server.facts, "/apiKey")])
        .arg("--json")
        .output()
        .unwrap();
    assert_eq!(json(&published).pointer("/events/0/published"), Some(&Value::Bool(true)));
}

#[test]
fn an_event_published_from_the_shell_is_printed_by_a_listener() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::dev(folder.path());
    let listener = listener(&server, &["--count", "1", "--session", text(&server.facts, "/user/session")]);
    publish_of_alice(&server);
    let heard = listener.wait_with_output().unwrap();
    let line = String::from_utf8_lossy(&heard.stdout);
    assert!(line.contains("users.alice.update") && line.contains(r#""name":"Al""#), "{line}");
}

#[test]
fn a_listener_ends_when_nobody_reads_what_it_prints() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::dev(folder.path());
    let mut listener = listener(&server, &["--jwt", text(&server.facts, "/user/jwt")]);
    drop(listener.stdout.take());
    publish_of_alice(&server);
    assert!(listener.wait().unwrap().success());
}

#[test]
fn a_listener_gives_up_when_coming_back_is_of_no_use_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::dev(folder.path());
    for (arguments, why) in [
        (["--query", r#"{"method":"nope"}"#], "nope"),
        (["--jwt", "not.a.token"], "JWT"),
        (["--project", "nowhere"], "project"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_realtime"))
            .args(["listen", "account", "--endpoint", text(&server.facts, "/endpoint")])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("the server refuses") && said.contains(why), "{said}");
    }
}

#[test]
fn logs_are_json_tell_totals_and_each_event_and_never_a_credential() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let logs = std::fs::File::create(&path).unwrap();
    let flags = ["--listen", "127.0.0.1:0", "--log-format", "json", "--log-level", "debug", "--shards", "1"];
    let mut server = Server::start(folder.path(), logs.into(), &flags, None);
    let facts = server.facts.clone();
    for (flag, credential) in [("--session", "/user/session"), ("--jwt", "/user/jwt")] {
        let listener = listener(&server, &["--count", "1", flag, text(&facts, credential)]);
        publish_of_alice(&server);
        assert!(listener.wait_with_output().unwrap().status.success());
    }
    server.stop();
    let log = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let first = |message: &str| {
        let found = lines.iter().find(|line| line.get("message").and_then(Value::as_str) == Some(message));
        found.unwrap_or_else(|| panic!("no {message:?} in {log}"))
    };
    assert!(first("server started").get("address").is_some());
    assert_eq!(first("shard started").get("shard"), Some(&Value::from(0)));
    assert_eq!(first("connection opened").get("total"), Some(&Value::from(1)));
    assert_eq!(first("connection closed").get("total"), Some(&Value::from(0)));
    assert!(first("event received").get("event").is_some());
    assert!(first("message sent").get("connection").is_some());
    first("server stopped");
    let key = std::fs::read_to_string(folder.path().join("secret.key")).unwrap();
    let secrets = ["/apiKey", "/user/session", "/user/jwt"].map(|pointer| text(&facts, pointer));
    for secret in secrets.into_iter().chain([key.as_str(), r#""Al""#, "db.statement"]) {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn dev_makes_new_credentials_when_the_database_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let first = text(&Server::dev(folder.path()).facts, "/apiKey").to_owned();
    for file in ["realtime.db", "realtime.db-wal", "realtime.db-shm"] {
        drop(std::fs::remove_file(folder.path().join(file)));
    }
    let server = Server::dev(folder.path());
    assert_ne!(text(&server.facts, "/apiKey"), first);
    publish_of_alice(&server);
}

#[test]
fn dev_stays_on_this_machine_though_the_environment_names_a_port() {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let logs = folder.path().join("log");
    let mut server = Server::start(
        folder.path(),
        std::fs::File::create(&logs).unwrap().into(),
        &["--log-format", "json"],
        Some(port),
    );
    server.stop();
    let log = std::fs::read_to_string(&logs).unwrap();
    assert!(log.contains(&format!("\"address\":\"127.0.0.1:{port}\"")), "{log}");
}

#[test]
fn a_second_start_of_dev_shows_the_same_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let first = text(&Server::dev(folder.path()).facts, "/apiKey").to_owned();
    assert_eq!(text(&Server::dev(folder.path()).facts, "/apiKey"), first);
}

#[test]
fn explain_tells_who_gets_an_event_and_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    json(&realtime(data, &["project", "create", "--id", "demo", "--json"]));
    let event =
        ["explain", "--event", "databases.d.collections.c.documents.x.create", "--payload", r#"{"$id":"x"}"#];
    let answer = |permission: &str| {
        let client = ["--permission", permission, "--listen", "documents", "--json"];
        json(&realtime(data, &[&event[..], &client].concat()))
    };
    assert_eq!(answer(r#"read("any")"#).pointer("/delivered"), Some(&Value::Bool(true)));
    let refused = answer(r#"read("team:red")"#);
    assert!(text(&refused, "/verdict").contains("no role in common"), "{refused}");
    assert!(text(&refused, "/verdict").contains("guests"), "{refused}");
    assert_eq!(text(&refused, "/client/channels/0"), "documents");
    assert_eq!(text(&refused, "/client/roles/0"), "guests");
    let silent = ["explain", "--event", "databases.d.create", "--payload", r#"{"$id":"d"}"#, "--json"];
    let unpublished = json(&realtime(data, &silent));
    assert_eq!(unpublished.pointer("/published"), Some(&Value::Bool(false)), "{unpublished}");
    let dotted = ["--param", "userId=john.doe", "--payload", r#"{"$id":"john.doe"}"#, "--json"];
    let derived =
        json(&realtime(data, &[&["explain", "--event", "users.[userId].update"], &dotted[..]].concat()));
    assert_eq!(text(&derived, "/roles/0"), "user:john.doe");
}

#[test]
fn check_shows_where_values_come_from_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_realtime"))
        .args(["check", "--json", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .env_remove("PORT")
        .env("_APP_OPENSSL_KEY_V1", "do-not-print-me")
        .output()
        .unwrap();
    let facts = json(&output);
    assert_eq!(text(&facts, "/settings/listen/source"), "flag");
    assert_eq!(text(&facts, "/settings/secret/source"), "_APP_OPENSSL_KEY_V1");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("do-not-print-me"));
    let bad =
        Command::new(env!("CARGO_BIN_EXE_realtime")).args(["check", "--shards", "many"]).output().unwrap();
    assert_eq!(bad.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("`shards` cannot be \"many\""));
}

#[test]
fn check_tells_what_would_keep_a_server_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let check = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_realtime"))
            .args(["check", "--data-dir", folder.path().to_str().unwrap(), "--listen"])
            .args(arguments)
            .env_remove("PORT")
            .env("REALTIME_REGOIN", "fra")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = check(&[&address]);
    assert!(code == Some(1) && said.contains(&address) && said.contains("--listen"), "{said}");
    let (code, said) = check(&["127.0.0.1:0", "--jwt-public-keys", "missing.pem"]);
    assert!(code == Some(1) && said.contains("missing.pem") && said.contains("jwt.public_keys"), "{said}");
    let (code, said) = check(&["127.0.0.1:0"]);
    assert!(code == Some(0) && said.contains("did you mean REALTIME_REGION"), "{said}");
}
