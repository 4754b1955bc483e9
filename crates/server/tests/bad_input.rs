//! Clients that break the rules of HTTP, and what it does to those that keep them: nothing.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Longer than any answer here takes; a test that reaches it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that is killed when the test ends, however it ends.
struct Server {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_realtime"))
            .args([
                "dev",
                "--json",
                "--listen",
                "127.0.0.1:0",
                "--limits-head-timeout",
                "300ms",
                "--data-dir",
            ])
            .arg(folder.path())
            .env_remove("PORT")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let facts: Value = serde_json::from_str(&line).expect("its first line is JSON");
        let endpoint = facts.get("endpoint").and_then(Value::as_str).unwrap();
        let address = endpoint.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
        Self { child, address, _folder: folder }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends this and reads until the server ends the connection.
    fn answer(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // A server that has heard enough may close while we are still writing.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Opens an event stream and returns its first message.
    fn listen(&self, query: &str) -> String {
        let mut stream = self.connect();
        let head =
            format!("GET /v1/realtime?{query} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
        // The body comes in chunks, so that a message stands on a line of its own.
        lines.find(|line| line.starts_with('{')).expect("something is said")
    }

    fn serves_a_good_client(&self) {
        let first = self.listen("project=demo&channels[]=documents");
        assert!(first.contains(r#""type":"connected""#), "{first}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let server = Server::start();
    let mut stream = server.connect();
    stream.write_all(b"GET /v1/realtime HTTP/1.1\r\nHost: ").unwrap();
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    assert!(ended.is_ok(), "the server ended it, not our patience: {ended:?}");
    server.serves_a_good_client();
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let server = Server::start();
    let head = format!("GET /v1/realtime?{} HTTP/1.1\r\nHost: x\r\n\r\n", "channels[]=x&".repeat(100_000));
    let answer = server.answer(head.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    server.serves_a_good_client();
}

#[test]
fn bytes_that_are_no_http_are_refused() {
    let server = Server::start();
    let answer = server.answer(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    server.serves_a_good_client();
}

#[test]
fn clients_that_vanish_in_the_handshake_do_not_stop_others() {
    let server = Server::start();
    for _ in 0..100 {
        let mut stream = server.connect();
        let upgrade = b"GET /v1/realtime?project=demo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(upgrade).unwrap();
    }
    server.serves_a_good_client();
}

#[test]
fn an_upgrade_with_a_wrong_key_is_a_problem_document() {
    let server = Server::start();
    let answer = server.answer(
        b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: short\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[test]
fn an_unknown_project_and_a_nested_query_are_refused_in_words() {
    let server = Server::start();
    let unknown = server.listen("project=nowhere&channels[]=documents");
    assert!(unknown.contains("1008") && unknown.contains("Missing or unknown project ID"), "{unknown}");
    let deep = format!("{}{}", r#"{"method":"and","values":["#.repeat(200), "]}".repeat(200));
    let encoded: String = deep.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let nested = server.listen(&format!("project=demo&channels[]=documents&documents[0][]={encoded}"));
    assert!(nested.contains("1008"), "{nested}");
    server.serves_a_good_client();
}
