//! The web console: what is embedded is what its sources give, and every page works in a browser.

use std::collections::BTreeMap;
use std::path::Path;

use crate::process::Tool;
use crate::{sdk, system};

/// Checks types, that the built assets in the repository are fresh, and every page in a headless Chromium.
pub(crate) fn test(root: &Path) -> Result<(), String> {
    system::node(root)?;
    let folder = root.join("console");
    sdk::install(&folder)?;
    npm(&folder, &["check"]).run()?;
    let built = root.join("target/console-dist");
    build(&folder, &built)?;
    if read(&built)? != read(&folder.join("dist"))? {
        return Err(
            "console/dist is not what the sources give; run `cargo xtask console --build` and commit"
                .to_owned(),
        );
    }
    let server = sdk::server(root)?;
    npm(&folder, &["test"]).env("REALTIME_BIN", server).env("CHROMIUM", system::chromium(root)?).run()
}

/// Builds the assets that the server embeds.
pub(crate) fn make(root: &Path) -> Result<(), String> {
    system::node(root)?;
    let folder = root.join("console");
    sdk::install(&folder)?;
    build(&folder, &folder.join("dist"))
}

fn build(folder: &Path, into: &Path) -> Result<(), String> {
    let into = into.to_string_lossy().into_owned();
    npm(folder, &["build", "--", "--logLevel", "error", "--emptyOutDir", "--outDir", &into]).run()
}

fn npm(folder: &Path, script: &[&str]) -> Tool {
    Tool::new("npm", folder).args(["run", "--silent"]).args(script.iter().copied())
}

/// Every file below a folder, by its path.
fn read(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().map_err(failed)?.is_dir() {
            let below = read(&entry.path())?.into_iter();
            files.extend(below.map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            files.insert(name, std::fs::read(entry.path()).map_err(failed)?);
        }
    }
    Ok(files)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_with_all_that_is_below_it() {
        let source = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
        assert!(source.contains_key("console.rs") && source.contains_key("tidy/size.rs"));
    }
}
