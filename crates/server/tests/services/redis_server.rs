//! A `redis-server` of the test's own: on a free port, without files, killed when the test ends.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::node::PATIENCE;

/// A running Redis.
pub(crate) struct Redis {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts one on a free port.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let child = run(&folder, port, &arguments);
        Self { child, folder, port, arguments }
    }

    /// Its port.
    pub(crate) fn port(&self) -> String {
        self.port.to_string()
    }

    /// Kills it; the port stays its own.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) fn restart(&mut self) {
        self.child = run(&self.folder, self.port, &self.arguments);
    }

    /// Sends a command and gives what is answered.
    pub(crate) fn command(&self, words: &[&[u8]]) -> String {
        ask(self.port, words).expect("it answers")
    }

    /// Sends a command and waits for nothing.
    pub(crate) fn send(&self, words: &[&[u8]]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.write_all(&request(words)).expect("it listens");
        // What was sent is read before the end of the connection.
        stream.shutdown(std::net::Shutdown::Write).expect("it listens");
    }

    /// A connection to publish much on.
    pub(crate) fn publisher(&self) -> Publisher {
        Publisher(TcpStream::connect(("127.0.0.1", self.port)).expect("it listens"))
    }

    /// Publishes as Appwrite does; how many subscriptions took it.
    pub(crate) fn publish(&self, message: &str) -> usize {
        let answer = self.command(&[b"PUBLISH", b"realtime", message.as_bytes()]);
        answer.trim_start_matches(':').trim().parse().unwrap_or_else(|_| panic!("it said {answer}"))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A connection to publish much on.
pub(crate) struct Publisher(TcpStream);

impl Publisher {
    /// Publishes, and waits until Redis has taken it.
    pub(crate) fn publish(&mut self, message: &str) {
        self.0.write_all(&request(&[b"PUBLISH", b"realtime", message.as_bytes()])).expect("it listens");
        let mut answer = [0; 64];
        let length = self.0.read(&mut answer).expect("it answers");
        assert_eq!(answer.first(), Some(&b':'), "{}", String::from_utf8_lossy(&answer[..length]));
    }
}

fn run(folder: &tempfile::TempDir, port: u16, arguments: &[String]) -> Child {
    let mut child = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
        .args(arguments)
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed: `cargo xtask test` installs what the tests need");
    let deadline = Instant::now() + PATIENCE;
    while ask(port, &[b"PING"]).is_none() {
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none() && Instant::now() < deadline, "redis-server does not answer: {ended:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// One command on a connection of its own. Any answer is one, a refusal included.
fn ask(port: u16, words: &[&[u8]]) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(&request(words)).ok()?;
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer).ok().filter(|length| *length > 0)?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend(format!("${}\r\n", word.len()).into_bytes());
        request.extend(*word);
        request.extend(b"\r\n");
    }
    request
}

/// A port that nobody uses at the moment, and that nobody gets by chance: it is below those that systems hand out, and
/// each test process begins to look at another place.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 15_000;
    const COUNT: u32 = 15_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    loop {
        let offset = start.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + offset).expect("it is below 30,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
