//! PocketBase: receivers by its server-sent events, each asking for a collection's records; an event is a record that is made.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Contender, Publish};
use crate::BenchError;
use crate::dialogue::{Dialogue, Step};
use crate::post::Post;
use crate::program::{Folder, Program, free_address};
use crate::wire::Framing;

/// The collection of `peers/pocketbase.json`.
const RECORDS: &str = "/api/collections/bench/records";
const EMAIL: &str = "bench@example.com";
const PASSWORD: &str = "a password for benchmarks";

/// Starts it; `None` if it is not among the installed peers.
pub(super) fn start(peers: &Path) -> Result<Option<Contender>, BenchError> {
    let program = peers.join("python/bin/pocketbase");
    if !program.exists() {
        return Ok(None);
    }
    let (folder, address) = (Folder::new()?, free_address()?);
    let data = folder.path().join("data");
    let made = Command::new(&program)
        .args(["superuser", "upsert", EMAIL, PASSWORD, "--dir"])
        .arg(&data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(BenchError::io("run", program.display()))?;
    if !made.success() {
        return Err(BenchError::new(format!("PocketBase made no administrator: {made}")));
    }
    let mut command = Command::new(&program);
    command.args(["serve", "--http", &address.to_string(), "--dir"]).arg(&data);
    let mut program = Program::start(&mut command, folder)?;
    program.wait_for(address)?;
    make_collection(address)?;
    let json = "Content-Type: application/json\r\n";
    let publisher = Box::new(PocketBase(Post::connect(address, RECORDS, json)?));
    let dialogue = Dialogue::new(
        Framing::Stream,
        [
            Step::raw(
                "GET /api/realtime HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n",
                b"\"}\n\n",
            )
            .capture("\"clientId\":\"", "\""),
            Step::post(
                "/api/realtime",
                r#"{"clientId":"%CAPTURED%","subscriptions":["bench/*"]}"#,
                b"204 No Content",
            ),
        ],
    );
    Ok(Some(Contender { program, address, dialogue, publisher, _beside: None }))
}

fn make_collection(address: std::net::SocketAddr) -> Result<(), BenchError> {
    let json = "Content-Type: application/json\r\n";
    let credentials = serde_json::json!({ "identity": EMAIL, "password": PASSWORD }).to_string();
    let answer = Post::connect(address, "", json)?
        .ask("/api/collections/_superusers/auth-with-password", &credentials)?;
    let answer: Value = serde_json::from_str(&answer)
        .map_err(|error| BenchError::new(format!("PocketBase answered {answer:?}: {error}")))?;
    let token = answer.get("token").and_then(Value::as_str).unwrap_or_default();
    let headers = format!("{json}Authorization: {token}\r\n");
    let collection = include_str!("../../peers/pocketbase.json");
    Post::connect(address, "", &headers)?.ask("/api/collections", collection).map(|_| ())
}

struct PocketBase(Post);

impl Publish for PocketBase {
    fn publish(&mut self, payloads: &[String]) -> Result<(), BenchError> {
        let bodies: Vec<String> = payloads.iter().map(|payload| format!(r#"{{"body":{payload}}}"#)).collect();
        self.0.send(&bodies)
    }
}
