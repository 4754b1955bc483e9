//! Everything that must hold, in the order that tells soonest.

use std::path::Path;

use crate::process::{self, Tool};
use crate::sdk::{self, Place};
use crate::step::Step;
use crate::{console, deny, direction, fuzz, instructions, system, tidy, typescript};

/// What is not built unless it is asked for.
const MONGODB: &str = "realtime-server/mongodb";

/// How much to run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Full,
    /// What needs nothing but Rust.
    Fast,
}

/// The steps of `cargo xtask test`, which is what CI runs.
pub(crate) fn steps(root: &Path, extent: Extent) -> Vec<Step> {
    let step = |name, work: fn(&Path) -> Result<(), String>| {
        let root = root.to_path_buf();
        Step::new(name, move || work(&root))
    };
    let mut steps = vec![
        step("format", format),
        step("lints", |root| {
            let what = ["--workspace", "--all-targets", "--features", MONGODB, "--locked"];
            cargo(root, &[&["clippy"], &what[..], &["--", "--deny", "warnings"]].concat())
        }),
        step("tidy", tidy::check),
        step("direction", direction::check),
    ];
    if extent == Extent::Full {
        steps.push(step("licences and sources", deny::check));
    }
    steps.extend([
        step("tests", if extent == Extent::Full { tests } else { fast_tests }),
        step("tests of the MongoDB reader", |root| {
            let what =
                ["--package", "realtime-server", "--features", MONGODB, "--lib", "--locked", "mongodb"];
            cargo(root, &[&["test", "--quiet"], &what[..]].concat())
        }),
        step("doc tests", |root| cargo(root, &["test", "--quiet", "--workspace", "--locked", "--doc"])),
        step("reference of the Rust SDK", |root| {
            // Complete: every public item is documented, and every link leads somewhere.
            let args = ["doc", "--quiet", "--package", "realtime-client", "--no-deps", "--locked"];
            Tool::cargo(root).args(args).env("RUSTDOCFLAGS", "--deny warnings --deny missing_docs").run()
        }),
        step("fuzz corpora", fuzz::replay),
        step("package of the Rust SDK", |root| {
            let args = [
                "package",
                "--quiet",
                "--package",
                "realtime-client",
                "--locked",
                "--no-verify",
                "--allow-dirty",
            ];
            cargo(root, &args)
        }),
    ]);
    if extent == Extent::Full {
        steps.extend([
            step("instructions of the core's paths", instructions::check),
            step("official SDKs in Node.js", |root| sdk::test(root, Place::Node)),
            step("official SDK and dev page in Chromium", |root| sdk::test(root, Place::Browser)),
            step("TypeScript SDK and examples", typescript::test),
            step("web console in Chromium", console::test),
        ]);
    }
    steps
}

fn format(root: &Path) -> Result<(), String> {
    cargo(root, &["fmt", "--all", "--", "--check"])
}

/// With nextest where it is installed: it runs the tests of all crates side by side.
fn tests(root: &Path) -> Result<(), String> {
    system::services(root)?;
    if has_nextest() {
        cargo(
            root,
            &["nextest", "run", "--workspace", "--exclude", "realtime-fuzz", "--locked", "--no-fail-fast"],
        )
    } else {
        let args =
            ["--workspace", "--exclude", "realtime-fuzz", "--locked", "--all-targets", "--no-fail-fast"];
        cargo(root, &[&["test", "--quiet"], &args[..]].concat())
    }
}

/// The tests that start no services.
fn fast_tests(root: &Path) -> Result<(), String> {
    let args = ["--workspace", "--exclude", "realtime-fuzz", "--locked", "--no-fail-fast"];
    if has_nextest() {
        cargo(root, &[&["nextest", "run"], &args[..], &["-E", "not binary(services)"]].concat())
    } else {
        cargo(root, &[&["test", "--quiet"], &args[..], &["--lib", "--bins", "--examples"]].concat())
    }
}

fn has_nextest() -> bool {
    process::answers("cargo", &["nextest", "--version"])
}

fn cargo(root: &Path, args: &[&str]) -> Result<(), String> {
    Tool::cargo(root).args(args.iter().copied()).run()
}
