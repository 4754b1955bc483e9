//! A `nats-server` of the test's own: on a free port, with a folder for its streams, killed when the test ends.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::node::{PATIENCE, signal};
use crate::redis_server::free_port;

/// A running NATS.
pub(crate) struct Nats {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    arguments: Vec<String>,
}

impl Nats {
    /// Starts one on a free port.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let child = run(&folder, port, &arguments);
        Self { child, folder, port, arguments }
    }

    /// Two that are one cluster.
    pub(crate) fn cluster() -> [Self; 2] {
        let routes = [free_port(), free_port()].map(|port| format!("nats://127.0.0.1:{port}"));
        let member = |own: usize| {
            Self::start(&["--cluster_name", "both", "--cluster", &routes[own], "--routes", &routes[1 - own]])
        };
        let cluster = [member(0), member(1)];
        cluster[0].wait_for(&cluster[1]);
        cluster[1].wait_for(&cluster[0]);
        cluster
    }

    /// Waits until it knows another one of its cluster, of which it tells clients.
    pub(crate) fn wait_for(&self, other: &Self) {
        let deadline = Instant::now() + PATIENCE;
        let knows = |greeting: String| greeting.contains(&format!("\"{}\"", other.address()));
        while !greeting(self.port).is_some_and(knows) {
            assert!(Instant::now() < deadline, "the servers do not find each other");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it; the port and the streams stay its own.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) fn restart(&mut self) {
        self.child = run(&self.folder, self.port, &self.arguments);
    }

    /// Lets it hang.
    pub(crate) fn pause(&self) {
        signal(&self.child, "STOP");
    }

    /// Lets it go on after [`Self::pause`].
    pub(crate) fn go_on(&self) {
        signal(&self.child, "CONT");
    }

    /// Publishes, and waits until it is taken.
    pub(crate) fn publish(&self, subject: &str, message: &[u8]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut said = b"CONNECT {\"verbose\":false}\r\n".to_vec();
        said.extend(format!("PUB {subject} {}\r\n", message.len()).into_bytes());
        said.extend(message);
        said.extend(b"\r\nPING\r\n");
        stream.write_all(&said).expect("it listens");
        let answers = BufReader::new(stream).lines().map_while(Result::ok);
        let mut answers = answers.skip_while(|line| line.starts_with("INFO") || line == "PING");
        assert_eq!(answers.next().as_deref(), Some("PONG"));
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(folder: &tempfile::TempDir, port: u16, arguments: &[String]) -> Child {
    let mut child = Command::new("nats-server")
        .args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--store_dir"])
        .arg(folder.path())
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server is installed: `cargo xtask test` installs what the tests need");
    let deadline = Instant::now() + PATIENCE;
    while greeting(port).is_none() {
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none() && Instant::now() < deadline, "nats-server does not answer: {ended:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// It says who it is before anything else.
fn greeting(port: u16) -> Option<String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    Some(line).filter(|line| line.starts_with("INFO"))
}
