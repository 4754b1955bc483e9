//! Everybody loses the connection and comes back at once.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use crate::appwrite::{Live, event};
use crate::node::{Client, PATIENCE};
use crate::ten_thousand::{fill, session, user};

const THREADS: usize = 4;
/// Users that the clients are of, each with several clients.
const USERS: usize = 500;
/// How often something happens.
const EVENTS_EVERY: Duration = Duration::from_millis(500);

/// Where clients come in, and with what.
struct Doors {
    addresses: [String; 2],
    /// Of each user.
    sessions: Vec<String>,
}

/// A client that keeps one subscription under one id, and knows which event is to come next.
struct Caller {
    number: usize,
    /// Connections so far: each goes to another server than the one before.
    links: usize,
    socket: TcpStream,
    heard: Vec<u8>,
    next: usize,
    repeated: usize,
}

impl Caller {
    fn new(doors: &Doors, number: usize) -> Self {
        let socket = Self::dial(doors, number, 0);
        Self { number, links: 1, socket, heard: Vec::new(), next: 0, repeated: 0 }
    }

    fn dial(doors: &Doors, number: usize, links: usize) -> TcpStream {
        let mut socket = TcpStream::connect(&doors.addresses[(number + links) % 2]).unwrap();
        socket.set_read_timeout(Some(PATIENCE * 4)).unwrap();
        // As clients do: else what follows a Pong waits until the server's kernel acknowledges the Pong.
        socket.set_nodelay(true).unwrap();
        let head = format!(
            "GET /v1/realtime?project=alpha HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             X-Appwrite-Session: {}\r\n\r\n",
            doors.sessions[number % USERS]
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket
    }

    fn come_back(&mut self, doors: &Doors) {
        self.socket = Self::dial(doors, self.number, self.links);
        self.links += 1;
        self.heard.clear();
    }

    /// Subscribes as soon as it is let in; `false` if it was turned away, or cut off.
    fn subscribe(&mut self) -> bool {
        if !self.hear_until(br#""type":"connected""#) {
            return false;
        }
        let text = format!(
            r#"{{"type":"subscribe","data":[{{"subscriptionId":"s{}","channels":["probe"]}}]}}"#,
            self.number
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

/// What a thread does with its share of the clients, one after another.
#[derive(Clone, Copy)]
enum Order {
    /// All links are cut, then all clients dial again.
    ComeBack,
    /// All subscribe as before, however often they are turned away.
    Subscribe,
    /// All read up to this event.
    HearEvents(usize),
}

/// What became of a share of the clients.
#[derive(Default)]
struct Outcome {
    refused: usize,
    repeated: usize,
}

/// Gives this thread a table of open files to itself, since one table holds fewer files than there are clients on some machines.
/// What others have open would be copied into it, and stay open when they close it.
fn have_files_of_its_own() {
    unshare(CloneFlags::CLONE_FILES).unwrap();
    let files = std::fs::read_dir("/proc/thread-self/fd").unwrap().flatten();
    let files: Vec<i32> = files.filter_map(|file| file.file_name().to_str()?.parse().ok()).collect();
    // The folder itself is among them, and closed already.
    files.into_iter().filter(|file| *file > 2).for_each(|file| {
        let _ = nix::unistd::close(file);
    });
}

/// Subscribes a share of the clients, then carries out orders until there are no more, and answers each.
fn share(doors: &Doors, numbers: Range<usize>, orders: &Receiver<Order>, done: &Sender<()>) -> Outcome {
    have_files_of_its_own();
    let mut outcome = Outcome::default();
    let connect = |number| {
        let mut caller = Caller::new(doors, number);
        assert!(caller.subscribe(), "{number} was turned away");
        caller
    };
    let mut callers: Vec<Caller> = numbers.map(connect).collect();
    done.send(()).unwrap();
    for order in orders {
        if let Order::ComeBack = order {
            for caller in &callers {
                let _ = caller.socket.shutdown(Shutdown::Both);
            }
        }
        for caller in &mut callers {
            match order {
                Order::ComeBack => caller.come_back(doors),
                Order::Subscribe => {
                    while !caller.subscribe() {
                        outcome.refused += 1;
                        caller.come_back(doors);
                    }
                }
                Order::HearEvents(last) => caller.hear_events(last),
            }
        }
        done.send(()).unwrap();
    }
    outcome.repeated = callers.iter().map(|caller| caller.repeated).sum();
    outcome
}

/// Waits until all threads have done what they were told, and does this every half a second.
fn wait_for_all(done: &Receiver<()>, mut meanwhile: impl FnMut()) {
    let deadline = Instant::now() + PATIENCE * 3;
    for _ in 0..THREADS {
        while done.recv_timeout(EVENTS_EVERY).is_err() {
            assert!(Instant::now() < deadline, "not all clients came this far");
            meanwhile();
        }
    }
}

/// Two servers and these clients, half of them on each; who comes back comes to the other server.
fn storm(clients: usize) {
    let settings = [("REALTIME_LOG_LEVEL", "warn,realtime_server::node=info,realtime_server=info")];
    let live = Live::new(&settings);
    let folder = tempfile::tempdir().unwrap();
    let second = live.another_node(folder.path(), &settings);
    fill(&live, USERS);
    let doors = Doors {
        addresses: [live.address().to_owned(), second.address().to_owned()],
        sessions: (0..USERS).map(|number| session(&live, &user(number))).collect(),
    };
    // Something that both have heard: that nothing has happened yet is not for a server to say that has just begun.
    for address in &doors.addresses {
        let mut client = Client::websocket(address, "project=alpha&channels[]=probe", &[]);
        client.expect("connected");
        live.publish(&event("alpha", "any", "before"));
        assert_eq!(client.expect("event")["data"]["payload"]["$id"], "before");
    }
    let mut published = 0;
    let mut say = || {
        live.publish(&event("alpha", "users", &format!("storm {published}")));
        published += 1;
        published - 1
    };
    let began = Instant::now();
    std::thread::scope(|scope| {
        let (answer, done) = mpsc::channel();
        let per_thread = clients.div_ceil(THREADS);
        let (orders, shares): (Vec<_>, Vec<_>) = (0..THREADS)
            .map(|thread| {
                let (order, orders) = mpsc::channel();
                let (answer, doors) = (answer.clone(), &doors);
                let numbers = thread * per_thread..clients.min((thread + 1) * per_thread);
                (order, scope.spawn(move || share(doors, numbers, &orders, &answer)))
            })
            .unzip();
        let tell = |order| orders.iter().for_each(|thread| thread.send(order).unwrap());
        wait_for_all(&done, || {});
        println!("{clients} clients subscribed within {:.1?}", began.elapsed());

        say();
        let began = Instant::now();
        tell(Order::ComeBack);
        wait_for_all(&done, || {
            say();
        });
        println!("all came within {:.1?}", began.elapsed());
        tell(Order::Subscribe);
        wait_for_all(&done, || {
            say();
        });
        println!("all were let in within {:.1?}", began.elapsed());
        let last = say();
        tell(Order::HearEvents(last));
        wait_for_all(&done, || {});
        let took = began.elapsed();
        drop(orders);
        let outcomes: Vec<Outcome> = shares.into_iter().map(|share| share.join().unwrap()).collect();
        println!(
            "each got all {} events in order within {took:.1?}, {} came twice, {} refusals; memory at most {} and {} MB",
            last + 1,
            outcomes.iter().map(|outcome| outcome.repeated).sum::<usize>(),
            outcomes.iter().map(|outcome| outcome.refused).sum::<usize>(),
            live.peak_memory() / 1_000_000,
            second.peak_memory() / 1_000_000,
        );
    });
}

#[test]
fn a_thousand_who_come_back_at_once_are_all_let_in_and_miss_nothing() {
    storm(1_000);
}

/// Takes a machine to itself, and 10,100 open files for each server (`ulimit -n`); `STORM_CLIENTS` is another number of
/// clients: `cargo test --release -p realtime-server --test services -- --ignored --nocapture twenty_thousand`
#[test]
#[ignore = "takes a minute and a machine to itself"]
fn twenty_thousand_who_come_back_at_once_are_all_let_in_and_miss_nothing() {
    storm(std::env::var("STORM_CLIENTS").map_or(20_000, |clients| clients.parse().unwrap()));
}
