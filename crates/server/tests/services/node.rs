//! The `realtime` binary as a server of its own: started on a free port, its log read, killed when the test ends.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::{Message, WebSocket};

/// Longer than anything here takes, even on a busy machine; a test that reaches it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a command of the binary on a data folder and reads the JSON that it prints.
pub(crate) fn realtime(data_dir: &Path, arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_realtime"))
        .args(arguments)
        .args(["--json", "--data-dir"])
        .arg(data_dir)
        .env_clear()
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it printed JSON")
}

/// A running server.
pub(crate) struct Node {
    child: Child,
    log: Arc<Log>,
    address: String,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<Value>>,
    added: Condvar,
}

impl Node {
    /// Starts `realtime serve` with these arguments and nothing else from the environment, and waits until it listens.
    pub(crate) fn start(data_dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_realtime"))
            .args(["serve", "--listen", "127.0.0.1:0", "--shards", "2", "--drain", "10ms"])
            .args(["--log-format", "json", "--limits-enabled", "false", "--data-dir"])
            .arg(data_dir)
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().expect("it is piped");
        let keeper = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                keeper.lines.lock().expect("no writer panics").push(line);
                keeper.added.notify_all();
            }
        });
        let mut node = Self { child, log, address: String::new() };
        let started = node.wait_for_log("server started");
        node.address = started["address"].as_str().expect("it names its address").to_owned();
        node
    }

    /// Waits until a line of the log says this.
    pub(crate) fn wait_for_log(&self, said: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().expect("no writer panics");
        loop {
            if let Some(line) = lines.iter().find(|line| line.to_string().contains(said)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the log does not say {said:?}: {lines:#?}");
            (lines, _) = self.log.added.wait_timeout(lines, left).expect("no writer panics");
        }
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> String {
        let lines = self.log.lines.lock().expect("no writer panics");
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Forgets what was logged so far.
    pub(crate) fn clear_log(&self) {
        self.log.lines.lock().expect("no writer panics").clear();
    }

    /// A GET: status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(format!("http://{}{path}", self.address)).call().expect("it answers");
        let body = answer.body_mut().read_to_string().expect("a readable body");
        (answer.status().as_u16(), serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    /// Asks until the probe gives this status.
    pub(crate) fn wait_for_readiness(&self, status: u16) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (found, body) = self.get("/health/ready");
            if found == status {
                return body;
            }
            assert!(Instant::now() < deadline, "readiness stays {found} {body}: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Publishes over HTTP: status and body.
    pub(crate) fn publish(&self, project: &str, key: &str, event: &Value) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent
            .post(format!("http://{}/v1/realtime/events", self.address))
            .header("x-appwrite-project", project)
            .header("x-appwrite-key", key)
            .send(event.to_string())
            .expect("it answers");
        (answer.status().as_u16(), answer.body_mut().read_to_string().expect("a readable body"))
    }

    /// Opens a WebSocket.
    pub(crate) fn connect(&self, query: &str, headers: &[(&str, &str)]) -> Client {
        let url = format!("ws://{}/v1/realtime?{query}", self.address);
        let mut request = url.into_client_request().expect("a URL");
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            request.headers_mut().append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let (socket, _) = tungstenite::client(request, stream).expect("it upgrades");
        Client { socket, waiting: VecDeque::new() }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A client of a server.
pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    waiting: VecDeque<Value>,
}

impl Client {
    /// The next message; a close is `{"close": code}`.
    pub(crate) fn next(&mut self) -> Value {
        if let Some(message) = self.waiting.pop_front() {
            return message;
        }
        loop {
            match self.socket.read().expect("something is said") {
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text).expect("a message is JSON");
                    // A sign of life that nobody asked for.
                    if message["type"] != "pong" {
                        return message;
                    }
                }
                Message::Close(frame) => {
                    return json!({ "close": frame.map_or(1005, |frame| u16::from(frame.code)) });
                }
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }

    /// The next message, which must be of this type.
    pub(crate) fn expect(&mut self, kind: &str) -> Value {
        let message = self.next();
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    /// Sends a message.
    pub(crate) fn say(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).expect("it is listening");
    }

    /// The ids of the payloads that come before the one called `fence`.
    pub(crate) fn ids_until(&mut self, fence: &str) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            let event = self.expect("event");
            match event["data"]["payload"]["$id"].as_str() {
                Some(id) if id == fence => return ids,
                Some(id) => ids.push(id.to_owned()),
                None => panic!("no $id in {event}"),
            }
        }
    }
}
