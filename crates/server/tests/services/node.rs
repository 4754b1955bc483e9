//! The `realtime` binary as a server of its own: started on a free port, its log read, killed when the test ends.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::protocol::CloseFrame;
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
            .args(["serve", "--listen", "127.0.0.1:0", "--shards", "2", "--log-format", "json", "--data-dir"])
            .arg(data_dir)
            .args(arguments)
            .env_clear()
            .envs([("REALTIME_DRAIN", "10ms"), ("REALTIME_LIMITS_ENABLED", "false")])
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

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The most memory that it has had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// The memory that it has now, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// How many files and sockets it has open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    /// The same of sockets alone.
    pub(crate) fn open_sockets(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").flatten();
        let names = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        names.filter(|name| name.to_string_lossy().starts_with("socket:")).count()
    }

    /// A size that Linux tells of the process, in bytes (`proc_pid_status(5)`).
    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1_024
    }

    /// The processor time that it has used so far. Linux counts it in hundredths of a second (`proc_pid_stat(5)`).
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        let ticks = |index: usize| -> u64 {
            fields.split(' ').nth(index).expect("a field").parse().expect("a number")
        };
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// Lets it hang.
    pub(crate) fn pause(&self) {
        signal(&self.child, "STOP");
    }

    /// Lets it go on after [`Self::pause`].
    pub(crate) fn go_on(&self) {
        signal(&self.child, "CONT");
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
        Client::websocket(&self.address, query, headers)
    }

    /// Opens a stream of server-sent events.
    pub(crate) fn stream(&self, query: &str, headers: &[(&str, &str)]) -> Client {
        Client::event_stream(&self.address, query, headers)
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Tells it to stop, as an operator does, and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.tell_to_stop();
        self.wait_for_end();
    }

    /// The first half of [`Self::stop`].
    pub(crate) fn tell_to_stop(&self) {
        signal(&self.child, "TERM");
    }

    /// Whether it is no more.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// The second half of [`Self::stop`].
    pub(crate) fn wait_for_end(&mut self) {
        assert!(self.child.wait().expect("a child").success());
    }
}

/// Sends a signal to a child.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client of a server.
pub(crate) struct Client(Link);

enum Link {
    WebSocket(Box<WebSocket<TcpStream>>),
    EventStream(BufReader<TcpStream>),
}

impl Client {
    /// Opens a WebSocket to a server, or to a proxy in front of it.
    pub(crate) fn websocket(address: &str, query: &str, headers: &[(&str, &str)]) -> Client {
        let url = format!("ws://{address}/v1/realtime?{query}");
        let mut request = url.into_client_request().expect("a URL");
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            request.headers_mut().append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let (socket, _) = tungstenite::client(request, stream).expect("it upgrades");
        Client(Link::WebSocket(Box::new(socket)))
    }

    /// The same, if somebody answers and goes on listening.
    pub(crate) fn try_websocket(address: &str, query: &str, headers: &[(&str, &str)]) -> Option<Client> {
        let mut request = format!("ws://{address}/v1/realtime?{query}").into_client_request().expect("a URL");
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            request.headers_mut().append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let (socket, _) = tungstenite::client(request, stream).ok()?;
        Some(Client(Link::WebSocket(Box::new(socket))))
    }

    /// Opens a stream of server-sent events, likewise.
    pub(crate) fn event_stream(address: &str, query: &str, headers: &[(&str, &str)]) -> Client {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut head =
            format!("GET /v1/realtime?{query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).expect("it listens");
        let mut lines = BufReader::new(stream);
        let mut status = String::new();
        lines.read_line(&mut status).expect("it answers");
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        Client(Link::EventStream(lines))
    }

    /// The next message; a close is `{"close": code}`.
    pub(crate) fn next(&mut self) -> Value {
        self.next_unless_cut_off().expect("the link is there")
    }

    /// The same; `None` if the link was cut without a close.
    pub(crate) fn next_unless_cut_off(&mut self) -> Option<Value> {
        loop {
            let message = match &mut self.0 {
                Link::WebSocket(socket) => match socket.read().ok()? {
                    Message::Text(text) => serde_json::from_str(&text).expect("a message is JSON"),
                    Message::Close(frame) => {
                        return Some(json!({ "close": frame.map_or(1005, |frame| u16::from(frame.code)) }));
                    }
                    Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => continue,
                },
                Link::EventStream(lines) => match next_of(lines)? {
                    (Some(name), data) if name == "close" => return Some(json!({ "close": data["code"] })),
                    (_, data) => data,
                },
            };
            // A sign of life that nobody asked for.
            if message["type"] != "pong" {
                return Some(message);
            }
        }
    }

    /// The next message, which must be of this type.
    pub(crate) fn expect(&mut self, kind: &str) -> Value {
        let message = self.next();
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    /// Closed with this code, and then the link ends as its protocol asks for.
    pub(crate) fn must_be_closed(&mut self, code: u16) {
        assert_eq!(self.next(), json!({ "close": code }));
        match &mut self.0 {
            Link::WebSocket(socket) => {
                let end = socket.read();
                assert!(matches!(end, Err(tungstenite::Error::ConnectionClosed)), "{end:?}");
            }
            Link::EventStream(lines) => {
                // The link may be used for another request, so it is the body that has to end: with an empty chunk.
                let (mut line, mut before) = (String::new(), String::new());
                while !(before == "0\r\n" && line == "\r\n") {
                    before = std::mem::take(&mut line);
                    let length = lines.read_line(&mut line).expect("the server ends the body");
                    assert!(length > 0, "the link ended and the body did not");
                }
            }
        }
    }

    /// Ends the link with a Close, and waits until the server has taken note.
    pub(crate) fn close(mut self, code: u16) {
        let Link::WebSocket(socket) = &mut self.0 else { panic!("an event stream only listens") };
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        socket.close(Some(frame)).expect("it is listening");
        while socket.read().is_ok() {}
    }

    /// Sends a message, if anybody still listens.
    pub(crate) fn try_say(&mut self, message: &Value) {
        if let Link::WebSocket(socket) = &mut self.0 {
            drop(socket.send(Message::text(message.to_string())));
        }
    }

    /// Sends a message.
    pub(crate) fn say(&mut self, message: &Value) {
        let Link::WebSocket(socket) = &mut self.0 else { panic!("an event stream only listens") };
        socket.send(Message::text(message.to_string())).expect("it is listening");
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

/// The name and the data of the next event of a stream. The body is chunked, and each message in lines of its own.
fn next_of(lines: &mut BufReader<TcpStream>) -> Option<(Option<String>, Value)> {
    let mut name = None;
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).ok().filter(|length| *length > 0)?;
        if let Some(event) = line.strip_prefix("event: ") {
            name = Some(event.trim().to_owned());
        }
        // What every receiver shares and what is its own come in chunks of their own, so a message may span them.
        if let Some(data) = line.strip_prefix("data: ") {
            let mut text = data.trim_end().to_owned();
            while serde_json::from_str::<Value>(&text).is_err() {
                let mut more = String::new();
                lines.read_line(&mut more).ok().filter(|length| *length > 0)?;
                let is_size = u64::from_str_radix(more.trim(), 16).is_ok() && more.ends_with("\r\n");
                if !is_size {
                    text.push_str(more.trim_end_matches(['\r', '\n']));
                }
            }
            return Some((name, serde_json::from_str(&text).expect("it was checked")));
        }
    }
}
