//! Mosquitto: MQTT 3.1.1 over WebSocket for the receivers; its settings are in `peers/mosquitto.conf`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use super::{Contender, Publish};
use crate::BenchError;
use crate::dialogue::{Dialogue, Step};
use crate::program::{Folder, Program, free_address};
use crate::wire::{Framing, upgrade};

const TOPIC: &[u8] = b"bench";
/// CONNACK: accepted, no session.
const CONNECTED: &[u8] = &[0x20, 2, 0, 0];

pub(super) fn start(mosquitto: &Path) -> Result<Contender, BenchError> {
    let (folder, address, publisher) = (Folder::new()?, free_address()?, free_address()?);
    let settings = include_str!("../../peers/mosquitto.conf")
        .replace("PUBLISHER", &publisher.port().to_string())
        .replace("RECEIVERS", &address.port().to_string());
    let settings = folder.put("mosquitto.conf", &settings)?;
    let mut program = Program::start(Command::new(mosquitto).arg("-c").arg(settings), folder)?;
    program.wait_for(address)?;
    program.wait_for(publisher)?;
    let io = || BenchError::io("connect to", publisher);
    let mut stream = TcpStream::connect(publisher).map_err(io())?;
    stream.set_nodelay(true).and_then(|()| stream.write_all(&connect("publisher"))).map_err(io())?;
    stream.read_exact(&mut [0; CONNECTED.len()]).map_err(io())?;
    let dialogue = Dialogue::new(
        Framing::WebSocket,
        [
            Step::raw(upgrade("/mqtt", "Sec-WebSocket-Protocol: mqtt\r\n"), b"\r\n\r\n"),
            // Without a name the server gives the client one.
            Step::binary(connect(""), CONNECTED),
            Step::binary(subscribe(), &[0x90, 3]),
        ],
    );
    Ok(Contender { program, address, dialogue, publisher: Box::new(Mqtt { stream }), _beside: None })
}

/// A packet: its kind, how long the rest is (MQTT 3.1.1 §2.2.3), and the rest.
fn packet(kind: u8, rest: &[u8]) -> Vec<u8> {
    let (mut packet, mut length) = (vec![kind], rest.len());
    loop {
        let digit = (length % 128) as u8;
        length /= 128;
        packet.push(if length > 0 { digit | 0x80 } else { digit });
        if length == 0 {
            break;
        }
    }
    packet.extend(rest);
    packet
}

fn text(text: &[u8]) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes()[..], text].concat()
}

/// Protocol level 4, a clean session, no keep-alive.
fn connect(client: &str) -> Vec<u8> {
    packet(0x10, &[text(b"MQTT"), vec![4, 2, 0, 0], text(client.as_bytes())].concat())
}

fn subscribe() -> Vec<u8> {
    packet(0x82, &[vec![0, 1], text(TOPIC), vec![0]].concat())
}

struct Mqtt {
    stream: TcpStream,
}

impl Publish for Mqtt {
    fn publish(&mut self, payloads: &[String]) -> Result<(), BenchError> {
        let packets = payloads
            .iter()
            .flat_map(|payload| packet(0x30, &[text(TOPIC), payload.clone().into_bytes()].concat()));
        self.stream
            .write_all(&packets.collect::<Vec<u8>>())
            .map_err(BenchError::io("publish to", "Mosquitto"))
    }
}
