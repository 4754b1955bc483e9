//! What files are called, how they begin, and what they must not say.

use super::Finding;
use super::tree::File;

/// Names that say nothing about what is inside. `mod` is there because a noun's file stands beside its folder.
const EMPTY_NAMES: &[&str] = &[
    "mod", "util", "utils", "helper", "helpers", "common", "manager", "managers", "types", "impl", "misc",
    "shared",
];

/// Marks of work left undone, spelled so that this file does not carry them.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Folders where people's own files lie on their machines.
const HOMES: &[&str] = &["/home/", "/root/", "/Users/", "C:\\Users\\"];

/// A module says in its first sentence what it is; a transcript, what it shows.
pub(super) fn opening(file: &File, findings: &mut Vec<Finding>) {
    let first = file.text.lines().next().unwrap_or_default();
    if file.extension() == "rs" && !is_sentence(first, "//! ") {
        findings.push(Finding::new(file, 1, "begins without a sentence that says what it is (//! …)"));
    }
    let transcript = file.path.starts_with("conformance/") && file.extension() == "txt";
    if transcript && !is_sentence(first, "# ") {
        findings.push(Finding::new(file, 1, "begins without a sentence that says what it shows (# …)"));
    }
}

fn is_sentence(line: &str, mark: &str) -> bool {
    line.strip_prefix(mark).is_some_and(|text| text.contains(' '))
}

/// A file is named for the one noun in it.
pub(super) fn name(file: &File, findings: &mut Vec<Finding>) {
    let parts: Vec<&str> = file.path.split('/').collect();
    for part in parts {
        let stem = part.split_once('.').map_or(part, |(stem, _)| stem);
        if matches!(file.extension(), "rs" | "js" | "mjs" | "ts" | "tsx") && EMPTY_NAMES.contains(&stem) {
            findings.push(Finding::new(file, 1, format!("'{stem}' says nothing; name the noun inside")));
        }
    }
}

/// What is not done is written in the tracker.
pub(super) fn unfinished(file: &File, findings: &mut Vec<Finding>) {
    if file.extension() == "md" {
        return;
    }
    for (number, line) in file.lines() {
        let words = || line.split(|letter: char| !letter.is_ascii_alphanumeric());
        if let Some(mark) = UNFINISHED.iter().find(|mark| words().any(|word| word == **mark)) {
            findings.push(Finding::new(file, number, format!("{mark}: do it, or write it in the tracker")));
        }
    }
}

/// A path that exists on one machine is of no use on another.
pub(super) fn machine_paths(file: &File, root: &str, findings: &mut Vec<Finding>) {
    if file.path == "xtask/src/tidy/wording.rs" {
        return;
    }
    // A checkout right below `/` has a name that may well be a word.
    let checkout = (root.matches('/').count() > 1).then_some(root);
    for (number, line) in file.lines() {
        if let Some(path) = HOMES.iter().copied().chain(checkout).find(|path| names_path(line, path)) {
            findings.push(Finding::new(file, number, format!("'{path}' exists on one machine only")));
        }
    }
}

/// Whether the line names the path from the root on, not as the middle of another path or address.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(|letter| letter.is_alphanumeric() || "/._-~}".contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    fn found(rule: impl Fn(&File, &mut Vec<Finding>), path: &str, text: &str) -> bool {
        let mut findings = Vec::new();
        rule(&file(path, text), &mut findings);
        !findings.is_empty()
    }

    #[test]
    fn a_module_begins_with_a_sentence() {
        assert!(found(opening, "a.rs", "use std::fs;\n"));
        assert!(found(opening, "a.rs", "//! Word.\n"));
        assert!(!found(opening, "a.rs", "//! What it is.\n"));
    }

    #[test]
    fn a_transcript_begins_with_a_sentence() {
        assert!(found(opening, "conformance/ping.txt", "open ?project=demo\n"));
        assert!(!found(opening, "conformance/ping.txt", "# A ping is answered.\n"));
    }

    #[test]
    fn an_empty_name_is_found_in_files_and_folders() {
        assert!(found(name, "crates/core/src/utils.rs", ""));
        assert!(found(name, "crates/core/src/common/role.rs", ""));
        assert!(found(name, "crates/core/src/role/mod.rs", ""));
        assert!(!found(name, "crates/core/src/commonplace.rs", ""));
    }

    #[test]
    fn unfinished_work_is_found_as_a_word_only() {
        let mark = UNFINISHED.first().copied().unwrap_or_default();
        assert!(found(unfinished, "a.rs", &format!("// {mark}: later")));
        assert!(!found(unfinished, "a.rs", &format!("{mark}S")));
    }

    #[test]
    fn a_path_of_one_machine_is_found_but_not_a_part_of_another_path() {
        let rule = |file: &File, findings: &mut Vec<Finding>| machine_paths(file, "/srv/checkout", findings);
        assert!(found(rule, "a.md", "see /home/ada/notes"));
        assert!(found(rule, "a.md", "`/srv/checkout/target`"));
        assert!(!found(rule, "a.md", "https://example.org/home/ada"));
    }

    #[test]
    fn a_checkout_right_below_the_root_is_no_path_to_look_for() {
        let rule = |file: &File, findings: &mut Vec<Finding>| machine_paths(file, "/v1", findings);
        assert!(!found(rule, "a.md", "POST /v1/realtime/events"));
    }
}
