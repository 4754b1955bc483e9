//! The official SDKs from npm, unmodified, against the server of this repository.

use std::path::{Path, PathBuf};

use crate::process::Tool;
use crate::system;

/// Where the SDKs run.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// Every version, in Node.js.
    Node,
    /// The newest version, in a headless Chromium; and the page of `realtime dev`.
    Browser,
}

/// Builds the server, installs the SDKs, runs their tests.
pub(crate) fn test(root: &Path, place: Place) -> Result<(), String> {
    system::node(root)?;
    if matches!(place, Place::Node) {
        system::services(root)?;
    }
    let folder = root.join("tests/sdk");
    install(&folder)?;
    let server = server(root)?;
    let npm = Tool::new("npm", &folder).args(["run", "--silent"]).env("REALTIME_BIN", server);
    match place {
        Place::Node => npm.args(["test"]).run(),
        Place::Browser => npm.args(["test:browser"]).env("CHROMIUM", system::chromium(root)?).run(),
    }
}

/// Exactly what the lock file says; done once for each lock file.
pub(crate) fn install(folder: &Path) -> Result<(), String> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let lock = folder.join("package-lock.json");
    let lock = read(&lock).ok_or_else(|| format!("{} is missing", lock.display()))?;
    let stamp = folder.join("node_modules/.installed-lock");
    if read(&stamp).as_ref() == Some(&lock) {
        return Ok(());
    }
    let quiet = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    Tool::new("npm", folder).args(quiet).run()?;
    std::fs::write(&stamp, lock).map_err(|error| format!("cannot write {}: {error}", stamp.display()))
}

/// The server's binary, built from the sources at hand.
pub(crate) fn server(root: &Path) -> Result<PathBuf, String> {
    Tool::cargo(root)
        .args(["build", "--quiet", "--locked", "--package", "realtime-server", "--bin", "realtime"])
        .run()?;
    let metadata =
        Tool::cargo(root).args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).read()?;
    let target = target_directory(&metadata).ok_or("cargo metadata names no target directory")?;
    Ok(Path::new(target).join("debug/realtime"))
}

fn target_directory(metadata: &str) -> Option<&str> {
    let (_, rest) = metadata.split_once(r#""target_directory":""#)?;
    rest.split_once('"').map(|(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_directory_is_read_from_metadata() {
        let metadata = r#"{"packages":[],"target_directory":"/srv/target","version":1}"#;
        assert_eq!(target_directory(metadata), Some("/srv/target"));
        assert_eq!(target_directory("{}"), None);
    }
}
