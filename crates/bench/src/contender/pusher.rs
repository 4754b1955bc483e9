//! Servers of the Pusher protocol: Soketi on Node.js, and Sockudo; their settings are in `peers/`.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::{Contender, Publish};
use crate::BenchError;
use crate::dialogue::{Dialogue, Step, sign};
use crate::post::Post;
use crate::program::{Folder, Program, find, free_address};
use crate::wire::{Framing, upgrade};

/// The application in the settings.
const KEY: &str = "bench-key";
const SECRET: &str = "bench-secret";
/// Events of one request, at most (Pusher's HTTP API, `batch_events`).
const BATCH: usize = 10;

#[derive(Debug, Clone, Copy)]
pub(super) enum Server {
    Soketi,
    Sockudo,
}

/// Starts it; `None` if it is not among the installed peers.
pub(super) fn start(peers: &Path, server: Server) -> Result<Option<Contender>, BenchError> {
    let (folder, address, metrics) = (Folder::new()?, free_address()?, free_address()?);
    let settings = match server {
        Server::Soketi => include_str!("../../peers/soketi.json"),
        Server::Sockudo => include_str!("../../peers/sockudo.json"),
    };
    let settings =
        settings.replace("PORT", &address.port().to_string()).replace("METRICS", &metrics.port().to_string());
    let settings = folder.put("settings.json", &settings)?;
    let mut command = match server {
        Server::Soketi => {
            let script = peers.join("node_modules/@soketi/soketi/bin/server.js");
            let Some(node) = find("node").filter(|_| script.exists()) else { return Ok(None) };
            let mut command = Command::new(node);
            command.env("NODE_ENV", "production").arg(script).arg("start");
            command.arg(format!("--config={}", settings.display()));
            command
        }
        Server::Sockudo => {
            let program = peers.join("bin/sockudo");
            if !program.exists() {
                return Ok(None);
            }
            let mut command = Command::new(program);
            command.arg("--config").arg(settings).env("RUST_LOG", "error");
            command
        }
    };
    let mut program = Program::start(&mut command, folder)?;
    program.wait_for(address)?;
    let publisher = Box::new(Pusher(Post::connect(address, "", "Content-Type: application/json\r\n")?));
    let subscribe = json!({ "event": "pusher:subscribe", "data": { "channel": "bench" } });
    let dialogue = Dialogue::new(
        Framing::WebSocket,
        [
            Step::raw(
                upgrade(&format!("/app/{KEY}?protocol=7&client=js&version=8.4.0"), ""),
                b"connection_established",
            ),
            Step::text(subscribe.to_string(), b"subscription_succeeded"),
        ],
    );
    Ok(Some(Contender { program, address, dialogue, publisher, _beside: None }))
}

struct Pusher(Post);

impl Publish for Pusher {
    fn publish(&mut self, payloads: &[String]) -> Result<(), BenchError> {
        let requests: Vec<(String, String)> = match payloads {
            [payload] => {
                let body = json!({ "name": "event", "channels": ["bench"], "data": payload });
                vec![signed("/apps/bench/events", &body)]
            }
            payloads => {
                let event =
                    |payload: &String| json!({ "name": "event", "channel": "bench", "data": payload });
                let batch = |payloads: &[String]| json!({ "batch": payloads.iter().map(event).collect::<Vec<Value>>() });
                let bodies = payloads.chunks(BATCH).map(batch);
                bodies.map(|body| signed("/apps/bench/batch_events", &body)).collect()
            }
        };
        // One after another: not every server of this protocol reads a request before it has answered the last.
        requests.into_iter().try_for_each(|request| self.0.send_to(&[request]))
    }
}

/// Path and body of a request, with the signature that Pusher's HTTP API asks for.
fn signed(path: &str, body: &Value) -> (String, String) {
    let body = body.to_string();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let query = format!(
        "auth_key={KEY}&auth_timestamp={now}&auth_version=1.0&body_md5={}",
        hex(&Md5::digest(body.as_bytes()))
    );
    let signature = hex(&sign(SECRET, format!("POST\n{path}\n{query}").as_bytes()));
    (format!("{path}?{query}&auth_signature={signature}"), body)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
