//! NATS: receivers on its WebSocket, the publisher on its plain port; its settings are in `peers/nats.conf`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use super::{Contender, Publish};
use crate::BenchError;
use crate::dialogue::{Dialogue, Step};
use crate::program::{Folder, Program, free_address};
use crate::wire::{Framing, upgrade};

const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\n";

pub(super) fn start(nats: &Path) -> Result<Contender, BenchError> {
    let (folder, address, clients) = (Folder::new()?, free_address()?, free_address()?);
    let settings = include_str!("../../peers/nats.conf")
        .replace("ADDRESS", &address.to_string())
        .replace("CLIENTS", &clients.to_string());
    let settings = folder.put("nats.conf", &settings)?;
    let mut program = Program::start(Command::new(nats).arg("-c").arg(settings), folder)?;
    program.wait_for(address)?;
    program.wait_for(clients)?;
    let stream = TcpStream::connect(clients).map_err(BenchError::io("connect to", clients))?;
    stream.set_nodelay(true).map_err(BenchError::io("set up", "a connection"))?;
    let mut nats = Nats { stream: BufReader::new(stream) };
    nats.send(CONNECT.as_bytes())?;
    let hello = format!("{CONNECT}SUB bench 1\r\nPING\r\n");
    let dialogue = Dialogue::new(
        Framing::WebSocket,
        [Step::raw(upgrade("/", ""), b"INFO "), Step::binary(hello.into_bytes(), b"PONG")],
    );
    Ok(Contender { program, address, dialogue, publisher: Box::new(nats), _beside: None })
}

struct Nats {
    stream: BufReader<TcpStream>,
}

impl Nats {
    /// Sends, and waits until the server has read it all.
    fn send(&mut self, commands: &[u8]) -> Result<(), BenchError> {
        let io = || BenchError::io("publish to", "NATS");
        self.stream.get_mut().write_all(&[commands, b"PING\r\n"].concat()).map_err(io())?;
        let mut line = String::new();
        while !line.starts_with("PONG") {
            if line.starts_with("PING") {
                self.stream.get_mut().write_all(b"PONG\r\n").map_err(io())?;
            }
            line.clear();
            if self.stream.read_line(&mut line).map_err(io())? == 0 {
                return Err(BenchError::new("NATS closed the publisher's connection"));
            }
        }
        Ok(())
    }
}

impl Publish for Nats {
    fn publish(&mut self, payloads: &[String]) -> Result<(), BenchError> {
        let commands = payloads.iter().map(|payload| format!("PUB bench {}\r\n{payload}\r\n", payload.len()));
        self.send(commands.collect::<String>().as_bytes())
    }
}
