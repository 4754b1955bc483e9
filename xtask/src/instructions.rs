//! The gate against regressions: how many instructions a path through the code takes, against committed figures.
//!
//! Instructions are counted by callgrind, so the figures are the same on a busy machine as on an idle one. Each path runs
//! twice, with more turns the second time; the difference is what the turns took.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::process::Tool;
use crate::system;

/// The committed figures, a path a line.
const FIGURES: &str = "crates/bench/instructions.txt";

/// How far a figure may be off, in hundredths.
const TOLERANCE: f64 = 3.0;

/// The paths of `realtime-bench path`, and turns enough that a stray allocation does not show.
const PATHS: [(&str, u32); 7] = [
    ("match-one", 400),
    ("match-query", 100),
    ("match-team", 100),
    ("splice", 50),
    ("decode", 200),
    ("deliver", 50),
    ("open", 200),
];

/// Compares with the committed figures.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let path = root.join(FIGURES);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {FIGURES}: {error}"))?;
    let known = parse(&text)?;
    let counted = count(root)?;
    let mut off = Vec::new();
    println!("{:<12} {:>12} {:>12} {:>8}", "path", "committed", "counted", "change");
    for (path, figure) in &counted {
        let Some(before) = known.get(path) else {
            off.push(format!("{path} has no committed figure"));
            continue;
        };
        let change = change(*before, *figure);
        println!("{path:<12} {before:>12} {figure:>12} {change:>+7.2}%");
        if change > TOLERANCE {
            off.push(format!("{path} takes {change:.1}% more instructions"));
        } else if change < -TOLERANCE {
            off.push(format!(
                "{path} takes {:.1}% fewer instructions, which the figures are to keep",
                -change
            ));
        }
    }
    if off.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}; if that is meant, run `cargo xtask instructions --update` and commit {FIGURES} with the reason.\n\
         The committed figures are of {}, this is {}: a new compiler may move them too.",
        off.join("; "),
        text.lines().next().unwrap_or_default().trim_start_matches("# "),
        compiler(root)?,
    ))
}

/// Writes the figures anew.
pub(crate) fn update(root: &Path) -> Result<(), String> {
    let mut text =
        format!("# {}\n# Instructions of a turn; see `cargo xtask instructions`.\n", compiler(root)?);
    for (path, figure) in count(root)? {
        println!("{path:<12} {figure:>12}");
        text.push_str(&format!("{path} {figure}\n"));
    }
    std::fs::write(root.join(FIGURES), text).map_err(|error| format!("cannot write {FIGURES}: {error}"))
}

/// Instructions of one turn of each path.
fn count(root: &Path) -> Result<BTreeMap<String, u64>, String> {
    system::valgrind(root)?;
    Tool::cargo(root)
        .args(["build", "--quiet", "--release", "--locked", "--package", "realtime-bench"])
        .run()?;
    let mut counted = BTreeMap::new();
    for (path, turns) in PATHS {
        let (few, many) = (of_run(root, path, turns)?, of_run(root, path, turns * 2)?);
        counted.insert(path.to_owned(), many.saturating_sub(few) / u64::from(turns));
    }
    Ok(counted)
}

/// Instructions of a whole run.
fn of_run(root: &Path, path: &str, turns: u32) -> Result<u64, String> {
    let binary = target(root).join("release/realtime-bench");
    let printed = Tool::new("valgrind", root)
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-fd=1"])
        .args([binary.as_os_str()])
        .args(["path", path, &turns.to_string()])
        .read()?;
    collected(&printed).ok_or_else(|| format!("callgrind did not say what it collected:\n{printed}"))
}

pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// `==7== Collected : 123` is 123.
fn collected(printed: &str) -> Option<u64> {
    let (_, figure) = printed.lines().find_map(|line| line.split_once("Collected : "))?;
    figure.trim().parse().ok()
}

fn parse(text: &str) -> Result<BTreeMap<String, u64>, String> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let figure = line.split_once(' ').and_then(|(path, figure)| Some((path, figure.parse().ok()?)));
            figure
                .map(|(path, figure)| (path.to_owned(), figure))
                .ok_or_else(|| format!("{FIGURES}: `{line}` is not a path and a number"))
        })
        .collect()
}

/// In hundredths of what was.
fn change(before: u64, now: u64) -> f64 {
    (now as f64 / before.max(1) as f64 - 1.0) * 100.0
}

fn compiler(root: &Path) -> Result<String, String> {
    Ok(Tool::new("rustc", root).args(["--version"]).read()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callgrind_collected_is_read_from_what_it_prints() {
        let printed = "==7== Command: x\n==7== \n==7== Events    : Ir\n==7== Collected : 4711\n";
        assert_eq!(collected(printed), Some(4711));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }

    #[test]
    fn figures_are_read_a_path_a_line() {
        let known = parse("# rustc 1.95\nsplice 12\nopen 7\n");
        assert_eq!(
            known.map(|known| known.into_iter().collect::<Vec<_>>()),
            Ok(vec![("open".to_owned(), 7), ("splice".to_owned(), 12)])
        );
        assert!(parse("splice twelve\n").is_err_and(|error| error.contains("splice twelve")));
    }

    #[test]
    fn a_change_is_told_in_hundredths() {
        assert!((change(200, 206) - 3.0).abs() < 1e-9);
        assert!((change(200, 194) + 3.0).abs() < 1e-9);
    }
}
