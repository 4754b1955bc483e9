//! How long it takes from a change in Appwrite to its effect, with ten thousand connections.
//!
//! Takes a minute and a machine to itself, so it runs only when asked:
//! `cargo test --release -p realtime-server --test services -- --ignored --nocapture ten_thousand`

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::appwrite::{Live, event};
use crate::node::Client;

const CONNECTIONS: usize = 10_000;
/// Users that something happens to.
const AFFECTED: usize = 500;
const THREADS: usize = 8;
/// What the product promises: 99 of 100 changes take effect within this time.
const PROMISE: Duration = Duration::from_secs(1);

/// Users `u1` to `u10000`, each like alice, with a session of the same secret and a membership of team red.
fn fill(live: &Live) {
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
             INSERT INTO {table} ({columns}) SELECT {} FROM pattern, seq_1_to_{CONNECTIONS}",
            values.join(", ")
        ));
    }
}

fn user(number: usize) -> String {
    format!("u{}", number + 1)
}

/// Everybody connects, a few at a time, as after a deployment.
fn connect_all(live: &Live) -> Vec<Client> {
    let secret = live.secret_of("alpha/alice/main");
    let connect = |number: usize| {
        let token = STANDARD.encode(json!({ "id": user(number), "secret": secret }).to_string());
        let mut client = live.connect_with(&[("x-appwrite-session", &token)]);
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
                    told[index].get().unwrap().elapsed()
                })
            })
            .collect();
        for index in 0..told.len() {
            told[index].set(Instant::now()).unwrap();
            tell(&user(from + index));
            std::thread::sleep(pause);
        }
        watchers.into_iter().map(|watcher| watcher.join().unwrap()).collect()
    })
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!("{what:<42} p50 {:>9.1?}  p99 {:>9.1?}  max {:>9.1?}", at(50), at(99), at(100));
    assert!(at(99) < PROMISE, "{what}: p99 is {:?}", at(99));
}

#[test]
#[ignore = "takes a minute and a machine to itself"]
fn ten_thousand_connections_follow_what_changes_within_a_second() {
    let live = Live::new(&[]);
    fill(&live);
    let began = Instant::now();
    let mut clients = connect_all(&live);
    let rate = CONNECTIONS as f64 / began.elapsed().as_secs_f64();
    let used = live.server.query("SHOW GLOBAL STATUS LIKE 'Max_used_connections'");
    let used: u32 = used.lines().nth(1).unwrap().split('\t').nth(1).unwrap().parse().unwrap();
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

    let ends = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 4;
    let jwts: Vec<Client> = (0..200)
        .map(|number| {
            let jwt = live.jwt(&json!({ "userId": user(CONNECTIONS - 1 - number), "exp": ends }));
            let mut client = live.connect_with(&[("x-appwrite-jwt", &jwt)]);
            client.expect("connected");
            client
        })
        .collect();
    let expired: Vec<_> = jwts
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                while client.next()["data"]["message"] != "The session or token has expired." {}
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap()
                    .saturating_sub(Duration::from_secs(ends))
            })
        })
        .collect();
    report("a JWT that runs out", expired.into_iter().map(|thread| thread.join().unwrap()).collect());
}
