//! Whether the simulator still finds bugs: each of these is planted in a copy of the sources, and has to break a promise
//! there. Which one breaks first is up to the seed: what comes out of turn, for one, also comes before something else.

use std::fs;
use std::path::Path;

use crate::process::Tool;

/// A bug: one line of the core made wrong.
struct Bug {
    what: &'static str,
    file: &'static str,
    /// What is there, once.
    right: &'static str,
    wrong: &'static str,
}

const BUGS: &[Bug] = &[
    Bug {
        what: "events are sent while roles are read again",
        file: "crates/core/src/engine.rs",
        right: "if self.is_rechecking(receiver.connection) || self.catches_up(receiver.connection) {",
        wrong: "if self.catches_up(receiver.connection) {",
    },
    Bug {
        what: "what was missed begins one event too late",
        file: "crates/core/src/replay.rs",
        right: "let first = log.kept.partition_point(|kept| kept.mark <= mark);",
        wrong: "let first = (log.kept.partition_point(|kept| kept.mark <= mark) + 1).min(log.kept.len());",
    },
    Bug {
        what: "a receipt vouches for what still waits to be sent",
        file: "crates/core/src/engine/resume.rs",
        right: "told = told.min(waiting.before());",
        wrong: "told = told.max(waiting.before());",
    },
    Bug {
        what: "what happens now overtakes what was missed",
        file: "crates/core/src/engine/resume.rs",
        right: "        is_behind\n    }",
        wrong: "        false\n    }",
    },
    Bug {
        what: "what waits for a client that does not read is without bounds",
        file: "crates/core/src/outbox.rs",
        right: "if over && !self.waiting.is_empty() {",
        wrong: "if over && self.waiting.is_empty() {",
    },
    Bug {
        what: "where clients stand that are sent away is not remembered in time",
        file: "crates/core/src/engine/resume.rs",
        right: "if leaves || now.saturating_duration_since(live.remembered_at) >= REMEMBER_EVERY {",
        wrong: "if !leaves && now.saturating_duration_since(live.remembered_at) >= REMEMBER_EVERY {",
    },
    Bug {
        what: "who was not told yet that something may be missing is vouched for when it comes back",
        file: "crates/core/src/engine/resume.rs",
        right: "if held.doubtful && acknowledged < held.start {",
        wrong: "if held.doubtful && acknowledged > held.start {",
    },
];
/// The first seed, and for how long it is tried to find one that fails.
const FIRST: &str = "1";
const SECONDS: &str = "240";

/// Plants every bug, one after the other.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let copy = root.join("target/planted");
    let mut missed = Vec::new();
    for bug in BUGS {
        copy_sources(root, &copy)?;
        plant(bug, &copy)?;
        let found = run(root, &copy)?;
        match found.lines().find(|line| line.starts_with("FAILED: ")) {
            Some(failed) => println!("{}: {failed}", bug.what),
            None => missed.push(bug.what),
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("bugs were not found:\n{}", missed.join("\n"))) }
}

/// Files that are as they were keep their times, so that little is compiled again.
fn copy_sources(root: &Path, copy: &Path) -> Result<(), String> {
    let files = Tool::new("git", root)
        .args(["ls-files", "--", "Cargo.*", "rust-toolchain.toml", "crates", "fuzz", "xtask"])
        .read()?;
    for file in files.lines() {
        let (from, to) = (root.join(file), copy.join(file));
        let failed = |error: std::io::Error| format!("cannot copy {file}: {error}");
        let Ok(text) = fs::read(&from) else { continue };
        if fs::read(&to).is_ok_and(|there| there == text) {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        fs::write(&to, text).map_err(failed)?;
    }
    Ok(())
}

fn plant(bug: &Bug, copy: &Path) -> Result<(), String> {
    let path = copy.join(bug.file);
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", bug.file))?;
    if text.matches(bug.right).count() != 1 {
        return Err(format!("{} does not say once what is to be made wrong: {}", bug.file, bug.right));
    }
    let wrong = text.replace(bug.right, bug.wrong);
    fs::write(&path, wrong).map_err(|error| format!("cannot write {}: {error}", bug.file))
}

/// What the simulator says of the copy.
fn run(root: &Path, copy: &Path) -> Result<String, String> {
    let build = ["build", "--quiet", "--release", "--locked", "--package", "realtime-sim"];
    // Cargo takes the copy's crates for those of the sources, so that neither may find what was built of the other.
    let target = root.join("target/planted-build");
    Tool::cargo(copy).args(build).env("CARGO_TARGET_DIR", &target).run()?;
    let built = target.join("release").join(format!("realtime-sim{}", std::env::consts::EXE_SUFFIX));
    let args = ["--seed", FIRST, "--seconds", SECONDS, "--brief"];
    Ok(Tool::new(&built.to_string_lossy(), copy).args(args).read_any())
}
