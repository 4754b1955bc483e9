//! Everybody loses the connection and comes back at once.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::appwrite::{Live, event};
use crate::node::PATIENCE;
use crate::ten_thousand::{fill, session, user};

const THREADS: usize = 4;
/// Users that the clients are of, each with several clients.
const USERS: usize = 500;
/// How often something happens.
const EVENTS_EVERY: Duration = Duration::from_millis(500);

/// A client that keeps one subscription under one id, and knows which event is to come next.
struct Caller {
    request: String,
    socket: TcpStream,
    heard: Vec<u8>,
    next: usize,
    repeated: usize,
}

impl Caller {
    fn new(live: &Live, number: usize) -> Self {
        let request = format!(
            "GET /v1/realtime?project=alpha HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             X-Appwrite-Session: {}\r\n\r\n",
            session(live, &user(number % USERS))
        );
        let socket = Self::dial(live, &request);
        Self { request, socket, heard: Vec::new(), next: 0, repeated: 0 }
    }

    fn dial(live: &Live, request: &str) -> TcpStream {
        let mut socket = TcpStream::connect(live.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE * 4)).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        socket
    }

    /// Its link is cut, and it comes again.
    fn come_back(&mut self, live: &Live) {
        self.socket = Self::dial(live, &self.request);
        self.heard.clear();
    }

    /// Subscribes as soon as it is let in; `false` if it was turned away, or cut off.
    fn subscribe(&mut self, number: usize) -> bool {
        if !self.hear_until(br#""type":"connected""#) {
            return false;
        }
        let text = format!(
            r#"{{"type":"subscribe","data":[{{"subscriptionId":"s{number}","channels":["probe"]}}]}}"#
        );
        // A masked text frame of at most 125 bytes, under the mask 0 (RFC 6455, section 5.2).
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
        frame.extend(text.as_bytes());
        self.socket.write_all(&frame).is_ok() && self.hear_until(br#""to":"subscribe""#)
    }

    fn hear_until(&mut self, wanted: &[u8]) -> bool {
        loop {
            if let Some(at) = find(&self.heard, wanted) {
                self.heard.drain(..at + wanted.len());
                return true;
            }
            if !self.hear_more() {
                return false;
            }
        }
    }

    /// `false` if the link has ended. Pings are answered as any WebSocket client does; who never answers is taken to have
    /// got what was written to its link.
    fn hear_more(&mut self) -> bool {
        let mut part = [0; 8_192];
        match self.socket.read(&mut part) {
            Ok(0) => return false,
            Ok(length) => self.heard.extend(&part[..length]),
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "nothing came for too long");
                return false;
            }
        }
        // A Ping of four bytes (RFC 6455, section 5.5.2); messages are ASCII, and never as long as this would be for a length.
        while let Some(at) = find(&self.heard, &[0x89, 4]).filter(|at| at + 6 <= self.heard.len()) {
            let ping: Vec<u8> = self.heard.drain(at..at + 6).collect();
            let pong = [&[0x8a, 0x84, 0, 0, 0, 0], &ping[2..]].concat();
            if self.socket.write_all(&pong).is_err() {
                return false;
            }
        }
        true
    }

    /// Everything up to this event: each in its order, or once more.
    fn hear_events(&mut self, last: usize) {
        while self.next <= last {
            assert!(self.hear_until(br#""$id":"storm "#), "it was cut off before event {}", self.next);
            while find(&self.heard, b"\"").is_none() {
                assert!(self.hear_more(), "it was cut off before event {}", self.next);
            }
            let end = find(&self.heard, b"\"").unwrap();
            let number: usize = std::str::from_utf8(&self.heard[..end]).unwrap().parse().unwrap();
            assert!(number <= self.next, "event {} is missing; {number} came", self.next);
            if number == self.next { self.next += 1 } else { self.repeated += 1 }
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}

/// Does this for all, each thread its share.
fn for_all(callers: &mut [Caller], work: impl Fn(usize, &mut Caller) + Sync) {
    let share = callers.len().div_ceil(THREADS);
    std::thread::scope(|scope| {
        for (thread, part) in callers.chunks_mut(share).enumerate() {
            let work = &work;
            scope.spawn(move || {
                part.iter_mut().enumerate().for_each(|(index, caller)| work(thread * share + index, caller));
            });
        }
    });
}

fn storm(clients: usize) {
    let live = Live::new(&[("REALTIME_LOG_LEVEL", "warn,realtime_server::node=info,realtime_server=info")]);
    fill(&live, USERS);
    let began = Instant::now();
    let mut callers: Vec<Caller> = (0..clients).map(|number| Caller::new(&live, number)).collect();
    for_all(&mut callers, |number, caller| assert!(caller.subscribe(number), "{number} was turned away"));
    println!("{clients} clients subscribed within {:.1?}", began.elapsed());

    let (published, all_back, refused) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicUsize::new(0));
    let say = || {
        let number = published.load(Ordering::Relaxed);
        live.publish(&event("alpha", "users", &format!("storm {number}")));
        published.store(number + 1, Ordering::Relaxed);
    };
    say();
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !all_back.load(Ordering::Relaxed) {
                say();
                std::thread::sleep(EVENTS_EVERY);
            }
        });
        for caller in &callers {
            caller.socket.shutdown(Shutdown::Both).unwrap();
        }
        for_all(&mut callers, |_, caller| caller.come_back(&live));
        println!("all came within {:.1?}", began.elapsed());
        for_all(&mut callers, |number, caller| {
            while !caller.subscribe(number) {
                refused.fetch_add(1, Ordering::Relaxed);
                caller.come_back(&live);
            }
        });
        println!(
            "all were let in within {:.1?}, {} after a refusal",
            began.elapsed(),
            refused.load(Ordering::Relaxed)
        );
        all_back.store(true, Ordering::Relaxed);
    });
    say();
    let last = published.load(Ordering::Relaxed) - 1;
    for_all(&mut callers, |_, caller| caller.hear_events(last));
    let repeated: usize = callers.iter().map(|caller| caller.repeated).sum();
    println!(
        "each got all {} events in order within {:.1?}, {repeated} came twice; memory at most {} MB",
        last + 1,
        began.elapsed(),
        live.peak_memory() / 1_000_000
    );
}

#[test]
fn a_thousand_who_come_back_at_once_are_all_let_in_and_miss_nothing() {
    storm(1_000);
}

/// Takes a machine to itself, and 20,100 open files each for test and server (`ulimit -n`); `STORM_CLIENTS` has it make do
/// with less: `cargo test --release -p realtime-server --test services -- --ignored --nocapture twenty_thousand`
#[test]
#[ignore = "takes a minute and a machine to itself"]
fn twenty_thousand_who_come_back_at_once_are_all_let_in_and_miss_nothing() {
    storm(std::env::var("STORM_CLIENTS").map_or(20_000, |clients| clients.parse().unwrap()));
}
