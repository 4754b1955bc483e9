//! Servers of a few lines on Node.js, which are in `peers/`.

use std::path::Path;
use std::process::Command;

use super::{Contender, Publish};
use crate::BenchError;
use crate::dialogue::{Dialogue, Step};
use crate::post::Post;
use crate::program::{Folder, Program, find, free_address};
use crate::wire::{Framing, upgrade};

#[derive(Debug, Clone, Copy)]
pub(super) enum Library {
    Ws,
    SocketIo,
}

/// Starts it; `None` if its package is not among the installed peers.
pub(super) fn start(peers: &Path, library: Library) -> Result<Option<Contender>, BenchError> {
    let (package, script, text) = match library {
        Library::Ws => ("ws", "ws.mjs", include_str!("../../peers/ws.mjs")),
        Library::SocketIo => ("socket.io", "socket.io.mjs", include_str!("../../peers/socket.io.mjs")),
    };
    let is_there = peers.join("node_modules").join(package).is_dir();
    let Some(node) = find("node").filter(|_| is_there) else { return Ok(None) };
    // Beside its packages, where Node.js looks for them.
    let script = peers.join(script);
    std::fs::write(&script, text).map_err(BenchError::io("write", script.display()))?;
    let (folder, address) = (Folder::new()?, free_address()?);
    let mut command = Command::new(node);
    command.env("NODE_ENV", "production").arg(script).arg(address.port().to_string());
    let mut program = Program::start(&mut command, folder)?;
    program.wait_for(address)?;
    let steps = match library {
        Library::Ws => vec![Step::raw(upgrade("/", ""), b"\r\n\r\n")],
        Library::SocketIo => vec![
            Step::raw(upgrade("/socket.io/?EIO=4&transport=websocket", ""), b"\"sid\""),
            Step::text("40", b"\"sid\""),
        ],
    };
    let publisher = Box::new(Node(Post::connect(address, "/publish", "")?));
    let dialogue = Dialogue::new(Framing::WebSocket, steps);
    Ok(Some(Contender { program, address, dialogue, publisher, _beside: None }))
}

struct Node(Post);

impl Publish for Node {
    fn publish(&mut self, payloads: &[String]) -> Result<(), BenchError> {
        self.0.send(&[format!("[{}]", payloads.join(","))])
    }
}
