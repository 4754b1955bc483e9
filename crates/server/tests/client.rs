//! The Rust SDK against the real binary.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use realtime_client::client::{Builder, States};
use realtime_client::{
    Channel, Client, Credential, Error, Event, Gap, Interest, Presence, Query, State, Subscription,
};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::time::timeout;

#[path = "../../client/examples/dashboard.rs"]
#[expect(dead_code, reason = "the test calls what its main calls")]
mod dashboard;

/// Longer than anything here takes, even on a busy machine; a test that reaches it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `realtime dev`.
struct Server {
    child: Child,
    /// What it prints: addresses and credentials.
    facts: Value,
}

impl Server {
    fn start(data: &Path, listen: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_realtime"))
            .args(["dev", "--json", "--drain", "10ms", "--shards", "2", "--listen", listen, "--data-dir"])
            .arg(data)
            .env_clear()
            .env("REALTIME_LIMITS_ENABLED", "false")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, facts: serde_json::from_str(&line).expect("its first line is JSON") }
    }

    fn fact(&self, pointer: &str) -> String {
        self.facts.pointer(pointer).and_then(Value::as_str).expect("it is printed").to_owned()
    }

    /// The address, to start another one there.
    fn address(&self) -> String {
        let endpoint = self.fact("/endpoint");
        endpoint.trim_start_matches("http://").trim_end_matches("/v1").to_owned()
    }

    fn builder(&self) -> Builder {
        Client::builder(self.fact("/endpoint")).project("demo").longest_pause(Duration::from_millis(200))
    }

    fn publish(&self, event: &Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let answer = agent
            .post(format!("{}/realtime/events", self.fact("/endpoint")))
            .header("x-appwrite-project", "demo")
            .header("x-appwrite-key", self.fact("/apiKey"))
            .send(event.to_string())
            .expect("it answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// Publishes for everybody on a channel.
    fn say(&self, channel: &str, number: usize) {
        self.publish(&json!({ "channels": [channel], "roles": ["any"], "payload": { "n": number } }));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn next(subscription: &mut Subscription) -> Event {
    timeout(PATIENCE, subscription.next()).await.expect("an event comes").expect("the stream goes on")
}

async fn ready(subscription: &mut Subscription) -> Result<(), Error> {
    timeout(PATIENCE, subscription.ready()).await.expect("the server answers")
}

async fn wait_for(states: &mut States, wanted: impl Fn(&State) -> bool) {
    let reached = async {
        while let Some(state) = states.next().await {
            if wanted(&state) {
                return;
            }
        }
        panic!("the client ended");
    };
    timeout(PATIENCE, reached).await.expect("it comes to that");
}

/// A way to the server that can be cut.
struct Line {
    address: SocketAddr,
    cut: broadcast::Sender<()>,
}

impl Line {
    async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, _) = broadcast::channel(1);
        let (cuts, target) = (cut.clone(), server.address());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut cut, target) = (cuts.subscribe(), target.clone());
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(target).await.expect("the server is there");
                    tokio::select! {
                        // Both ends learn of it, and what was on its way is lost.
                        _ = cut.recv() => {}
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                    }
                });
            }
        });
        Self { address, cut }
    }

    fn cut(&self) {
        // Nobody may be connected at the moment.
        drop(self.cut.send(()));
    }
}

#[derive(Debug, serde::Deserialize)]
struct Numbered {
    n: usize,
}

#[tokio::test]
async fn a_thousand_events_arrive_in_order_and_only_where_they_are_listened_to() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "127.0.0.1:0");
    let client = server.builder().build().unwrap();
    let mut documents = client.subscribe(["documents"]).await.unwrap();
    let mut files = client.subscribe(["files"]).await.unwrap();
    let even = Interest::new(["documents"]).query(Query::equal("n", [0, 2, 998]));
    let mut even = client.subscribe(even).await.unwrap();
    for subscription in [&mut documents, &mut files, &mut even] {
        ready(subscription).await.unwrap();
    }
    let batch: Vec<Value> = (0..1000)
        .map(|number| json!({ "channels": ["documents"], "roles": ["any"], "payload": { "n": number } }))
        .collect();
    server.publish(&json!(batch));
    server.say("files", 1);
    let mut documents = documents.typed::<Numbered>();
    for number in 0..1000 {
        let event = timeout(PATIENCE, documents.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(event.payload.n, number);
        assert!(event.id.is_some() && event.gap.is_none());
    }
    for number in [0, 2, 998] {
        assert_eq!(next(&mut even).await.decode::<Numbered>().unwrap().payload.n, number);
    }
    assert_eq!(next(&mut files).await.channels, ["files"]);
}

#[tokio::test]
async fn only_the_user_itself_hears_of_its_account_by_session_jwt_or_a_later_message() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "127.0.0.1:0");
    let session = Credential::session(server.fact("/user/session")).unwrap();
    let jwt = Credential::jwt(server.fact("/user/jwt")).unwrap();
    let guest = server.builder().build().unwrap();
    let mut clients = vec![
        server.builder().credential(session.clone()).build().unwrap(),
        server.builder().credential(jwt.clone()).build().unwrap(),
    ];
    for credential in [session, jwt] {
        let late = server.builder().build().unwrap();
        let mut subscription = late.subscribe(["account"]).await.unwrap();
        ready(&mut subscription).await.unwrap();
        late.authenticate(credential);
        clients.push(late);
    }
    let mut heard = Vec::new();
    for client in &clients {
        let mut subscription = client.subscribe(["account"]).await.unwrap();
        ready(&mut subscription).await.unwrap();
        heard.push(subscription);
    }
    let mut overhearing = guest.subscribe(["account", "documents"]).await.unwrap();
    ready(&mut overhearing).await.unwrap();
    server.publish(&json!({ "event": "users.alice.update", "payload": { "$id": "alice" } }));
    server.say("documents", 1);
    for subscription in &mut heard {
        assert_eq!(next(subscription).await.event.as_deref(), Some("users.alice.update"));
    }
    assert_eq!(next(&mut overhearing).await.payload.get(), r#"{"n":1}"#);
}

#[tokio::test]
async fn a_user_is_present_for_as_long_as_it_is_connected_over_a_cut_too() {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Told {
        user_id: String,
        status: String,
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "127.0.0.1:0");
    let line = Line::to(&server).await;
    let client = Client::builder(format!("http://{}/v1", line.address))
        .project("demo")
        .credential(Credential::session(server.fact("/user/session")).unwrap())
        .longest_pause(Duration::from_millis(50))
        .build()
        .unwrap();
    let mut states = client.states();
    let guest = server.builder().build().unwrap();
    let mut presences = guest.subscribe([Channel::presences()]).await.unwrap();
    ready(&mut presences).await.unwrap();
    let visible = |status: &str| Presence::new(status).permissions([r#"read("any")"#]);
    client.set_presence(visible("online")).await.unwrap();
    wait_for(
        &mut states,
        |state| matches!(state, State::Present { presence } if presence["userId"] == "alice"),
    )
    .await;
    line.cut();
    wait_for(&mut states, |state| matches!(state, State::Present { .. })).await;
    client.set_presence(visible("away")).await.unwrap();
    let mut heard = Vec::new();
    loop {
        let event = next(&mut presences).await;
        let name = event.event.clone().unwrap_or_default();
        let told = event.decode::<Told>().unwrap().payload;
        heard.push(format!("{} {} {}", name.rsplit('.').next().unwrap(), told.user_id, told.status));
        if heard.last().is_some_and(|last| last == "upsert alice away") {
            client.set_presence(None).await.unwrap();
        }
        if name.ends_with(".delete") {
            break;
        }
    }
    heard.dedup();
    assert_eq!(heard, ["upsert alice online", "upsert alice away", "delete alice away"]);
    let mut states = guest.states();
    guest.set_presence(visible("online")).await.unwrap();
    wait_for(&mut states, |state| matches!(state, State::NotPresent { code: 401, .. })).await;
}

#[tokio::test]
async fn refusals_come_with_the_servers_reason() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "127.0.0.1:0");
    let client = server.builder().build().unwrap();
    let mut good = client.subscribe(["documents"]).await.unwrap();
    let bad = Interest::new(["documents"]).query(Query::raw(r#"{"method":"nope"}"#));
    let mut bad = client.subscribe(bad).await.unwrap();
    let refused = ready(&mut bad).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Refused { code: 1003, message } if message.contains("nope")),
        "{refused}"
    );
    ready(&mut good).await.unwrap();

    let nowhere = server.builder().project("nowhere").build().unwrap();
    let mut subscription = nowhere.subscribe(["documents"]).await.unwrap();
    let sent_away = ready(&mut subscription).await.unwrap_err();
    assert!(matches!(&sent_away, Error::Stopped(close) if close.code == 1008), "{sent_away}");

    let forged = server.builder().credential(Credential::jwt("a.b.c").unwrap()).build().unwrap();
    let mut subscription = forged.subscribe(["documents"]).await.unwrap();
    let sent_away = ready(&mut subscription).await.unwrap_err();
    assert!(matches!(&sent_away, Error::Stopped(close) if close.code == 3000), "{sent_away}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_cuts_among_twenty_thousand_events_lose_none_and_repeat_none() {
    const CUTS: usize = 200;
    const EVENTS: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::new(Server::start(folder.path(), "127.0.0.1:0"));
    let line = Line::to(&server).await;
    let client = Client::builder(format!("http://{}/v1", line.address))
        .project("demo")
        .longest_pause(Duration::from_millis(50))
        .build()
        .unwrap();
    let mut states = client.states();
    let mut all = client.subscribe(["documents"]).await.unwrap();
    let few = Interest::new(["documents"]).query(Query::equal("n", [7, 10_000, CUTS * EVENTS - 1]));
    let mut few = client.subscribe(few).await.unwrap();
    ready(&mut all).await.unwrap();
    ready(&mut few).await.unwrap();
    let mut expected = 0;
    for round in 0..CUTS {
        let batch: Vec<Value> = (round * EVENTS..(round + 1) * EVENTS)
            .map(|number| json!({ "channels": ["documents"], "roles": ["any"], "payload": { "n": number } }))
            .collect();
        let publisher = Arc::clone(&server);
        let published = tokio::task::spawn_blocking(move || publisher.publish(&json!(batch)));
        // In the middle of a batch, at another place each time.
        while expected < round * EVENTS + round % EVENTS {
            let event = next(&mut all).await;
            assert_eq!((event.decode::<Numbered>().unwrap().payload.n, round), (expected, round));
            expected += 1;
        }
        line.cut();
        published.await.unwrap();
    }
    while expected < CUTS * EVENTS {
        assert_eq!(next(&mut all).await.decode::<Numbered>().unwrap().payload.n, expected);
        expected += 1;
    }
    for number in [7, 10_000, CUTS * EVENTS - 1] {
        assert_eq!(next(&mut few).await.decode::<Numbered>().unwrap().payload.n, number);
    }
    client.close().await;
    let mut disconnected = 0;
    while let Some(state) = states.next().await {
        assert!(!matches!(state, State::Gap { .. }), "{state:?}");
        disconnected += usize::from(matches!(state, State::Disconnected { .. }));
    }
    assert!(disconnected > CUTS / 2, "it was cut {disconnected} times");
}

#[tokio::test]
async fn a_server_that_is_killed_and_started_anew_is_listened_to_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "127.0.0.1:0");
    let client = server.builder().build().unwrap();
    let mut states = client.states();
    let mut documents = client.subscribe(["documents"]).await.unwrap();
    ready(&mut documents).await.unwrap();
    server.say("documents", 1);
    assert_eq!(next(&mut documents).await.payload.get(), r#"{"n":1}"#);
    let address = server.address();
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    wait_for(&mut states, |state| matches!(state, State::Disconnected { again_in: Some(_), .. })).await;
    let server = Server::start(folder.path(), &address);
    wait_for(&mut states, |state| matches!(state, State::Gap { .. })).await;
    server.say("documents", 2);
    let event = next(&mut documents).await;
    let forgotten = Some(Gap::Unrecovered("unknown".to_owned()));
    assert_eq!((event.payload.get(), event.gap), (r#"{"n":2}"#, forgotten));
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_says_so_and_clients_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "127.0.0.1:0");
    let client = server.builder().build().unwrap();
    let mut states = client.states();
    let mut documents = client.subscribe(["documents"]).await.unwrap();
    ready(&mut documents).await.unwrap();
    let address = server.address();
    assert!(Command::new("kill").arg(server.child.id().to_string()).status().unwrap().success());
    wait_for(&mut states, |state| matches!(state, State::Disconnected { close, .. } if close.code == 1012))
        .await;
    assert!(server.child.wait().unwrap().success());
    let server = Server::start(folder.path(), &address);
    wait_for(&mut states, |state| matches!(state, State::Connected { .. })).await;
    wait_for(&mut states, |state| matches!(state, State::Gap { .. })).await;
    server.say("documents", 1);
    assert_eq!(next(&mut documents).await.payload.get(), r#"{"n":1}"#);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_the_connection_stays() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "127.0.0.1:0");
    let data = folder.path().to_owned();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let provide = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        let token = token(&data, "8s");
        async move { Ok(Credential::jwt(token)?) }
    };
    let client = server.builder().provider(provide).build().unwrap();
    let mut states = client.states();
    let mut account = client.subscribe(["account"]).await.unwrap();
    ready(&mut account).await.unwrap();
    // Until the first token has ended for long, an event comes every now and then on the same connection.
    let mut number = 0;
    while asked.load(Ordering::SeqCst) < 3 {
        number += 1;
        server.publish(&json!({ "event": "users.alice.update", "payload": { "$id": "alice", "n": number } }));
        assert_eq!(next(&mut account).await.decode::<Numbered>().unwrap().payload.n, number);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    client.close().await;
    while let Some(state) = states.next().await {
        assert!(!matches!(state, State::Disconnected { .. } | State::NotAuthenticated { .. }), "{state:?}");
    }
}

fn token(data: &Path, lasts: &str) -> String {
    let made = Command::new(env!("CARGO_BIN_EXE_realtime"))
        .args(["token", "create", "--user", "alice", "--lasts", lasts, "--json", "--data-dir"])
        .arg(data)
        .env_clear()
        .output()
        .unwrap();
    let made: Value = serde_json::from_slice(&made.stdout).expect("it printed JSON");
    made.pointer("/token").and_then(Value::as_str).expect("a token").to_owned()
}

#[tokio::test]
async fn the_dashboard_shows_what_happens() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "127.0.0.1:0");
    let arguments =
        [&server.fact("/endpoint"), "demo", "documents", "files", "--events", "3"].map(str::to_owned);
    let mut screen = Vec::new();
    let publish = async {
        // Nothing tells when the dashboard is subscribed but that it shows something.
        loop {
            for channel in ["documents", "documents", "files"] {
                server.say(channel, 7);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        ended = timeout(PATIENCE, dashboard::run(arguments.into_iter(), &mut screen)) => ended.unwrap().unwrap(),
        () = publish => {}
    }
    let screen = String::from_utf8(screen).unwrap();
    let last = screen.rsplit("\u{1b}[H").next().unwrap();
    assert!(last.contains("connected as a guest  ·  3 events"), "{last}");
    assert!(last.contains("documents") && last.contains('█') && last.contains(r#"{"n":7}"#), "{last}");
}
