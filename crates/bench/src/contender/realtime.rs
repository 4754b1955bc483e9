//! This server: `realtime dev` with its demo project, or several of `realtime serve` on the same folder beside a Redis.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Contender, Publish};
use crate::BenchError;
use crate::dialogue::{Dialogue, Step};
use crate::post::Post;
use crate::program::{Folder, Program, free_address};
use crate::wire::{Framing, upgrade};

/// Where Appwrite publishes.
pub(crate) const REDIS_CHANNEL: &str = "realtime";
/// What all clients of a fan-out listen to.
const CHANNEL: &str = "documents";
/// Signs JWTs of users of a backend.
pub(crate) const SECRET: &str = "a secret of at least thirty-two bytes, for benchmarks";

/// How clients subscribe and events come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Message,
    Url,
    Stream,
    Redis,
}

/// Starts it; `subscriptions` is how many each client makes.
pub(super) fn start(binary: &Path, way: Way, subscriptions: usize) -> Result<Option<Contender>, BenchError> {
    let dialogue = dialogue(way, subscriptions);
    if way == Way::Redis {
        let Some(Cluster { nodes, bus, beside }) = Cluster::start(binary, 1, &[])? else { return Ok(None) };
        let Some(node) = nodes.into_iter().next() else { return Ok(None) };
        return Ok(Some(Contender {
            program: node.program,
            address: node.address,
            dialogue,
            publisher: Box::new(bus),
            _beside: Some(beside),
        }));
    }
    let node = Node::dev(binary, &[])?;
    let publisher = Box::new(node.http()?);
    Ok(Some(Contender { program: node.program, address: node.address, dialogue, publisher, _beside: None }))
}

/// One server.
pub(crate) struct Node {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
    facts: Value,
}

impl Node {
    /// A server with a demo project and memory as its bus.
    pub(crate) fn dev(binary: &Path, more: &[&str]) -> Result<Self, BenchError> {
        let (folder, address) = (Folder::new()?, free_address()?);
        let mut command = Command::new(binary);
        settings(command.args(["dev", "--json", "--listen", &address.to_string()]))
            .args(more)
            .arg("--data-dir")
            .arg(folder.path());
        let mut program = Program::start(&mut command, folder)?;
        let mut line = String::new();
        if let Some(output) = program.output() {
            BufReader::new(output)
                .read_line(&mut line)
                .map_err(BenchError::io("read", "what the server says"))?;
        }
        let facts: Value = serde_json::from_str(&line)
            .map_err(|error| BenchError::new(format!("the server did not start: {error}")))?;
        program.wait_for(address)?;
        Ok(Self { program, address, facts })
    }

    /// A server on a data folder that is there.
    pub(crate) fn serve(binary: &Path, data: &Path, more: &[&str]) -> Result<Self, BenchError> {
        let address = free_address()?;
        let mut command = Command::new(binary);
        settings(command.args(["serve", "--listen", &address.to_string()]))
            .args(more)
            .arg("--data-dir")
            .arg(data);
        Ok(Self { program: Program::start(&mut command, Folder::new()?)?, address, facts: Value::Null })
    }

    /// What `realtime dev` says of itself.
    pub(crate) fn fact(&self, pointer: &str) -> &str {
        self.facts.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn http(&self) -> Result<Http, BenchError> {
        let headers = format!("X-Appwrite-Project: demo\r\nX-Appwrite-Key: {}\r\n", self.fact("/apiKey"));
        Ok(Http(Post::connect(self.address, "/v1/realtime/events", &headers)?))
    }
}

/// Servers on one Redis.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) bus: Bus,
    pub(crate) beside: Beside,
}

/// What a cluster needs to run.
pub(crate) struct Beside {
    _redis: Program,
    _data: Folder,
}

impl Cluster {
    /// `None` if there is no Redis.
    pub(crate) fn start(binary: &Path, size: usize, more: &[&str]) -> Result<Option<Self>, BenchError> {
        let Some((redis, address)) = start_redis()? else { return Ok(None) };
        // Makes the project.
        let data = Node::dev(binary, &[])?.program.stop();
        let url = format!("redis://{address}");
        let more: Vec<&str> = ["--bus", "redis", "--redis-url", &url].iter().chain(more).copied().collect();
        let mut nodes = Vec::new();
        for _ in 0..size {
            let mut node = Node::serve(binary, data.path(), &more)?;
            node.program.wait_for(node.address)?;
            nodes.push(node);
        }
        let bus = Bus::connect(address)?;
        Ok(Some(Self { nodes, bus, beside: Beside { _redis: redis, _data: data } }))
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }
}

fn settings(command: &mut Command) -> &mut Command {
    command.env("REALTIME_JWT_HS256_SECRET", SECRET).args([
        "--limits-enabled",
        "false",
        "--log-level",
        "error",
    ])
}

/// A Redis that keeps nothing; `None` if it is not installed.
fn start_redis() -> Result<Option<(Program, SocketAddr)>, BenchError> {
    let Some(redis) = crate::program::find("redis-server") else { return Ok(None) };
    let (folder, address) = (Folder::new()?, free_address()?);
    let mut command = Command::new(redis);
    command
        // Clients come from several loopback addresses, which Redis mistakes for other machines.
        .args(["--bind", "127.0.0.1", "--protected-mode", "no", "--save", ""])
        .args(["--port", &address.port().to_string(), "--dir"])
        .arg(folder.path());
    let mut program = Program::start(&mut command, folder)?;
    program.wait_for(address)?;
    Ok(Some((program, address)))
}

/// The message that makes subscriptions: one to what all listen to, the others each to a document of its own.
fn subscribe(subscriptions: usize) -> Step {
    let item = |id: String, channel: String| json!({ "subscriptionId": id, "channels": [channel] });
    let mut items = vec![item("bench-%NUMBER%".to_owned(), CHANNEL.to_owned())];
    items.extend((1..subscriptions).map(|further| {
        let channel = format!("databases.main.collections.notes.documents.%NUMBER%{further:06}");
        item(format!("b{further:05}%NUMBER%"), channel)
    }));
    Step::text(json!({ "type": "subscribe", "data": items }).to_string(), br#""to":"subscribe""#)
}

/// What is waited for until a client is let in.
pub(crate) const CONNECTED: &[u8] = br#""type":"connected""#;

/// The handshake of a guest who subscribes later.
pub(crate) fn hello() -> Step {
    hello_with("")
}

/// The same of somebody whom headers name.
pub(crate) fn hello_with(headers: &str) -> Step {
    Step::raw(upgrade("/v1/realtime?project=demo", headers), CONNECTED)
}

/// The handshake of a guest, or with headers of somebody else, who subscribes to a channel in the URL.
pub(crate) fn hello_to(channel: &str, headers: &str) -> Step {
    let path = format!("/v1/realtime?project=demo&channels[]={channel}");
    Step::raw(upgrade(&path, headers), CONNECTED)
}

fn dialogue(way: Way, subscriptions: usize) -> Dialogue {
    match way {
        Way::Message | Way::Redis => member(subscriptions),
        Way::Url => Dialogue::new(Framing::WebSocket, [hello_to(CHANNEL, "")]),
        Way::Stream => {
            let request = format!(
                "GET /v1/realtime?project=demo&channels[]={CHANNEL} HTTP/1.1\r\nHost: 127.0.0.1\r\n\
                 Accept: text/event-stream\r\n\r\n"
            );
            Dialogue::new(Framing::Stream, [Step::raw(request, CONNECTED)])
        }
    }
}

/// A client who makes so many subscriptions by a message.
pub(crate) fn member(subscriptions: usize) -> Dialogue {
    Dialogue::new(Framing::WebSocket, [hello(), subscribe(subscriptions)])
}

/// A client who listens to a channel, by a message.
pub(crate) fn listener(channel: &str) -> Step {
    let items = json!([{ "subscriptionId": "bench-%NUMBER%", "channels": [channel] }]);
    Step::text(json!({ "type": "subscribe", "data": items }).to_string(), br#""to":"subscribe""#)
}

/// Publishing over HTTP.
pub(crate) struct Http(Post);

impl Publish for Http {
    fn publish(&mut self, payloads: &[String]) -> Result<(), BenchError> {
        let events: Vec<String> = payloads
            .iter()
            .map(|payload| format!(r#"{{"channels":["{CHANNEL}"],"roles":["any"],"payload":{payload}}}"#))
            .collect();
        let body = match events.as_slice() {
            [event] => event.clone(),
            events => format!("[{}]", events.join(",")),
        };
        self.0.send(&[body])
    }
}

/// Publishing over Redis.
pub(crate) struct Bus {
    pub(crate) address: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Bus {
    fn connect(address: SocketAddr) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(address).map_err(BenchError::io("connect to", address))?;
        stream.set_nodelay(true).map_err(BenchError::io("set up", "a connection"))?;
        Ok(Self { address, stream: BufReader::new(stream) })
    }

    /// Publishes texts on a channel of Redis.
    pub(crate) fn send(&mut self, channel: &str, texts: &[String]) -> Result<(), BenchError> {
        let io = || BenchError::io("publish to", "Redis");
        let mut commands = Vec::new();
        for text in texts {
            let command = format!(
                "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n{text}\r\n",
                channel.len(),
                text.len()
            );
            commands.extend_from_slice(command.as_bytes());
        }
        self.stream.get_mut().write_all(&commands).map_err(io())?;
        for _ in texts {
            let mut answer = String::new();
            self.stream.read_line(&mut answer).map_err(io())?;
            if !answer.starts_with(':') {
                return Err(BenchError::new(format!("Redis answered {answer:?}")));
            }
        }
        Ok(())
    }
}

/// An event as Appwrite publishes it.
pub(crate) fn message(channel: &str, role: &str, payload: &str) -> String {
    let around = json!({ "project": "demo", "roles": [role], "permissionsChanged": false, "userId": null });
    let around = around.to_string();
    format!(
        r#"{},"data":{{"events":["documents.D.update"],"channels":["{channel}"],"timestamp":"2026-08-21T10:15:30.123+00:00","payload":{payload}}}}}"#,
        around.trim_end_matches('}')
    )
}

impl Publish for Bus {
    fn publish(&mut self, payloads: &[String]) -> Result<(), BenchError> {
        let messages: Vec<String> = payloads.iter().map(|payload| message(CHANNEL, "any", payload)).collect();
        self.send(REDIS_CHANNEL, &messages)
    }
}
