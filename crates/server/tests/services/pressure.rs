//! More than the server or its database can take at the moment.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::appwrite::Live;
use crate::node::PATIENCE;
use crate::world::{World, event, text};

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never so: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn whoever_leaves_while_waiting_in_line_costs_the_database_nothing() {
    let live = Live::new(&[
        ("REALTIME_LIMITS_OPENINGS", "1"),
        ("REALTIME_DATABASE_TIMEOUT", "25s"),
        ("REALTIME_CACHE_PROJECTS", "60s"),
        ("REALTIME_CACHE_IDENTITIES", "0s"),
    ]);
    let cookie = crate::appwrite::cookie("alpha/alice/main");
    let headers = [("cookie", cookie.as_str())];
    live.connect_with(&headers).expect("connected");
    live.server.query("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON");
    let times = |what: &str| live.log().matches(what).count();
    let (opened, closed) = (times("connection opened"), times("connection closed"));
    live.server.pause();
    let mut first = live.connect_with(&headers);
    wait_until("the first is looked up", || times("connection opened") == opened + 1);
    let others: Vec<_> = (0..20).map(|_| live.connect_with(&headers)).collect();
    wait_until("all wait in line", || times("connection opened") == opened + 21);
    drop(others);
    wait_until("all but the first have left", || times("connection closed") >= closed + 20);
    live.server.go_on();
    assert_eq!(first.expect("connected")["data"]["user"]["$id"], "alice");
    // Everybody who waits gets a turn before who comes last.
    live.connect_with(&headers).expect("connected");
    let looked_up = live.server.query(
        "SELECT COUNT(*) FROM mysql.general_log WHERE command_type = 'Execute' AND argument LIKE '%`_1_users`%'",
    );
    let looked_up: usize = looked_up.lines().nth(1).unwrap().parse().unwrap();
    assert!((1..=3).contains(&looked_up), "{looked_up} look-ups for two who wanted to know");
}

#[test]
fn a_server_without_memory_lets_nobody_in_and_says_when_to_come_back() {
    let world = World::new(&["--limits-memory", "1"]);
    let ask = |head: &str| {
        let mut stream = TcpStream::connect(world.node.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("GET {head}\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        let mut part = [0; 4_096];
        // A stream that is let in does not end by itself, and has no length.
        let is_whole = |answer: &str| {
            let (head, body) = answer.split_once("\r\n\r\n")?;
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            Some(body.len() >= length.map_or(0, |length| length.parse().unwrap()))
        };
        while is_whole(&answer) != Some(true) {
            let length = stream.read(&mut part).unwrap();
            assert!(length > 0, "{answer}");
            answer.push_str(&String::from_utf8_lossy(&part[..length]));
        }
        answer
    };
    let stream = "/v1/realtime?project=shop&channels[]=files HTTP/1.1\r\nAccept: text/event-stream";
    let socket = "/v1/realtime?project=shop&channels[]=files HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    wait_until("newcomers are turned away", || ask(socket).starts_with("HTTP/1.1 503"));
    let number_after = |text: &str, words: &str| -> u32 {
        let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("no {words:?} in {text}"));
        rest.lines().next().unwrap().parse().unwrap()
    };
    let mut seconds = BTreeSet::new();
    for _ in 0..20 {
        let refused = ask(socket).to_lowercase();
        assert!(refused.starts_with("http/1.1 503"), "{refused}");
        seconds.insert(number_after(&refused, "retry-after: "));
        // A browser's EventSource comes again after a stream that ends, and after no other answer.
        let refused = ask(stream).to_lowercase();
        assert!(refused.starts_with("http/1.1 200"), "{refused}");
        let after = number_after(&refused, "retry-after: ");
        assert_eq!(number_after(&refused, "\r\n\r\nretry: "), after * 1_000, "{refused}");
        assert!(refused.contains("event: close\ndata: {\"code\":1013,"), "{refused}");
        seconds.insert(after);
    }
    // Who was turned away together is not to come back together.
    assert!(seconds.len() > 1 && seconds.iter().all(|after| (5..=10).contains(after)), "{seconds:?}");
    assert!(ask("/health/live HTTP/1.1").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_client_that_does_not_read_is_closed_before_memory_runs_out_and_others_are_not() {
    // More may wait than there is memory for.
    let ceiling = (160 * 1024 * 1024).to_string();
    let world = World::new(&[
        "--limits-memory",
        &ceiling,
        "--limits-outbox-bytes",
        "10000000000",
        "--limits-outbox-messages",
        "1000000",
        "--resume-window",
        "0s",
    ]);
    let mut slow = world.connect("websocket", "&channels[]=documents", &[]);
    let mut quick = world.connect("websocket", "&channels[]=documents", &[]);
    // On every shard, with more waiting than kernels keep, and less than the slow one.
    let mut late: Vec<_> = (0..6).map(|_| world.node.connect("project=shop&channels[]=files", &[])).collect();
    for client in &mut late {
        client.expect("connected");
    }
    let mut large = event("any", "large");
    large["payload"]["text"] = json!("x".repeat(500_000));
    let mut file = large.clone();
    file["channels"] = json!(["files"]);
    let mut last_file = event("any", "fence");
    last_file["channels"] = json!(["files"]);
    for _ in 0..10 {
        world.must_publish(&json!([file, file, file, file]));
    }
    world.must_publish(&last_file);
    let batch = json!([large, large, large, large, event("any", "fence")]);
    let closed = |world: &World| world.node.log().contains("the slowest clients were closed");
    for _ in 0..1_000 {
        if closed(&world) {
            break;
        }
        world.must_publish(&batch);
        assert_eq!(quick.ids_until("fence").len(), 4);
    }
    assert!(closed(&world), "2 GB wait for one client");
    loop {
        let message = slow.next();
        if message["type"] != "event" {
            assert_eq!(message, json!({ "close": 1013 }));
            break;
        }
    }
    world.must_publish(&json!([event("any", "after"), event("any", "fence")]));
    assert_eq!(quick.ids_until("fence"), ["after"]);
    for client in &mut late {
        assert_eq!(client.ids_until("fence").len(), 40);
    }
}

#[test]
fn a_stream_that_nobody_reads_keeps_no_socket_once_it_is_ended() {
    let world = World::new(&["--limits-outbox-bytes", "100000"]);
    let sockets = world.node.open_sockets();
    let mut stalled = TcpStream::connect(world.node.address()).unwrap();
    stalled
        .write_all(
            b"GET /v1/realtime?project=shop&channels[]=documents HTTP/1.1\r\nHost: localhost\r\n\
              Accept: text/event-stream\r\n\r\n",
        )
        .unwrap();
    wait_until("it is let in", || world.node.log().contains("connection opened"));
    assert!(world.node.open_sockets() > sockets);
    publish_much(&world);
    wait_until("its link is ended", || world.node.open_sockets() == sockets);
    drop(stalled);
}

/// Has more wait for those who listen than two kernels keep for a client that does not read.
fn publish_much(world: &World) {
    let filler = "x".repeat(100_000);
    for number in 0..200 {
        world.must_publish(&event("any", &format!("{number} {filler}")));
    }
}

#[test]
fn a_websocket_that_nobody_reads_is_closed_as_slow_and_keeps_no_socket() {
    // So much waits only once kernels take no more.
    let world = World::new(&["--limits-outbox-bytes", "1000000", "--internal-listen", "127.0.0.1:0"]);
    let metrics = text(&world.node.wait_for_log("console and metrics started")["address"]);
    let sockets = world.node.open_sockets();
    let mut stuck = world.connect("websocket", "", &[]);
    assert!(world.node.open_sockets() > sockets);
    publish_much(&world);
    world.node.wait_for_log("connection closed");
    let closed = Instant::now();
    wait_until("its link is ended", || world.node.open_sockets() == sockets);
    // It has 5 s for the last words.
    assert!(closed.elapsed() < Duration::from_secs(10), "{:?}", closed.elapsed());
    let mut metrics = ureq::get(format!("http://{metrics}/metrics")).call().unwrap();
    let metrics = metrics.body_mut().read_to_string().unwrap();
    assert!(metrics.contains("\nrealtime_connections_slow_total 1\n"), "{metrics}");
    let queued = metrics.lines().find_map(|line| line.strip_prefix("realtime_deliveries_total "));
    let queued: usize = queued.unwrap().parse().unwrap();
    assert!(
        (12..200).contains(&queued),
        "{queued} were queued: some were written, 10 may wait, then it is closed"
    );
    // Should it read after all, it finds what was on its way, and the end.
    let began = Instant::now();
    while stuck.next_unless_cut_off().is_some_and(|message| message["type"] == "event") {}
    assert!(began.elapsed() < PATIENCE, "the link has no end");
}

#[test]
fn a_server_that_stops_waits_for_who_takes_nothing_no_longer_than_it_may() {
    let mut world = World::new(&["--limits-outbox-bytes", "100000000"]);
    let stuck = world.connect("websocket", "", &[]);
    publish_much(&world);
    let began = Instant::now();
    world.node.stop();
    // The last words may take 5 s.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(!world.node.log().contains("some clients did not take leave in time"));
    drop(stuck);
}

#[test]
fn a_client_that_is_behind_when_its_server_stops_is_told_to_come_back() {
    let mut world = World::new(&["--limits-outbox-bytes", "100000000"]);
    let mut late = world.connect("websocket", "", &[]);
    publish_much(&world);
    world.node.tell_to_stop();
    world.node.wait_for_log("connection closed");
    late.expect("event");
    assert!(!world.node.has_ended(), "its last words are not written yet");
    let end = loop {
        match late.next_unless_cut_off() {
            Some(message) if message["type"] == "event" => {}
            end => break end,
        }
    };
    assert_eq!(end, Some(json!({ "close": 1012 })));
    world.node.wait_for_end();
}
