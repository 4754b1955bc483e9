//! nginx with the nchan module; its settings are in `peers/nchan.conf`.

use std::path::Path;
use std::process::Command;

use super::{Contender, Publish};
use crate::BenchError;
use crate::dialogue::{Dialogue, Step};
use crate::post::Post;
use crate::program::{Folder, Program, find, free_address};
use crate::wire::{Framing, upgrade};

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
/// Requests that are sent before their answers are read.
const PIPELINED: usize = 16;

pub(super) fn start() -> Result<Option<Contender>, BenchError> {
    let Some(nginx) = find("nginx").filter(|_| Path::new(MODULE).exists()) else { return Ok(None) };
    let (folder, address) = (Folder::new()?, free_address()?);
    let settings = include_str!("../../peers/nchan.conf")
        .replace("FOLDER", &folder.path().display().to_string())
        .replace("ADDRESS", &address.to_string());
    let settings = folder.put("nginx.conf", &settings)?;
    let mut program = Program::start(Command::new(nginx).arg("-c").arg(settings), folder)?;
    program.wait_for(address)?;
    let publisher = Box::new(Nchan(Post::connect(address, "/pub", "Content-Type: application/json\r\n")?));
    let dialogue = Dialogue::new(Framing::WebSocket, [Step::raw(upgrade("/sub", ""), b"\r\n\r\n")]);
    Ok(Some(Contender { program, address, dialogue, publisher, _beside: None }))
}

struct Nchan(Post);

impl Publish for Nchan {
    fn publish(&mut self, payloads: &[String]) -> Result<(), BenchError> {
        payloads.chunks(PIPELINED).try_for_each(|payloads| self.0.send(payloads))
    }
}
