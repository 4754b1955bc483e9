//! Other programs, run from the repository's root.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program with its arguments.
pub(crate) struct Tool {
    command: Command,
}

impl Tool {
    /// A program by name, run in a folder.
    pub(crate) fn new(program: &str, folder: &Path) -> Self {
        let mut command = Command::new(program);
        command.current_dir(folder).stdin(Stdio::null());
        Self { command }
    }

    /// The cargo that runs this program.
    pub(crate) fn cargo(root: &Path) -> Self {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        Self::new(&cargo, root)
    }

    /// More arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// One variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it, and fails if it does. It writes to where this program writes.
    pub(crate) fn run(mut self) -> Result<(), String> {
        let shown = self.shown();
        let status = self.command.status().map_err(|error| format!("cannot run {shown}: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("{shown}: {status}")) }
    }

    /// Runs it and gives what it printed; if it fails, what it complained about.
    pub(crate) fn read(mut self) -> Result<String, String> {
        let shown = self.shown();
        let output = self.command.output().map_err(|error| format!("cannot run {shown}: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!("{shown}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end()))
        }
    }

    /// Runs it and gives what it printed, whether it fails or not.
    pub(crate) fn read_any(mut self) -> String {
        let printed = self.command.output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&printed).into_owned()
    }

    fn shown(&self) -> String {
        let program = Path::new(self.command.get_program());
        let mut words =
            vec![program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()];
        words.extend(self.command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
        format!("`{}`", words.join(" "))
    }
}

/// Whether a program can be run: it starts and answers `--version`.
pub(crate) fn answers(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
