//! One event to many connections: the server's processor time for each delivery, against a bare `writev` of the same
//! frame in the same run.

use std::io::{BufRead, BufReader, IoSlice, Write};
use std::net::{TcpListener, TcpStream as StdStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::BenchError;
use crate::cpu::thread_time;
use crate::report::{Report, Spread, Table, ratio};

/// How much to send, and to how many.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Connections, each with a subscription id of its own
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
    /// Events of each paced round
    #[arg(long, default_value_t = 100)]
    events: usize,
    /// Paced events in a second
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// Rounds; floor and server take turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The server's binary; by default the one built beside this one
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Bytes of filling in an event's payload, so that a frame has about 600.
const FILLING: usize = 300;
/// How long everything that was sent may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    LazyLock::force(&BEGAN);
    let runtime = Runtime::new().map_err(BenchError::io("start", "a runtime"))?;
    let server = Server::start(options)?;
    let received = Arc::new(Received::default());
    let frame = runtime.block_on(connect(&server, options.connections, &received))?;
    let floor = Floor::open(&runtime, options.connections)?;
    let (mut floors, mut paced, mut backlog, mut latencies) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        floors.push(floor.measure(frame, options.events)?);
        let mut publisher = Publisher::connect(&server)?;
        paced.push(server.measure(&received, options, || publisher.paced(options))?);
        latencies.append(&mut received.take_latencies());
        backlog.push(server.measure(&received, options, || publisher.at_once(options.events))?);
        received.take_latencies();
    }
    report(options, frame, &floors, &paced, &backlog, latencies).print(options.json);
    Ok(())
}

/// What the clients have received.
#[derive(Debug, Default)]
struct Received {
    events: AtomicU64,
    /// Nanoseconds from the moment an event was to be sent, of every delivery.
    latencies: Mutex<Vec<u64>>,
}

/// When this run began: schedule and receipts are told in nanoseconds since.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

fn since_began(moment: Instant) -> u64 {
    u64::try_from(moment.saturating_duration_since(*BEGAN).as_nanos()).unwrap_or(u64::MAX)
}

impl Received {
    fn take_latencies(&self) -> Vec<u64> {
        std::mem::take(&mut *self.latencies.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A server of its own, killed when it is dropped.
struct Server {
    child: Child,
    folder: PathBuf,
    address: String,
    key: String,
}

impl Server {
    fn start(options: &Options) -> Result<Self, BenchError> {
        let binary = match &options.bin {
            Some(binary) => binary.clone(),
            None => std::env::current_exe()
                .map_err(BenchError::io("find", "this binary"))?
                .with_file_name("realtime"),
        };
        let folder = std::env::temp_dir().join(format!("realtime-bench-{}", std::process::id()));
        let shown = binary.display().to_string();
        let mut child = Command::new(&binary)
            .args([
                "dev",
                "--json",
                "--listen",
                "127.0.0.1:0",
                "--limits-enabled",
                "false",
                "--log-level",
                "error",
            ])
            .arg("--data-dir")
            .arg(&folder)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BenchError::io(
                "start (build it with `cargo build --release -p realtime-server`)",
                shown,
            ))?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output)
                .read_line(&mut line)
                .map_err(BenchError::io("read", "what the server says"))?;
        }
        let facts: Value = serde_json::from_str(&line)
            .map_err(|error| BenchError::new(format!("the server did not start: {error}")))?;
        let text = |name: &str| facts.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let address = text("endpoint").trim_start_matches("http://").trim_end_matches("/v1").to_owned();
        Ok(Self { child, folder, address, key: text("apiKey") })
    }

    /// Nanoseconds on a processor of all its threads so far (`/proc/PID/task/*/schedstat`, first field).
    fn processor_time(&self) -> u64 {
        let tasks =
            std::fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let spent = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        spent.sum()
    }

    /// Nanoseconds for each delivery of what `publish` sends.
    fn measure(
        &self,
        received: &Received,
        options: &Options,
        publish: impl FnOnce() -> Result<usize, BenchError>,
    ) -> Result<f64, BenchError> {
        let (before, had) = (self.processor_time(), received.events.load(Ordering::Acquire));
        let sent = publish()?;
        let wanted = (sent * options.connections) as u64;
        let deadline = Instant::now() + PATIENCE;
        while received.events.load(Ordering::Acquire) - had < wanted {
            if Instant::now() > deadline {
                let got = received.events.load(Ordering::Acquire) - had;
                return Err(BenchError::new(format!("{got} of {wanted} deliveries came")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok((self.processor_time() - before) as f64 / wanted as f64)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// Opens the connections, subscribes each, and lets them read. The size of an event's frame is returned.
async fn connect(server: &Server, connections: usize, received: &Arc<Received>) -> Result<usize, BenchError> {
    for number in 0..connections {
        let mut stream = TcpStream::connect(&server.address)
            .await
            .map_err(BenchError::io("connect to", &server.address))?;
        let request = format!(
            "GET /v1/realtime?project=demo HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            server.address
        );
        let subscribe = format!(
            r#"{{"type":"subscribe","data":[{{"subscriptionId":"bench-{number:014}","channels":["documents"]}}]}}"#
        );
        let hello = [request.into_bytes(), masked(subscribe.as_bytes())].concat();
        stream.write_all(&hello).await.map_err(BenchError::io("write to", "a connection"))?;
        let mut seen: Vec<u8> = Vec::new();
        while !seen.windows(14).any(|part| part == br#""to":"subscrib"#) {
            let mut part = [0; 2_048];
            let read = stream.read(&mut part).await.map_err(BenchError::io("read from", "a connection"))?;
            if read == 0 {
                return Err(BenchError::new("the server closed a connection"));
            }
            seen.extend(part.iter().take(read));
        }
        let received = Arc::clone(received);
        tokio::spawn(async move { read_events(stream, &received).await });
    }
    Ok(frame_size())
}

/// About as long as the frames that the server sends, measured once by hand from its own spelling.
fn frame_size() -> usize {
    let event = body(0, u64::MAX);
    let around = r#"{"type":"event","data":{"events":[],"channels":["documents"],"timestamp":"2026-08-21T10:15:30.123+00:00","payload":,"id":"0660fb56944ad16045acf56758e6ac","subscriptions":["bench-00000000000000"]}}"#;
    event.pointer("/payload").map_or(0, |payload| payload.to_string().len()) + around.len() + 4
}

/// A client's text frame of at most 125 bytes or 65,535 (RFC 6455 §5.2), masked with zeros.
fn masked(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(short) if short < 126 => frame.push(0x80 | short),
        Ok(_) | Err(_) => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text);
    frame
}

/// Counts events by their send time, which stands in each payload as `"at":NANOSECONDS,`.
async fn read_events(mut stream: TcpStream, received: &Received) {
    const MARK: &[u8] = br#""at":"#;
    let mut rest: Vec<u8> = Vec::new();
    let mut part = vec![0; 65_536];
    while let Ok(read) = stream.read(&mut part).await {
        if read == 0 {
            return;
        }
        let now = since_began(Instant::now());
        rest.extend(part.iter().take(read));
        let mut latencies = Vec::new();
        let mut looked = 0;
        while let Some(place) =
            rest.get(looked..).and_then(|tail| tail.windows(MARK.len()).position(|w| w == MARK))
        {
            let from = looked + place + MARK.len();
            let digits: Vec<u8> =
                rest.get(from..).unwrap_or_default().iter().copied().take_while(u8::is_ascii_digit).collect();
            if from + digits.len() >= rest.len() {
                break;
            }
            let at: u64 = String::from_utf8_lossy(&digits).parse().unwrap_or_default();
            latencies.push(now.saturating_sub(at));
            looked = from;
        }
        rest.drain(..looked);
        if rest.len() > 4 * 1_024 {
            let surplus = rest.len() - 64;
            rest.drain(..surplus);
        }
        let count = latencies.len() as u64;
        received.latencies.lock().unwrap_or_else(PoisonError::into_inner).append(&mut latencies);
        received.events.fetch_add(count, Ordering::Release);
    }
}

/// An event, told when it was to be sent.
fn body(number: usize, at: u64) -> Value {
    json!({
        "channels": ["documents"],
        "roles": ["any"],
        "payload": { "at": at, "n": number, "filling": "x".repeat(FILLING) },
    })
}

/// One HTTP connection that events are published on.
struct Publisher {
    stream: BufReader<StdStream>,
    address: String,
    key: String,
}

impl Publisher {
    fn connect(server: &Server) -> Result<Self, BenchError> {
        let stream =
            StdStream::connect(&server.address).map_err(BenchError::io("connect to", &server.address))?;
        stream.set_nodelay(true).map_err(BenchError::io("set up", "a connection"))?;
        let stream = BufReader::new(stream);
        Ok(Self { stream, address: server.address.clone(), key: server.key.clone() })
    }

    /// Events at even intervals, each told the moment of the schedule: one that is late counts its lateness.
    fn paced(&mut self, options: &Options) -> Result<usize, BenchError> {
        let interval = Duration::from_secs(1) / options.rate.max(1);
        let began = Instant::now();
        for number in 0..options.events {
            let due = began + interval * u32::try_from(number).unwrap_or(u32::MAX);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.post(&body(number, since_began(due)))?;
        }
        Ok(options.events)
    }

    /// A batch as large as a paced round, so that a backlog forms.
    fn at_once(&mut self, events: usize) -> Result<usize, BenchError> {
        let now = since_began(Instant::now());
        let batch: Vec<Value> = (0..events).map(|number| body(number, now)).collect();
        self.post(&Value::Array(batch))?;
        Ok(events)
    }

    fn post(&mut self, body: &Value) -> Result<(), BenchError> {
        let body = body.to_string();
        let request = format!(
            "POST /v1/realtime/events HTTP/1.1\r\nHost: {}\r\nX-Appwrite-Project: demo\r\nX-Appwrite-Key: {}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            self.key,
            body.len()
        );
        let io = || BenchError::io("publish to", "the server");
        self.stream.get_mut().write_all(request.as_bytes()).map_err(io())?;
        let mut length = 0;
        let mut status = String::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).map_err(io())?;
            if status.is_empty() {
                status = line.trim().to_owned();
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or_default();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        std::io::Read::read_exact(&mut self.stream, &mut vec![0; length]).map_err(io())?;
        if status.contains(" 200 ") { Ok(()) } else { Err(BenchError::new(format!("publishing: {status}"))) }
    }
}

/// Connected socket pairs and somebody who empties them: what a fan-out costs the kernel alone.
struct Floor {
    writers: Vec<StdStream>,
}

impl Floor {
    fn open(runtime: &Runtime, connections: usize) -> Result<Self, BenchError> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(BenchError::io("listen on", "a port"))?;
        let address = listener.local_addr().map_err(BenchError::io("name", "a port"))?;
        let mut writers = Vec::with_capacity(connections);
        for _ in 0..connections {
            let reader = StdStream::connect(address).map_err(BenchError::io("connect to", address))?;
            let (writer, _) = listener.accept().map_err(BenchError::io("accept on", address))?;
            let set = writer.set_nodelay(true).and_then(|()| reader.set_nonblocking(true));
            set.map_err(BenchError::io("set up", "a connection"))?;
            writers.push(writer);
            runtime.spawn(async move {
                let Ok(mut reader) = TcpStream::from_std(reader) else { return };
                let mut part = vec![0; 65_536];
                while matches!(reader.read(&mut part).await, Ok(read) if read > 0) {}
            });
        }
        Ok(Self { writers })
    }

    /// Nanoseconds for one `writev` of header, shared part and own part of a frame this long.
    fn measure(&self, frame: usize, events: usize) -> Result<f64, BenchError> {
        let (header, shared, own) = ([0; 4], vec![0; frame.saturating_sub(36)], [0; 32]);
        let before = thread_time();
        for _ in 0..events {
            for mut writer in &self.writers {
                let parts = [IoSlice::new(&header), IoSlice::new(&shared), IoSlice::new(&own)];
                writer.write_vectored(&parts).map_err(BenchError::io("write to", "a connection"))?;
            }
        }
        Ok((thread_time() - before).as_nanos() as f64 / (events * self.writers.len()) as f64)
    }
}

fn report(
    options: &Options,
    frame: usize,
    floors: &[f64],
    paced: &[f64],
    backlog: &[f64],
    mut latencies: Vec<u64>,
) -> Report {
    latencies.sort_unstable();
    let quantile = |part: f64| {
        let place = (latencies.len().saturating_sub(1)) as f64 * part;
        latencies.get(place as usize).map_or(f64::NAN, |nanos| *nanos as f64 / 1e6)
    };
    let of = |measured: &[f64]| -> Vec<f64> {
        measured.iter().zip(floors).map(|(own, floor)| own / floor).collect()
    };
    let mut table =
        Table::new(&["what", "µs of processor for each delivery (spread)", "times the floor (spread)"]);
    let mut row = |what: &str, measured: &[f64]| {
        let (own, times) = (Spread::of(measured), Spread::of(&of(measured)));
        table.row([
            what.to_owned(),
            format!("{:.2} ({:.2}–{:.2})", own.median / 1e3, own.min / 1e3, own.max / 1e3),
            format!("{} ({}–{})", ratio(times.median), ratio(times.min), ratio(times.max)),
        ]);
    };
    row("floor: bare writev of one frame", floors);
    row("server, one event at a time", paced);
    row("server, under backlog", backlog);
    let notes = vec![
        format!(
            "{} connections, frames of about {frame} B, {} rounds of {} events; no delivery was lost.",
            options.connections, options.rounds, options.events
        ),
        format!(
            "One at a time, from the moment an event was to be sent to its receipt: p50 {:.1} ms, p99 {:.1} ms, most \
             {:.1} ms. Client and server share the machine.",
            quantile(0.5),
            quantile(0.99),
            quantile(1.0)
        ),
        "Aims: at most 1.3 times the floor one at a time, at most a third of it under backlog.".to_owned(),
    ];
    let json = json!({
        "connections": options.connections,
        "frame": frame,
        "floor_ns": Spread::of(floors).to_json(),
        "paced_ns": Spread::of(paced).to_json(),
        "backlog_ns": Spread::of(backlog).to_json(),
        "paced_ratio": Spread::of(&of(paced)).to_json(),
        "backlog_ratio": Spread::of(&of(backlog)).to_json(),
        "latency_ms": { "p50": quantile(0.5), "p99": quantile(0.99), "max": quantile(1.0) },
    });
    Report { table, notes, json }
}
