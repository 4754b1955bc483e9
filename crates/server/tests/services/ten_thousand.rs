//! How long it takes from a change in Appwrite to its effect, with ten thousand connections.
//!
//! And what a wave of connections costs the database.
//!
//! The ten thousand take a minute and a machine to themselves, so they come only when asked:
//! `cargo test --release -p realtime-server --test services -- --ignored --nocapture ten_thousand`

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::appwrite::{Live, event};
use crate::node::{Client, PATIENCE};

const CONNECTIONS: usize = 10_000;
/// Users that something happens to.
const AFFECTED: usize = 500;
/// Users whose proof runs out.
const RUN_OUT: usize = 200;
const THREADS: usize = 8;
/// What the product promises: 99 of 100 changes take effect within this time.
const PROMISE: Duration = Duration::from_secs(1);

/// Users `u1` to this, each like alice, with a session of the same secret and a membership of team red.
pub(crate) fn fill(live: &Live, users: usize) {
    for (table, like) in
        [("_1_users", "alice"), ("_1_sessions", "s-alice-main"), ("_1_memberships", "m-alice-red")]
    {
        let columns = live.server.query(&format!(
            "SELECT GROUP_CONCAT(CONCAT('`', column_name, '`')) FROM information_schema.columns \
             WHERE table_schema = 'appwrite' AND table_name = '{table}' AND column_name <> '_id'"
        ));
        let columns = columns.lines().nth(1).unwrap();
        let values: Vec<String> = columns
            .split(',')
            .map(|column| match column {
                "`_uid`" => "CONCAT(IF(MID(_uid, 2, 1) = '-', LEFT(_uid, 2), ''), 'u', seq)".to_owned(),
                "`email`" | "`phone`" | "`emailCanonical`" => "NULL".to_owned(),
                "`userId`" => "CONCAT('u', seq)".to_owned(),
                "`userInternalId`" => {
                    "(SELECT CAST(u._id AS CHAR) FROM _1_users u WHERE u._uid = CONCAT('u', seq))".to_owned()
                }
                column => column.to_owned(),
            })
            .collect();
        live.server.query(&format!(
            "USE appwrite; CREATE TEMPORARY TABLE pattern AS SELECT * FROM {table} WHERE _uid = '{like}'; \
             INSERT INTO {table} ({columns}) SELECT {} FROM pattern, seq_1_to_{users}",
            values.join(", ")
        ));
    }
}

pub(crate) fn user(number: usize) -> String {
    format!("u{}", number + 1)
}

/// What a session of this user looks like in a header.
pub(crate) fn session(live: &Live, user: &str) -> String {
    STANDARD.encode(json!({ "id": user, "secret": live.secret_of("alpha/alice/main") }).to_string())
}

/// Connections to the database at one time, at most, so far.
fn connections_used(live: &Live) -> u32 {
    let used = live.server.query("SHOW GLOBAL STATUS LIKE 'Max_used_connections'");
    used.lines().nth(1).unwrap().split('\t').nth(1).unwrap().parse().unwrap()
}

/// Everybody connects, a few at a time, as after a deployment.
fn connect_all(live: &Live) -> Vec<Client> {
    let connect = |number: usize| {
        let mut client = live.connect_with(&[("x-appwrite-session", &session(live, &user(number)))]);
        assert_eq!(client.expect("connected")["data"]["user"]["$id"], user(number).as_str());
        client
    };
    std::thread::scope(|scope| {
        let share = CONNECTIONS / THREADS;
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || (thread * share..(thread + 1) * share).map(connect).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Tells of a change of each of these users, one every `pause`, and measures until `seen` by their clients.
///
/// A user who was being read again for another reason when the database changed may see the change before it is told;
/// such a user is left out, and at most one in twenty may be.
fn measure(
    live: &Live,
    clients: &mut [Client],
    from: usize,
    pause: Duration,
    tell: impl Fn(&str),
    seen: impl Fn(&Value, &str) -> bool + Sync,
) -> Vec<Duration> {
    let told: Arc<Vec<std::sync::OnceLock<Instant>>> =
        Arc::new((0..clients.len()).map(|_| Default::default()).collect());
    let _ = live;
    std::thread::scope(|scope| {
        let watchers: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(index, client)| {
                let (told, seen) = (Arc::clone(&told), &seen);
                scope.spawn(move || {
                    let user = user(from + index);
                    while !seen(&client.next(), &user) {}
                    told[index].get().map(Instant::elapsed)
                })
            })
            .collect();
        for index in 0..told.len() {
            told[index].set(Instant::now()).unwrap();
            tell(&user(from + index));
            std::thread::sleep(pause);
        }
        let times: Vec<Duration> =
            watchers.into_iter().filter_map(|watcher| watcher.join().unwrap()).collect();
        assert!(
            times.len() * 20 >= told.len() * 19,
            "only {} of {} were told first",
            times.len(),
            told.len()
        );
        times
    })
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!("{what:<42} p50 {:>9.1?}  p99 {:>9.1?}  max {:>9.1?}", at(50), at(99), at(100));
    assert!(at(99) < PROMISE, "{what}: p99 is {:?}", at(99));
}

#[test]
fn two_thousand_connections_in_a_second_wait_for_the_pool_and_none_is_turned_away() {
    const BURST: usize = 2_000;
    let live = Live::new(&[]);
    fill(&live, BURST);
    let requests: Vec<String> = (0..BURST)
        .map(|number| {
            format!(
                "GET /v1/realtime?project=alpha&channels[]=teams HTTP/1.1\r\nHost: localhost\r\n\
                 Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Appwrite-Session: {}\r\n\r\n",
                session(&live, &user(number))
            )
        })
        .collect();
    let began = Instant::now();
    let sockets: Vec<TcpStream> = requests
        .iter()
        .map(|request| {
            let mut socket = TcpStream::connect(live.address()).unwrap();
            socket.write_all(request.as_bytes()).unwrap();
            socket
        })
        .collect();
    let offered = began.elapsed();
    for (number, mut socket) in sockets.into_iter().enumerate() {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let known = format!(r#""$id":"{}""#, user(number));
        let (mut heard, mut part) = (String::new(), [0; 4_096]);
        while !heard.contains(&known) {
            let length = socket.read(&mut part).unwrap();
            assert!(length > 0, "{number} was turned away: {heard}");
            heard.push_str(&String::from_utf8_lossy(&part[..length]));
        }
    }
    println!(
        "{BURST} connections within {offered:.1?}; all open after {:.1?}, by {} connections to the database",
        began.elapsed(),
        connections_used(&live)
    );
    assert!(offered < Duration::from_secs(1), "they took {offered:?} to come");
    assert!(connections_used(&live) <= 14 + 2, "the pool holds 14, and the test has its own");
}

#[test]
#[ignore = "takes a minute and a machine to itself"]
fn ten_thousand_connections_follow_what_changes_within_a_second() {
    let live = Live::new(&[]);
    fill(&live, CONNECTIONS);
    let began = Instant::now();
    let mut clients = connect_all(&live);
    let rate = CONNECTIONS as f64 / began.elapsed().as_secs_f64();
    let used = connections_used(&live);
    println!(
        "{CONNECTIONS} users connected, {rate:.0} in a second; {used} connections to the database at most"
    );
    assert!(used <= 14 + 2, "the pool holds 14, and the test has its own");

    let spread = Duration::from_millis(5);
    let mut from = 0;
    for (pace, pause) in [("200 a second", spread), ("500 at once", Duration::ZERO)] {
        let affected = || format!("'{}'", (from..from + AFFECTED).map(user).collect::<Vec<_>>().join("','"));

        live.server.query(&format!(
            "USE appwrite; UPDATE _1_users SET labels = '[\"novel\"]' WHERE _uid IN ({})",
            affected()
        ));
        let gained = |user: &str| {
            live.tell(&format!("users.{user}.update"), &[&format!("user:{user}")], user, false);
            // Waits while the roles are read again, so its arrival is the effect.
            live.publish(&event("alpha", "label:novel", &format!("novel {user}")));
        };
        let times =
            measure(&live, &mut clients[from..from + AFFECTED], from, pause, gained, |message, user| {
                message["data"]["payload"]["$id"] == format!("novel {user}").as_str()
            });
        report(&format!("a label, {pace}"), times);

        live.server
            .query(&format!("USE appwrite; DELETE FROM _1_memberships WHERE userId IN ({})", affected()));
        let removed = |user: &str| {
            live.tell(&format!("teams.red.memberships.m-{user}.delete"), &["team:red"], user, true);
            live.publish(&event("alpha", &format!("user:{user}"), &format!("after {user}")));
        };
        let times =
            measure(&live, &mut clients[from..from + AFFECTED], from, pause, removed, |message, user| {
                message["data"]["payload"]["$id"] == format!("after {user}").as_str()
            });
        report(&format!("a membership, {pace}"), times);

        live.server.query(&format!("USE appwrite; DELETE FROM _1_sessions WHERE userId IN ({})", affected()));
        let ended = |user: &str| {
            live.tell(
                &format!("users.{user}.sessions.s-{user}.delete"),
                &[&format!("user:{user}")],
                user,
                false,
            );
        };
        let times = measure(&live, &mut clients[from..from + AFFECTED], from, pause, ended, |message, _| {
            message["data"]["message"] == "The session has ended."
        });
        report(&format!("a session deleted, {pace}"), times);
        from += AFFECTED;

        let affected = format!("'{}'", (from..from + AFFECTED).map(user).collect::<Vec<_>>().join("','"));
        live.server
            .query(&format!("USE appwrite; UPDATE _1_users SET status = 0 WHERE _uid IN ({affected})"));
        let blocked =
            |user: &str| live.tell(&format!("users.{user}.update"), &[&format!("user:{user}")], user, false);
        let times =
            measure(&live, &mut clients[from..from + AFFECTED], from, pause, blocked, |message, _| {
                message["data"]["message"] == "The current user has been blocked."
            });
        report(&format!("a block, {pace}"), times);
        from += AFFECTED;
    }

    let jwt = |user: &str, ends: u64| ("x-appwrite-jwt", live.jwt(&json!({ "userId": user, "exp": ends })));
    report("a JWT that runs out", run_out(&live, CONNECTIONS - RUN_OUT..CONNECTIONS, jwt));
    let users = CONNECTIONS - 2 * RUN_OUT..CONNECTIONS - RUN_OUT;
    let session = |user: &str, ends: u64| {
        live.server.query(&format!(
            "UPDATE appwrite._1_sessions SET expire = TIMESTAMP('1970-01-01') + INTERVAL {ends} SECOND WHERE userId = '{user}'"
        ));
        ("x-appwrite-session", session(&live, user))
    };
    report("a session that runs out", run_out(&live, users, session));
}

/// How long after the end of what they show these users are told so, who connect a few seconds before it.
fn run_out(
    live: &Live,
    users: Range<usize>,
    shows: impl Fn(&str, u64) -> (&'static str, String),
) -> Vec<Duration> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ends = now().as_secs() + 15;
    let clients: Vec<Client> = users
        .map(|number| {
            let (header, value) = shows(&user(number), ends);
            let mut client = live.connect_with(&[(header, &value)]);
            client.expect("connected");
            client
        })
        .collect();
    assert!(now().as_secs() < ends, "they took too long to connect");
    let expired: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                while client.next()["data"]["message"] != "The session or token has expired." {}
                now().saturating_sub(Duration::from_secs(ends))
            })
        })
        .collect();
    expired.into_iter().map(|thread| thread.join().unwrap()).collect()
}
