//! Licences, bans, sources and known vulnerabilities of dependencies, told by cargo-deny.

use std::path::Path;
use std::time::Instant;

use crate::process::{self, Tool};

/// The cargo-deny that `deny.toml` is written for.
const VERSION: &str = "0.20.2";

/// Checks `deny.toml`, after installing cargo-deny if it is missing.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    if !process::answers("cargo", &["deny", "--version"]) {
        let begun = Instant::now();
        println!("installing cargo-deny {VERSION}");
        Tool::cargo(root)
            .args(["install", "--quiet", "--locked", "cargo-deny", "--version", VERSION])
            // Apart from the product's own build, whose settings it would not share.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .run()?;
        println!("installed cargo-deny in {:.0} s", begun.elapsed().as_secs_f64());
    }
    deny(root, &["licenses", "bans", "sources"]).run()?;
    // The list of vulnerabilities lives in a Git repository that not every machine can reach.
    match deny(root, &["advisories"]).read() {
        Ok(_) => println!("advisories ok"),
        Err(error) if could_not_fetch(&error) => {
            println!("advisories SKIPPED: the database cannot be reached")
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn deny(root: &Path, checks: &[&str]) -> Tool {
    Tool::cargo(root)
        .args(["deny", "--locked", "check", "--hide-inclusion-graph"])
        .args(checks.iter().copied())
}

fn could_not_fetch(error: &str) -> bool {
    ["failed to fetch advisory database", "failed to clone", "failed to load advisory database"]
        .iter()
        .any(|words| error.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_database_is_told_from_a_vulnerability() {
        assert!(could_not_fetch("[ERROR] failed to fetch advisory database https://…"));
        assert!(!could_not_fetch("error[vulnerability]: Denial of service in parser"));
    }
}
