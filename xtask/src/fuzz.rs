//! Fuzzing: corpora replayed on the stable compiler, and grown on a nightly one.

use std::path::Path;

use crate::process::{self, Tool};

/// How long a target is fuzzed unless told otherwise.
pub(crate) const DEFAULT_SECONDS: u32 = 60;

/// Sends every input of the corpora through its target.
pub(crate) fn replay(root: &Path) -> Result<(), String> {
    Tool::cargo(root).args(["test", "--quiet", "--locked", "--package", "realtime-fuzz"]).run()
}

/// Looks for new inputs.
pub(crate) fn grow(root: &Path, target: &str, seconds: u32) -> Result<(), String> {
    if !process::answers("cargo", &["+nightly", "fuzz", "--version"]) {
        return Err("fuzzing needs a nightly compiler and cargo-fuzz: \
                    `rustup toolchain install nightly && cargo install cargo-fuzz --locked`"
            .to_owned());
    }
    let limit = format!("-max_total_time={seconds}");
    Tool::new("cargo", root)
        .args(["+nightly", "fuzz", "run", "--features", "libfuzzer", target, "--", &limit])
        .run()
}
