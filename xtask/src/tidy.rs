//! House rules that no compiler knows, checked over the text of the repository.

mod import;
mod size;
mod tree;
mod wording;

use std::fmt;
use std::path::Path;

use self::tree::{File, Tree};

/// A rule that a file breaks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    text: String,
}

impl Finding {
    fn new(file: &File, line: usize, text: impl Into<String>) -> Self {
        Self { path: file.path.clone(), line, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.text)
    }
}

/// Checks the repository against every rule.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let tree = Tree::read(root)?;
    let findings = findings(&tree);
    if findings.is_empty() {
        println!("tidy: {} files are in order", tree.files.len());
        return Ok(());
    }
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    Err(format!("{}\ntidy: {} things to mend", lines.join("\n"), lines.len()))
}

fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        wording::opening(file, &mut findings);
        wording::name(file, &mut findings);
        wording::unfinished(file, &mut findings);
        wording::machine_paths(file, &tree.root, &mut findings);
        size::check(file, &mut findings);
        import::check(file, &mut findings);
    }
    size::stale(tree, &mut findings);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        assert_eq!(check(&crate::root()), Ok(()));
    }
}
