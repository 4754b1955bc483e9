//! Replays `conformance/*.txt` through codec and engine, in time that the transcript makes up.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "a transcript's clock must begin somewhere")]
#![expect(clippy::needless_pass_by_value, reason = "values read better in tables of cases")]

mod transcripts {
    pub(crate) mod coverage;
    pub(crate) mod directory;
    pub(crate) mod pattern;
    pub(crate) mod script;
    pub(crate) mod settings;
    pub(crate) mod world;
}

use std::path::{Path, PathBuf};

use transcripts::script::Script;
use transcripts::world::World;

fn conformance() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance")
}

/// Every transcript, by file name and in order.
fn scripts() -> Vec<Script> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(conformance())
        .expect("the folder conformance/ is there")
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    paths.iter().flat_map(|path| Script::read_all(path)).collect()
}

#[test]
fn every_transcript_is_replayed_as_written() {
    let scripts = scripts();
    assert!(!scripts.is_empty(), "there are transcripts to replay");
    let failures: Vec<String> = scripts
        .iter()
        .filter_map(|script| {
            World::replay(script).err().map(|failure| format!("{}: {failure}", script.title))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} failed:\n{}",
        failures.len(),
        scripts.len(),
        failures.join("\n\n")
    );
}

#[test]
fn every_numbered_behaviour_is_covered_or_knowingly_left() {
    transcripts::coverage::check(&scripts());
}
