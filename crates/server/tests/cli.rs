//! The `realtime` binary as somebody types it, on a data folder of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::io::{BufRead, BufReader};
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
        let mut child = Command::new(env!("CARGO_BIN_EXE_realtime"))
            .args(["dev", "--json", "--listen", "127.0.0.1:0", "--drain", "10ms", "--data-dir"])
            .arg(data_dir)
            .env_remove("PORT")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, facts: serde_json::from_str(&line).expect("its first line is JSON") }
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
    let output = realtime(folder.path(), &["user", "create", "--project", "nowhere", "--id", "bob"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("nowhere") && said.contains("realtime project list"), "{said}");
    assert_eq!(realtime(folder.path(), &["user", "crate"]).status.code(), Some(2), "a usage error");
}

#[test]
fn an_event_published_from_the_shell_is_printed_by_a_listener() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::dev(folder.path());
    let endpoint = text(&server.facts, "/endpoint");
    let mut listener = Command::new(env!("CARGO_BIN_EXE_realtime"))
        .args(["listen", "account", "--count", "1", "--endpoint", endpoint])
        .args(["--session", text(&server.facts, "/user/session")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(listener.stderr.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.contains("listening to account"), "{ready}");
    let published = Command::new(env!("CARGO_BIN_EXE_realtime"))
        .args(["publish", "--event", "users.alice.update", "--payload", r#"{"$id":"alice","name":"Al"}"#])
        .args(["--endpoint", endpoint, "--key", text(&server.facts, "/apiKey"), "--json"])
        .output()
        .unwrap();
    assert_eq!(json(&published).pointer("/events/0/published"), Some(&Value::Bool(true)));
    let heard = listener.wait_with_output().unwrap();
    let line = String::from_utf8_lossy(&heard.stdout);
    assert!(line.contains("users.alice.update") && line.contains(r#""name":"Al""#), "{line}");
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
