//! A file fits a sitting.

use super::Finding;
use super::tree::{File, Tree};

/// Lines of one file, at most.
const CAP: usize = 1_000;

/// Longer files, each with the reason.
const LONGER: &[(&str, &str)] = &[];

/// What is code, as opposed to data and prose.
const CODE: &[&str] = &["rs", "js", "mjs", "ts", "tsx", "css", "html"];

pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    let lines = file.text.lines().count();
    if CODE.contains(&file.extension()) && lines > CAP && !LONGER.iter().any(|(path, _)| *path == file.path) {
        findings.push(Finding::new(
            file,
            CAP + 1,
            format!(
                "{lines} lines; split it by its nouns, or list it with a reason in xtask/src/tidy/size.rs"
            ),
        ));
    }
}

/// Exceptions that are none any more.
pub(super) fn stale(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, _) in LONGER {
        let long = tree.files.iter().any(|file| file.path == *path && file.text.lines().count() > CAP);
        if !long {
            findings.push(Finding {
                path: (*path).to_owned(),
                line: 1,
                text: "is short or gone; remove its exception from xtask/src/tidy/size.rs".to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, lines: usize) -> usize {
        let mut findings = Vec::new();
        check(&File { path: path.to_owned(), text: "x\n".repeat(lines) }, &mut findings);
        findings.len()
    }

    #[test]
    fn a_source_file_may_have_a_thousand_lines_and_no_more() {
        assert_eq!(found("crates/core/src/index.rs", CAP), 0);
        assert_eq!(found("crates/core/src/index.rs", CAP + 1), 1);
    }

    #[test]
    fn data_may_be_longer() {
        assert_eq!(found("crates/core/tests/table.txt", CAP + 1), 0);
    }
}
