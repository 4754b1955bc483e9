//! Servers of a few lines on Node.js, which are in `peers/`; their packages come from npm.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Contender, Publish};
use crate::BenchError;
use crate::post::Post;
use crate::program::{Folder, Program, find, free_address};
use crate::swarm::Dialogue;
use crate::wire::{Framing, masked, upgrade};

#[derive(Debug, Clone, Copy)]
pub(super) enum Library {
    Ws,
    SocketIo,
}

pub(super) fn start(library: Library) -> Result<Option<Contender>, BenchError> {
    let (Some(node), Some(npm)) = (find("node"), find("npm")) else { return Ok(None) };
    let packages = install(&npm)?;
    let (script, text) = match library {
        Library::Ws => ("ws.mjs", include_str!("../../peers/ws.mjs")),
        Library::SocketIo => ("socket.io.mjs", include_str!("../../peers/socket.io.mjs")),
    };
    // Beside its packages, where Node.js looks for them.
    let script = packages.join(script);
    std::fs::write(&script, text).map_err(BenchError::io("write", script.display()))?;
    let (folder, address) = (Folder::new()?, free_address()?);
    let mut command = Command::new(node);
    command.env("NODE_ENV", "production").arg(script).arg(address.port().to_string());
    let mut program = Program::start(&mut command, folder)?;
    program.wait_for(address)?;
    let dialogue: Box<dyn Fn(usize) -> Dialogue> = Box::new(move |_| {
        let steps: Vec<(Vec<u8>, &'static [u8])> = match library {
            Library::Ws => vec![(upgrade("/", ""), b"\r\n\r\n")],
            Library::SocketIo => vec![
                (upgrade("/socket.io/?EIO=4&transport=websocket", ""), b"\"sid\""),
                (masked(0x81, b"40"), b"\"sid\""),
            ],
        };
        Dialogue { steps, framing: Framing::WebSocket }
    });
    let publisher = Box::new(Node(Post::connect(address, "/publish", "")?));
    Ok(Some(Contender { program, address, dialogue, publisher, _beside: None }))
}

/// Installs the packages beside this binary, unless they are there.
fn install(npm: &Path) -> Result<PathBuf, BenchError> {
    let binary = std::env::current_exe().map_err(BenchError::io("find", "this binary"))?;
    let folder = binary.with_file_name("bench-peers");
    let manifest = folder.join("package.json");
    let wanted = include_str!("../../peers/package.json");
    let installed = folder.join("node_modules/ws/package.json").exists();
    if installed && std::fs::read_to_string(&manifest).is_ok_and(|found| found == wanted) {
        return Ok(folder);
    }
    let io = || BenchError::io("install packages into", folder.display());
    std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&manifest, wanted)).map_err(io())?;
    let status = Command::new(npm)
        .args(["install", "--silent", "--no-audit", "--no-fund"])
        .current_dir(&folder)
        .stdout(Stdio::null())
        .status()
        .map_err(io())?;
    if status.success() { Ok(folder) } else { Err(BenchError::new(format!("npm: {status}"))) }
}

struct Node(Post);

impl Publish for Node {
    fn publish(&mut self, payloads: &[String]) -> Result<(), BenchError> {
        self.0.send(&[format!("[{}]", payloads.join(","))])
    }
}
