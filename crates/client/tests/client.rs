//! The client over real sockets, against servers that the test plays itself.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use realtime_client::client::States;
use realtime_client::{Client, Close, Credential, Error, Gap, Interest, State, Subscription};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// Longer than anything here takes, even on a busy machine; a test that reaches it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that the test plays, one connection after another.
struct Server {
    listener: TcpListener,
}

/// A connection of the client, after `connected`.
struct Peer {
    socket: WebSocketStream<TcpStream>,
    /// What the request has shown.
    jwt: Option<String>,
    uri: String,
}

impl Server {
    async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    fn builder(&self) -> realtime_client::client::Builder {
        let endpoint = format!("http://{}/v1", self.listener.local_addr().unwrap());
        Client::builder(endpoint).project("p").longest_pause(Duration::from_millis(50))
    }

    async fn accept(&self) -> TcpStream {
        timeout(PATIENCE, self.listener.accept()).await.expect("the client connects").unwrap().0
    }

    async fn peer(&self) -> Peer {
        let stream = self.accept().await;
        let (mut jwt, mut uri) = (None, String::new());
        #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
        let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            jwt = request.headers().get("x-appwrite-jwt").map(|jwt| jwt.to_str().unwrap().to_owned());
            uri = request.uri().to_string();
            Ok(response)
        };
        let socket = accept_hdr_async(stream, look).await.expect("a handshake");
        let mut peer = Peer { socket, jwt, uri };
        peer.say(
            &json!({ "type": "connected", "data": { "channels": [], "subscriptions": [], "user": null } }),
        )
        .await;
        peer
    }
}

impl Peer {
    async fn say(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        loop {
            let said = timeout(PATIENCE, self.socket.next()).await.expect("the client says something");
            match said.expect("it is still there").expect("it speaks WebSocket") {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => {
                    return json!({ "type": "close", "code": frame.map(|frame| u16::from(frame.code)) });
                }
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Waits for the subscribe message and confirms it; the ids that it names.
    async fn confirm(&mut self) -> Vec<String> {
        let said = self.hear().await;
        assert_eq!(said["type"], "subscribe", "{said}");
        let items = said["data"].as_array().unwrap().clone();
        self.say(&json!({ "type": "response", "data": { "to": "subscribe", "subscriptions": items } })).await;
        items.iter().map(|item| item["subscriptionId"].as_str().unwrap().to_owned()).collect()
    }

    async fn event(&mut self, to: &[String], id: usize) {
        let data = json!({ "id": id.to_string(), "events": ["a.b"], "channels": ["documents"], "payload": { "n": id }, "subscriptions": to });
        self.say(&json!({ "type": "event", "data": data })).await;
    }
}

async fn next(subscription: &mut Subscription) -> realtime_client::Event {
    timeout(PATIENCE, subscription.next()).await.expect("an event comes").expect("the stream goes on")
}

/// Waits for a connection that ended so.
async fn disconnected(states: &mut States, so: impl Fn(&Close) -> bool) {
    let end = async {
        while let Some(state) = states.next().await {
            if matches!(&state, State::Disconnected { close, .. } if so(close)) {
                return;
            }
        }
        panic!("the client ended");
    };
    timeout(PATIENCE, end).await.expect("it is seen");
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Numbered {
    n: usize,
}

#[tokio::test]
async fn events_arrive_in_order_as_values_of_the_application() {
    let server = Server::start().await;
    let client = server.client();
    let (mut subscription, (mut peer, ids)) =
        tokio::join!(async { client.subscribe(["documents"]).await.unwrap() }, async {
            let mut peer = server.peer().await;
            let ids = peer.confirm().await;
            (peer, ids)
        });
    subscription.ready().await.unwrap();
    assert_eq!(peer.uri, "/v1/realtime?project=p&gaps=1");
    for number in 0..100 {
        peer.event(&ids, number).await;
    }
    peer.say(&json!({ "type": "event", "data": { "payload": { "n": "a word" }, "subscriptions": ids } }))
        .await;
    peer.event(&ids, 100).await;
    let mut typed = subscription.typed::<Numbered>();
    for number in 0..100 {
        let event = timeout(PATIENCE, typed.next()).await.unwrap().unwrap().unwrap();
        assert_eq!((event.payload, event.event.as_deref()), (Numbered { n: number }, Some("a.b")));
    }
    let misfit = timeout(PATIENCE, typed.next()).await.unwrap().unwrap().unwrap_err().to_string();
    assert!(misfit.contains("a word"), "{misfit}");
    assert_eq!(timeout(PATIENCE, typed.next()).await.unwrap().unwrap().unwrap().payload.n, 100);
}

#[tokio::test]
async fn what_is_wished_at_once_is_one_message_and_dropping_unsubscribes() {
    let server = Server::start().await;
    let client = server.client();
    let wishes = (0..50).map(|number| client.subscribe([format!("documents.{number}")]));
    let mut subscriptions: Vec<Subscription> =
        futures_util::future::join_all(wishes).await.into_iter().map(Result::unwrap).collect();
    let mut peer = server.peer().await;
    assert_eq!(peer.confirm().await.len(), 50);
    let gone = subscriptions.pop().unwrap();
    let id = gone.id().to_string();
    drop(gone);
    let said = peer.hear().await;
    assert_eq!(said, json!({ "type": "unsubscribe", "data": [{ "subscriptionId": id }] }));
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_again_and_repeated_events_are_dropped() {
    let server = Server::start().await;
    let client = server.client();
    let mut states = client.states();
    let mut subscription = client.subscribe(["documents"]).await.unwrap();
    let mut number = 0;
    for round in 0..20 {
        let mut peer = server.peer().await;
        let ids = peer.confirm().await;
        assert_eq!(ids, [subscription.id().to_string()]);
        if number > 0 {
            peer.event(&ids, number - 1).await;
        }
        for _ in 0..3 {
            peer.event(&ids, number).await;
            assert_eq!(next(&mut subscription).await.id.as_deref(), Some(number.to_string().as_str()));
            number += 1;
        }
        if round % 2 == 0 {
            let close = CloseFrame { code: 1012.into(), reason: "restarting".into() };
            peer.socket.close(Some(close)).await.unwrap();
        }
    }
    disconnected(&mut states, |close| close.code == 1012).await;
}

#[tokio::test]
async fn html_is_told_with_its_beginning_and_tried_again() {
    let server = Server::start().await;
    let client = server.client();
    let mut states = client.states();
    let mut subscription = client.subscribe(["documents"]).await.unwrap();
    for _ in 0..3 {
        let mut stream = server.accept().await;
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await.unwrap();
        let page =
            "HTTP/1.1 200 OK\r\ncontent-length: 26\r\nconnection: close\r\n\r\n<html>Log in first!</html>";
        stream.write_all(page.as_bytes()).await.unwrap();
    }
    let mut peer = server.peer().await;
    peer.confirm().await;
    subscription.ready().await.unwrap();
    disconnected(&mut states, |close| close.reason.contains("<html>Log in")).await;
}

#[tokio::test]
async fn a_server_that_is_no_server_at_all_is_tried_again() {
    let server = Server::start().await;
    let client = server.client();
    let mut subscription = client.subscribe(["documents"]).await.unwrap();
    for garbage in
        [&b""[..], b"\x00\xff\x00\xff", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"]
    {
        let mut stream = server.accept().await;
        drop(stream.write_all(garbage).await);
    }
    let mut peer = server.peer().await;
    peer.confirm().await;
    subscription.ready().await.unwrap();
}

#[tokio::test]
async fn tls_that_is_none_is_an_error_and_no_panic() {
    let server = Server::start().await;
    let endpoint = format!("https://{}/v1", server.listener.local_addr().unwrap());
    let client = Client::builder(endpoint).project("p").build().unwrap();
    let mut states = client.states();
    let _subscription = client.subscribe(["documents"]).await.unwrap();
    let mut stream = server.accept().await;
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    disconnected(&mut states, |close| !close.reason.is_empty()).await;
}

#[tokio::test]
async fn a_message_of_many_megabytes_ends_the_connection_and_not_the_client() {
    let server = Server::start().await;
    let client = server.client();
    let mut subscription = client.subscribe(["documents"]).await.unwrap();
    let mut peer = server.peer().await;
    let ids = peer.confirm().await;
    let huge = json!({ "type": "event", "data": { "payload": "x".repeat(17 << 20), "subscriptions": ids } });
    // The client hangs up in the middle of it.
    drop(peer.socket.send(Message::text(huge.to_string())).await);
    let mut peer = server.peer().await;
    let ids = peer.confirm().await;
    peer.event(&ids, 1).await;
    let event = next(&mut subscription).await;
    assert_eq!((event.payload.get(), event.gap), (r#"{"n":1}"#, Some(Gap::Unvouched)));
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told_and_holds_up_nobody() {
    let server = Server::start().await;
    let client = server.builder().buffer(10).build().unwrap();
    let mut slow = client.subscribe(["documents"]).await.unwrap();
    let mut quick = client.subscribe(["documents"]).await.unwrap();
    let mut peer = server.peer().await;
    let mut ids = peer.confirm().await;
    if ids.len() < 2 {
        ids.extend(peer.confirm().await);
    }
    for number in 0..50 {
        peer.event(&ids, number).await;
        assert_eq!(next(&mut quick).await.id.as_deref(), Some(number.to_string().as_str()));
    }
    for number in 0..10 {
        let event = next(&mut slow).await;
        assert_eq!((event.id.as_deref(), event.gap), (Some(number.to_string().as_str()), None));
    }
    peer.event(&ids, 50).await;
    let event = next(&mut slow).await;
    assert_eq!((event.id.as_deref(), event.gap), (Some("50"), Some(Gap::Overrun)));
}

#[tokio::test]
async fn a_refused_subscription_ends_with_the_reason_and_leaves_others_alone() {
    let server = Server::start().await;
    let client = server.client();
    let mut good = client.subscribe(["documents"]).await.unwrap();
    let mut peer = server.peer().await;
    let ids = peer.confirm().await;
    let mut bad = client.subscribe(Interest::new(["documents"])).await.unwrap();
    peer.hear().await;
    peer.say(&json!({ "type": "error", "data": { "code": 1003, "message": "Invalid query: nope" } })).await;
    let refused = Error::Refused { code: 1003, message: "Invalid query: nope".to_owned() };
    assert_eq!(bad.ready().await, Err(refused.clone()));
    assert!(bad.next().await.is_none() && bad.error() == Some(refused));
    peer.event(&ids, 1).await;
    assert_eq!(next(&mut good).await.id.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_final_close_ends_every_stream_with_the_reason() {
    let server = Server::start().await;
    let client = server.client();
    let mut subscription = client.subscribe(["documents"]).await.unwrap();
    let mut peer = server.peer().await;
    peer.confirm().await;
    let close = CloseFrame { code: 1008.into(), reason: "Missing or unknown project ID".into() };
    peer.socket.close(Some(close)).await.unwrap();
    assert!(timeout(PATIENCE, subscription.next()).await.unwrap().is_none());
    let why = subscription.error().unwrap().to_string();
    assert_eq!(why, "the server refuses: Missing or unknown project ID (1008)");
    assert!(matches!(client.subscribe(["documents"]).await, Err(Error::Stopped(_))));
}

#[tokio::test]
async fn a_provider_is_asked_again_after_3000_also_if_it_fails_or_panics_in_between() {
    let server = Server::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let provide = move || {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            match number {
                1 => Err("the backend is down".into()),
                2 => panic!("a provider with a fault"),
                number => Ok(Credential::jwt(format!("token-{number}"))?),
            }
        }
    };
    let client = server.builder().provider(provide).build().unwrap();
    let _subscription = client.subscribe(["account"]).await.unwrap();
    let mut peer = server.peer().await;
    assert_eq!(peer.jwt.as_deref(), Some("token-0"));
    peer.confirm().await;
    let close = CloseFrame { code: 3000.into(), reason: "expired".into() };
    peer.socket.close(Some(close)).await.unwrap();
    assert_eq!(server.peer().await.jwt.as_deref(), Some("token-3"));
}

#[tokio::test]
async fn a_connection_that_another_one_follows_ends_without_a_goodbye() {
    let server = Server::start().await;
    let client = server.client();
    client.authenticate(Credential::jwt("token").unwrap());
    let _subscription = client.subscribe(["documents"]).await.unwrap();
    let mut peer = server.peer().await;
    peer.confirm().await;
    client.authenticate(None);
    assert_eq!(peer.hear().await, json!({ "type": "close", "code": 4000 }));
    assert_eq!(server.peer().await.jwt, None);
}

#[tokio::test]
async fn closing_says_good_bye_and_ends_streams() {
    let server = Server::start().await;
    let client = server.client();
    let mut subscription = client.subscribe(["documents"]).await.unwrap();
    let mut peer = server.peer().await;
    peer.confirm().await;
    let (said, ()) = tokio::join!(peer.hear(), client.close());
    assert_eq!(said, json!({ "type": "close", "code": 1000 }));
    assert!(subscription.next().await.is_none());
    assert_eq!(subscription.error(), Some(Error::Closed));
    assert!(matches!(client.subscribe(["documents"]).await, Err(Error::Closed)));
    client.close().await;
}

#[tokio::test]
async fn dropping_the_client_and_its_subscriptions_ends_the_connection() {
    let server = Server::start().await;
    let client = server.client();
    let subscription = client.subscribe(["documents"]).await.unwrap();
    let mut peer = server.peer().await;
    peer.confirm().await;
    drop(client);
    peer.say(&json!({ "type": "pong" })).await;
    drop(subscription);
    // An unsubscribe may come first.
    loop {
        match timeout(PATIENCE, peer.socket.next()).await.expect("something comes") {
            Some(Ok(Message::Close(_)) | Err(_)) | None => break,
            Some(Ok(_)) => {}
        }
    }
}

#[test]
fn a_client_outside_of_a_runtime_is_an_error() {
    let built = Client::builder("http://127.0.0.1/v1").build();
    assert_eq!(built.err(), Some(Error::NoRuntime));
}
