//! This server: `realtime dev` with its demo project, or `realtime serve` on the same folder beside a Redis.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{Contender, Publish};
use crate::BenchError;
use crate::post::Post;
use crate::program::{Folder, Program, free_address};
use crate::swarm::Dialogue;
use crate::wire::{Framing, masked, upgrade};

/// Where Appwrite publishes.
const REDIS_CHANNEL: &str = "realtime";
const CHANNEL: &str = "documents";

/// How clients subscribe and events come in.
#[derive(Debug)]
pub(super) enum Way {
    Message,
    Url,
    Stream,
    Redis(PathBuf),
}

pub(super) fn start(binary: &Path, way: Way) -> Result<Contender, BenchError> {
    let (mut program, facts) = dev(binary)?;
    let text = |name: &str| facts.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let endpoint = text("endpoint");
    let address = endpoint.trim_start_matches("http://").trim_end_matches("/v1");
    let mut address: SocketAddr =
        address.parse().map_err(|_| BenchError::new(format!("`{endpoint}` is no address")))?;
    let (mut beside, publisher): (_, Box<dyn Publish>) = if let Way::Redis(redis) = &way {
        let (redis, bus) = start_redis(redis)?;
        address = free_address()?;
        program = serve(binary, program.stop(), address, bus)?;
        program.wait_for(address)?;
        let stream = TcpStream::connect(bus).map_err(BenchError::io("connect to", bus))?;
        (Some(redis), Box::new(Redis { stream: BufReader::new(stream) }))
    } else {
        let headers = format!("X-Appwrite-Project: demo\r\nX-Appwrite-Key: {}\r\n", text("apiKey"));
        (None, Box::new(Http(Post::connect(address, "/v1/realtime/events", &headers)?)))
    };
    Ok(Contender {
        program,
        address,
        dialogue: Box::new(move |number| dialogue(&way, number)),
        publisher,
        _beside: beside.take(),
    })
}

fn settings(command: &mut Command) -> &mut Command {
    command.args(["--limits-enabled", "false", "--log-level", "error"])
}

fn dev(binary: &Path) -> Result<(Program, Value), BenchError> {
    let folder = Folder::new()?;
    let mut command = Command::new(binary);
    settings(command.args(["dev", "--json", "--listen", "127.0.0.1:0"])).arg("--data-dir").arg(folder.path());
    let mut program = Program::start(&mut command, folder)?;
    let mut line = String::new();
    if let Some(output) = program.output() {
        BufReader::new(output)
            .read_line(&mut line)
            .map_err(BenchError::io("read", "what the server says"))?;
    }
    let facts = serde_json::from_str(&line)
        .map_err(|error| BenchError::new(format!("the server did not start: {error}")))?;
    Ok((program, facts))
}

fn serve(binary: &Path, folder: Folder, address: SocketAddr, bus: SocketAddr) -> Result<Program, BenchError> {
    let mut command = Command::new(binary);
    settings(command.args(["serve", "--bus", "redis"]))
        .args(["--listen", &address.to_string(), "--redis-url", &format!("redis://{bus}")])
        .arg("--data-dir")
        .arg(folder.path());
    Program::start(&mut command, folder)
}

fn start_redis(redis: &Path) -> Result<(Program, SocketAddr), BenchError> {
    let (folder, address) = (Folder::new()?, free_address()?);
    let mut command = Command::new(redis);
    command
        .args(["--bind", "127.0.0.1", "--save", "", "--port", &address.port().to_string(), "--dir"])
        .arg(folder.path());
    let mut program = Program::start(&mut command, folder)?;
    program.wait_for(address)?;
    Ok((program, address))
}

fn dialogue(way: &Way, number: usize) -> Dialogue {
    let path = format!("/v1/realtime?project=demo&channels[]={CHANNEL}");
    match way {
        Way::Message | Way::Redis(_) => {
            let subscribe = format!(
                r#"{{"type":"subscribe","data":[{{"subscriptionId":"bench-{number:014}","channels":["{CHANNEL}"]}}]}}"#
            );
            let steps = vec![
                (upgrade("/v1/realtime?project=demo", ""), &br#""type":"connected""#[..]),
                (masked(0x81, subscribe.as_bytes()), br#""to":"subscribe""#),
            ];
            Dialogue { steps, framing: Framing::WebSocket }
        }
        Way::Url => Dialogue {
            steps: vec![(upgrade(&path, ""), br#""type":"connected""#)],
            framing: Framing::WebSocket,
        },
        Way::Stream => {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n");
            Dialogue {
                steps: vec![(request.into_bytes(), br#""type":"connected""#)],
                framing: Framing::Stream,
            }
        }
    }
}

struct Http(Post);

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

struct Redis {
    stream: BufReader<TcpStream>,
}

impl Publish for Redis {
    fn publish(&mut self, payloads: &[String]) -> Result<(), BenchError> {
        let io = || BenchError::io("publish to", "Redis");
        let mut commands = Vec::new();
        for payload in payloads {
            let around =
                json!({ "project": "demo", "roles": ["any"], "permissionsChanged": false, "userId": null });
            let around = around.to_string();
            let message = format!(
                r#"{},"data":{{"events":["documents.D.update"],"channels":["{CHANNEL}"],"timestamp":"2026-08-21T10:15:30.123+00:00","payload":{payload}}}}}"#,
                around.trim_end_matches('}')
            );
            let command = format!(
                "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{REDIS_CHANNEL}\r\n${}\r\n{message}\r\n",
                REDIS_CHANNEL.len(),
                message.len()
            );
            commands.extend_from_slice(command.as_bytes());
        }
        self.stream.get_mut().write_all(&commands).map_err(io())?;
        for _ in payloads {
            let mut answer = String::new();
            self.stream.read_line(&mut answer).map_err(io())?;
            if !answer.starts_with(':') {
                return Err(BenchError::new(format!("Redis answered {answer:?}")));
            }
        }
        Ok(())
    }
}
