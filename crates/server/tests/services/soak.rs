//! A server under load and churn for a long time: neither memory nor open files grow.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::node::{Node, PATIENCE, realtime};
use crate::redis_server::Redis;

const CLIENTS: u64 = 400;
const CHANNELS: u64 = 20;
const EVENTS_PER_SECOND: u64 = 200;
const BYTES: usize = 1_024;
const SAMPLE_EVERY: Duration = Duration::from_secs(2);

/// What all clients count.
#[derive(Default)]
struct Count {
    links: AtomicU64,
    bytes: AtomicU64,
}

/// A number that depends on these alone (SplitMix64), below the bound.
fn chance(seed: u64, turn: u64, bound: u64) -> u64 {
    let mut mixed =
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(turn.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % bound
}

/// A masked frame with the mask 0 (RFC 6455, section 5.2).
fn frame(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | kind, 0x80 | u8::try_from(data.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(data);
    frame
}

/// Comes and goes: by WebSocket or as a stream, as ann or as a guest, with a word or without one.
async fn churn(address: String, session: String, number: u64, count: Arc<Count>) {
    for turn in 0.. {
        let draw = |what: u64, bound| chance(number, turn * 8 + what, bound);
        let is_stream = draw(0, 5) == 0;
        let channel = number % CHANNELS;
        let mut head =
            format!("GET /v1/realtime?project=shop&channels[]=u{channel} HTTP/1.1\r\nHost: localhost\r\n");
        if draw(1, 2) == 0 {
            write!(head, "X-Appwrite-Session: {session}\r\n").unwrap();
        }
        head.push_str(if is_stream {
            "Accept: text/event-stream\r\n\r\n"
        } else {
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        });
        let mut socket = TcpStream::connect(&address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        if !is_stream {
            let subscribe = format!(
                r#"{{"type":"subscribe","data":[{{"subscriptionId":"s{number}","channels":["c{channel}"]}}]}}"#
            );
            socket.write_all(&frame(1, subscribe.as_bytes())).await.unwrap();
        }
        count.links.fetch_add(1, Ordering::Relaxed);
        let until = tokio::time::Instant::now() + Duration::from_millis(1_000 + draw(2, 30_000));
        let mut heard = vec![0; 16 * 1024];
        while let Ok(Ok(length)) = tokio::time::timeout_at(until, socket.read(&mut heard)).await {
            if length == 0 {
                break;
            }
            count.bytes.fetch_add(length as u64, Ordering::Relaxed);
            // A Ping of four bytes (RFC 6455, section 5.5.2), unless it came in two parts; messages are ASCII.
            let ping = heard[..length].windows(6).find(|part| part[..2] == [0x89, 4]);
            if let Some(ping) = ping.filter(|_| !is_stream) {
                let _ = socket.write_all(&frame(0xa, &ping[2..])).await;
            }
        }
        if draw(3, 2) == 0 && !is_stream {
            // 1000: it takes leave.
            drop(socket.write_all(&frame(8, &[0x03, 0xe8])).await);
        }
        drop(socket);
        tokio::time::sleep(Duration::from_millis(draw(4, 500))).await;
    }
}

fn envelope(number: u64, filler: &str) -> String {
    let is_change = number.is_multiple_of(EVENTS_PER_SECOND);
    let (name, role) = if is_change { ("users.ann.update", "user:ann") } else { ("x.y", "any") };
    let channel = number % CHANNELS;
    json!({
        "project": "shop", "roles": [role], "permissionsChanged": is_change, "userId": is_change.then_some("ann"),
        "data": {
            "events": [name], "channels": [format!("c{channel}"), format!("u{channel}")],
            "timestamp": "2026-08-21T10:15:30.123+00:00", "payload": { "number": number, "filler": filler }
        }
    })
    .to_string()
}

/// The line through these points that is nearest to them: how much it rises from the first to the last, and how far
/// the points are from it (standard deviation).
fn rise(points: &[f64]) -> (f64, f64) {
    let count = points.len() as f64;
    let (middle, mean) = ((count - 1.0) / 2.0, points.iter().sum::<f64>() / count);
    let of = |index: usize| index as f64 - middle;
    let spread: f64 = (0..points.len()).map(|index| of(index) * of(index)).sum();
    let slope =
        points.iter().enumerate().map(|(index, point)| of(index) * (point - mean)).sum::<f64>() / spread;
    let off = |(index, point): (usize, &f64)| point - mean - slope * of(index);
    let noise = points.iter().enumerate().map(|point| off(point).powi(2)).sum::<f64>() / count;
    (slope * (count - 1.0), noise.sqrt())
}

/// What has become of the memory, in megabytes, once what is kept for those who come back was full.
struct Memory {
    at_first: f64,
    grew: f64,
    noise: f64,
}

fn soak(duration: Duration, window: &str) -> Memory {
    let folder = tempfile::tempdir().unwrap();
    realtime(folder.path(), &["project", "create", "--id", "shop"]);
    realtime(folder.path(), &["user", "create", "--project", "shop", "--id", "ann"]);
    let session = realtime(folder.path(), &["session", "create", "--project", "shop", "--user", "ann"]);
    let session = session["token"].as_str().unwrap().to_owned();
    let redis = Redis::start(&[]);
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let settings =
        ["--resume-window", window, "--heartbeat", "5s", "--log-level", "warn,realtime_server::node=info"];
    let node = Node::start(folder.path(), &settings, &[("REALTIME_REDIS_URL", &url)]);
    node.wait_for_readiness(200);
    let sockets_before = node.open_sockets();
    let count = Arc::new(Count::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            runtime.spawn(churn(node.address().to_owned(), session.clone(), number, Arc::clone(&count)))
        })
        .collect();
    let (began, filler) = (Instant::now(), "x".repeat(BYTES));
    let (mut publisher, mut published, mut samples, mut files) =
        (redis.publisher(), 0, Vec::new(), Vec::new());
    while began.elapsed() < duration {
        let due = began.elapsed().as_millis() as u64 * EVENTS_PER_SECOND / 1_000;
        while published < due {
            publisher.publish(&envelope(published, &filler));
            published += 1;
        }
        if began.elapsed() >= SAMPLE_EVERY * samples.len() as u32 {
            samples.push(node.memory() as f64 / 1e6);
            files.push(node.open_files() as f64);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // What is kept for those who come back grows until it is full.
    let settled = samples.len() / 3;
    let (grew, noise) = rise(&samples[settled..]);
    let (opened, spread) = rise(&files[settled..]);
    println!(
        "{published} events, {} links, {} MB received in {duration:?}; memory {:.0} MB, from then on {grew:+.2} MB in {} \
         samples (noise {noise:.2} MB); open files {:.0}, {opened:+.1} (noise {spread:.1})",
        count.links.load(Ordering::Relaxed),
        count.bytes.load(Ordering::Relaxed) / 1_000_000,
        samples[settled],
        samples.len() - settled,
        files[settled],
    );
    assert!(clients.iter().all(|client| !client.is_finished()), "a client failed");
    runtime.shutdown_background();
    let deadline = Instant::now() + PATIENCE;
    // One to Redis is made when it is first needed.
    while node.open_sockets() > sockets_before + 1 {
        assert!(Instant::now() < deadline, "{} sockets, {sockets_before} before", node.open_sockets());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!node.log().contains("panic"), "{}", node.log());
    assert!(opened < 3.0 * spread + 5.0, "open files grow: {files:.0?}");
    Memory { at_first: samples[settled], grew, noise }
}

#[test]
fn memory_and_open_files_do_not_grow_while_clients_come_and_go() {
    let memory = soak(Duration::from_secs(20), "20s");
    assert!(memory.at_first + memory.grew < 200.0, "{} MB and {} more", memory.at_first, memory.grew);
}

/// `cargo test --release -p realtime-server --test services -- --ignored --nocapture half_an_hour`
#[test]
#[ignore = "takes half an hour"]
fn memory_and_open_files_do_not_grow_in_half_an_hour() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(1_800, |text| text.parse().unwrap());
    let memory = soak(Duration::from_secs(seconds), "2m");
    assert!(memory.grew < 3.0 * memory.noise + 1.0, "memory grows by {} MB", memory.grew);
}
