//! The files of the repository that people write.

use std::fs;
use std::path::Path;

/// Folders that tools fill.
const GENERATED: &[&str] = &["target", "node_modules", "dist", "corpus", "artifacts"];
/// Files that people write.
const WRITTEN: &[&str] =
    &["rs", "toml", "md", "txt", "js", "mjs", "ts", "tsx", "css", "html", "sh", "sql", "yml", "py", "php"];

/// One file.
#[derive(Debug)]
pub(super) struct File {
    /// From the root, with `/` between folders.
    pub(super) path: String,
    /// What it says.
    pub(super) text: String,
}

impl File {
    /// What follows the last dot of its name.
    pub(super) fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// Its name without folders.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit_once('/').map_or(&self.path, |(_, name)| name)
    }

    /// Its lines, counted from one.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// All files, in the order of their paths.
#[derive(Debug)]
pub(super) struct Tree {
    /// Where they lie.
    pub(super) root: String,
    /// The files.
    pub(super) files: Vec<File>,
}

impl Tree {
    /// Reads every written file below a folder.
    pub(super) fn read(root: &Path) -> Result<Self, String> {
        let mut files = Vec::new();
        read_folder(root, "", &mut files)?;
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Self { root: root.to_string_lossy().into_owned(), files })
    }
}

fn read_folder(folder: &Path, prefix: &str, files: &mut Vec<File>) -> Result<(), String> {
    let failed = |path: &Path, error: std::io::Error| format!("cannot read {}: {error}", path.display());
    for entry in fs::read_dir(folder).map_err(|error| failed(folder, error))? {
        let entry = entry.map_err(|error| failed(folder, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(|error| failed(&entry.path(), error))?;
        let path = format!("{prefix}{name}");
        if kind.is_dir() {
            if name != ".git" && !GENERATED.contains(&name.as_str()) {
                read_folder(&entry.path(), &format!("{path}/"), files)?;
            }
        } else if kind.is_file() && is_written(&path) {
            let text = fs::read_to_string(entry.path()).map_err(|error| failed(&entry.path(), error))?;
            files.push(File { path, text });
        }
    }
    Ok(())
}

fn is_written(path: &str) -> bool {
    let script = path.starts_with("bin/") || path.starts_with(".ci/");
    script || path.rsplit_once('.').is_some_and(|(_, extension)| WRITTEN.contains(&extension))
}
