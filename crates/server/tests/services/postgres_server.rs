//! A `postgres` of the test's own: on a free port, in a folder of its own, killed when the test ends.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::certificate::Certificate;
use crate::node::PATIENCE;
use crate::redis_server::free_port;

/// A running PostgreSQL.
pub(crate) struct PostgresServer {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl PostgresServer {
    /// Starts an empty one.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if is_root() {
            // PostgreSQL refuses to run as root.
            let given = Command::new("chown").args(["postgres"]).arg(folder.path()).status();
            assert!(given.expect("chown runs").success());
        }
        let made = program("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .arg(format!("--pgdata={}", folder.path().join("data").display()))
            .output()
            .expect("postgresql is installed: `cargo xtask test` installs what the tests need");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        let child = run(folder.path(), port);
        let server = Self { child, folder, port };
        server.wait_until_it_answers();
        server
    }

    fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self
            .client("postgres")
            .args(["-c", "SELECT 1"])
            .output()
            .is_ok_and(|done| done.status.success())
        {
            assert!(Instant::now() < deadline, "postgres does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once (SIGINT is PostgreSQL's fast shutdown: its children end with it); port and data stay.
    pub(crate) fn kill(&mut self) {
        drop(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status());
        drop(self.child.wait());
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) fn restart(&mut self) {
        self.child = run(self.folder.path(), self.port);
        self.wait_until_it_answers();
    }

    /// The port, for clients.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Has it take nobody without TLS, for which it has this certificate.
    pub(crate) fn encrypt(&self, certificate: &Certificate) {
        for (from, setting) in [(certificate.chain(), "ssl_cert_file"), (certificate.key(), "ssl_key_file")] {
            let to = self.folder.path().join(setting);
            std::fs::copy(from, &to).expect("a copy");
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600))
                .expect("for its eyes alone");
            if is_root() {
                let given = Command::new("chown").args(["postgres"]).arg(&to).status();
                assert!(given.expect("chown runs").success());
            }
            self.query("postgres", &format!("ALTER SYSTEM SET {setting} = '{}'", to.display()));
        }
        let rules = self.folder.path().join("data/pg_hba.conf");
        std::fs::write(rules, "hostssl all all 127.0.0.1/32 trust\n").expect("its rules");
        self.query("postgres", "ALTER SYSTEM SET ssl = on");
        self.query("postgres", "SELECT pg_reload_conf()");
    }

    /// Makes a database and fills it from a dump.
    pub(crate) fn load(&self, database: &str, dump: &Path) {
        self.query("postgres", &format!("CREATE DATABASE {database}"));
        self.query(
            database,
            "CREATE COLLATION public.utf8_ci_ai (provider = icu, locale = 'und-u-ks-level1', deterministic = false)",
        );
        let dump = File::open(dump).expect("the dump is in the repository");
        let loaded = self.client(database).arg("--quiet").stdin(dump).output().expect("a client");
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    }

    /// Runs statements and gives what they print.
    pub(crate) fn query(&self, database: &str, statements: &str) -> String {
        let done = self.client(database).args(["-At", "-c", statements]).output().expect("a client");
        assert!(done.status.success(), "{statements}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text")
    }

    /// The lines of the server's log that say this.
    pub(crate) fn log_lines(&self, said: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join("log")).expect("there is a log");
        log.lines().filter(|line| line.contains(said)).map(str::to_owned).collect()
    }

    fn client(&self, database: &str) -> Command {
        let mut client = Command::new("psql");
        client
            .args(["--no-psqlrc", "--set=ON_ERROR_STOP=1", "--host=127.0.0.1", "--username=postgres"])
            .args(["--port", &self.port.to_string(), "--dbname", database]);
        client
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(folder: &Path, port: u16) -> Child {
    program("postgres")
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"])
        .arg(folder)
        .args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "shared_buffers=32MB"])
        .args(["-c", "log_statement=all"])
        .stdout(Stdio::null())
        .stderr(File::create(folder.join("log")).expect("a log"))
        .spawn()
        .expect("postgres starts")
}

/// A program of PostgreSQL's, which Debian keeps in a folder for each version; never run as root.
fn program(name: &str) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("postgresql is installed");
    let newest: PathBuf = versions.map(|version| version.expect("a folder").path()).max().expect("a version");
    let path = newest.join("bin").join(name);
    if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
        command
    } else {
        Command::new(path)
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id answers");
    id.stdout.trim_ascii() == b"0"
}
