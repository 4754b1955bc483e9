//! A `mariadbd` of the test's own: on a free port, in a folder of its own, killed when the test ends.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::node::{PATIENCE, signal};
use crate::redis_server::free_port;

/// A running MariaDB.
pub(crate) struct MariadbServer {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    arguments: Vec<String>,
}

/// A server that starts removes all temporary tables in that folder: those of others as well if it were shared.
const TEMPORARY: &str = "TMPDIR";
/// The kernel allows only so many asynchronous operations for all processes together, and tests run side by side.
const NO_AIO: &str = "--innodb-use-native-aio=0";

impl MariadbServer {
    /// Starts an empty one.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", folder.path().join("data").display()))
            .args(["--user", &user()])
            .arg(NO_AIO)
            .env(TEMPORARY, folder.path())
            .output()
            .expect("mariadb-server is installed: `cargo xtask test` installs what the tests need");
        let said = [made.stdout, made.stderr].concat();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&said));
        let port = free_port();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let child = run(folder.path(), port, &arguments);
        let server = Self { child, folder, port, arguments };
        server.wait_until_it_answers();
        server
    }

    /// The port, for clients.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Makes a schema and fills it from a dump.
    pub(crate) fn load(&self, schema: &str, dump: &Path) {
        self.query(&format!("CREATE DATABASE `{schema}`"));
        let dump = File::open(dump).expect("the dump is in the repository");
        let loaded = self.client().arg(schema).stdin(dump).output().expect("a client");
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    }

    /// Runs statements and gives what they print.
    pub(crate) fn query(&self, statements: &str) -> String {
        let done = self.client().args(["--batch", "--execute", statements]).output().expect("a client");
        assert!(done.status.success(), "{statements}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text")
    }

    /// Kills it; port and data stay.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) fn restart(&mut self) {
        self.child = run(self.folder.path(), self.port, &self.arguments);
        self.wait_until_it_answers();
    }

    /// Lets it hang: it takes connections and answers nobody.
    pub(crate) fn pause(&self) {
        signal(&self.child, "STOP");
    }

    /// Lets it go on after [`Self::pause`].
    pub(crate) fn go_on(&self) {
        signal(&self.child, "CONT");
    }

    fn client(&self) -> Command {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--user=root", "--socket"]).arg(self.folder.path().join("socket"));
        client
    }

    fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.client().args(["--execute", "SELECT 1"]).output().is_ok_and(|done| done.status.success())
        {
            assert!(Instant::now() < deadline, "mariadbd does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for MariadbServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(folder: &Path, port: u16, arguments: &[String]) -> Child {
    Command::new("/usr/sbin/mariadbd")
        .args([
            "--no-defaults",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=32M",
        ])
        .args([
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--max-connections=100",
            NO_AIO,
        ])
        .arg(format!("--port={port}"))
        .arg(format!("--datadir={}", folder.join("data").display()))
        .arg(format!("--socket={}", folder.join("socket").display()))
        .arg(format!("--user={}", user()))
        .args(arguments)
        .env(TEMPORARY, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mariadbd starts")
}

/// Who runs the test; a server run by root wants to be told so.
fn user() -> String {
    let id = Command::new("id").arg("-un").output().expect("id answers");
    String::from_utf8_lossy(&id.stdout).trim().to_owned()
}
