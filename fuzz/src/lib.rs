//! The bodies of the fuzz targets: each takes any bytes at all, and panics if a promise is broken.
//!
//! They are plain functions, so that the same code runs under libFuzzer and, with the committed corpora, in a test
//! on any machine. A new target is a function here, a line in [`TARGETS`], a file in `fuzz_targets` and a corpus.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a target panics when a promise is broken")]

mod client_session;
mod engine;
mod jwt;

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
pub use client_session::client_session;
pub use engine::engine;
pub use jwt::{appwrite_jwt, backend_jwt};
use realtime_core::id::{EventId, ProjectId};
use realtime_core::notice::{Delivery, Outgoing};
use realtime_core::origin::{OriginRules, OriginSettings, check, host_of};
use realtime_core::project::{Platform, Project};
use realtime_core::query::{Filter, Limits, Payload};
use realtime_core::secret::Secret;
use realtime_protocol::appwrite::cookie::Cookies;
use realtime_protocol::appwrite::publish::Stamp;
use realtime_protocol::appwrite::query_string::{MAX_VARIABLES, QueryString};
use realtime_protocol::appwrite::session_token::SessionToken;
use realtime_protocol::appwrite::system_event::{Context, Outcome};
use realtime_protocol::appwrite::{Appwrite, envelope, hello, publish as wire};
use realtime_protocol::codec::Codec;
use realtime_server::transport::websocket::frame::{CONTROL_LIMIT, Inbound, read_all};

/// A target panics if bytes make the product break a promise.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its corpus.
pub const TARGETS: [(&str, Target); 14] = [
    ("query", query),
    ("origin", origin),
    ("command", command),
    ("envelope", envelope),
    ("publish", publish),
    ("hello", hello),
    ("query_string", query_string),
    ("cookie", cookie),
    ("session_token", session_token),
    ("frame", frame),
    ("appwrite_jwt", appwrite_jwt),
    ("backend_jwt", backend_jwt),
    ("engine", engine),
    ("client_session", client_session),
];

/// A payload in the first line, queries in the others: whatever they are, the answer is the same each time, and
/// a filter written anew from its canonical form gives it too.
pub fn query(data: &[u8]) {
    let (payload, queries) = match data.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &b""[..]),
    };
    let queries = String::from_utf8_lossy(queries);
    let queries: Vec<&str> = queries.lines().collect();
    let filter = match Filter::parse(&queries, &Limits::default()) {
        Ok(filter) => filter,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let passed = filter.matches(&Payload::new(Bytes::copy_from_slice(payload)));
    assert!(passed || !filter.is_everything(), "everything passes the filter that lets everything through");
    assert_eq!(filter.canonical().len(), queries.len());
    let again = Filter::parse(filter.canonical(), &Limits::default()).expect("the canonical form is valid");
    assert_eq!(again.canonical(), filter.canonical());
    assert_eq!(again.matches(&Payload::new(Bytes::copy_from_slice(payload))), passed);
}

/// An origin in the first line, then kind, hostname and key of a platform: owning the host only ever opens doors.
pub fn origin(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let origin = next();
    let platform = Platform { kind: next().into(), hostname: next().into(), key: next().into() };
    let project = Project {
        id: ProjectId::new("p"),
        sequence: String::new(),
        database: String::new(),
        team: None,
        region: String::new(),
        realtime_enabled: true,
        platforms: vec![platform],
    };
    let rules = OriginRules::of(&project, &OriginSettings::default());
    let foreign = check(origin, &rules, false, false);
    let own = check(origin, &rules, false, true);
    assert!(foreign.is_err() || own.is_ok());
    if check(origin, &rules, true, false).is_ok() && !origin.is_empty() {
        assert!(origin.is_ascii(), "a URL is ASCII");
    }
    if let Some(host) = host_of(origin) {
        assert!(!host.is_empty() && !host.contains(['@', '/', '?', '#']));
    }
}

/// A client's message: it is a command, or it is refused in words.
pub fn command(data: &[u8]) {
    if let Err(malformed) = Appwrite::default().decode(data) {
        assert!(!malformed.0.message.is_empty());
    }
}

/// A message from the bus: if it is an event, what is sent of it is one JSON object with its receiver's id.
pub fn envelope(data: &[u8]) {
    let Ok(event) = envelope::decode(&Bytes::copy_from_slice(data)) else { return };
    assert!(!event.roles.is_empty() && !event.channels.is_empty());
    let subscriptions = ["a \"quoted\" id".into()].into_iter().collect();
    let delivery = Delivery { event: event.into(), subscriptions };
    let message = Appwrite::default().encode(&Outgoing::Event(delivery)).expect("an event has a spelling");
    let text = [message.shared, message.own].concat();
    let sent: serde_json::Value = serde_json::from_slice(&text).expect("it is JSON");
    assert_eq!(sent["type"], "event");
    assert_eq!(sent["data"]["subscriptions"], serde_json::json!(["a \"quoted\" id"]));
    assert!(sent["data"]["payload"].is_object());
}

/// The body of a publish request: whatever it says, it is for its own project, or for the console and then for the
/// team that owns the project.
pub fn publish(data: &[u8]) {
    let project = ProjectId::new("p");
    let team = "owners".into();
    let context = Context { project: &project, team: Some(&team), legacy_channels: true };
    let id = EventId::new("e");
    let Ok(publications) = wire::parse(&Bytes::copy_from_slice(data)) else { return };
    for publication in publications {
        let stamp = Stamp { timestamp: "2026-08-21T10:15:30.123+00:00", id: &id };
        let Ok(Outcome::Published(envelopes)) = publication.envelopes(&context, &stamp) else { continue };
        for made in envelopes {
            assert!(!made.roles.is_empty() && !made.channels.is_empty());
            if made.project != project {
                assert!(made.project.is_console());
                assert!(made.roles.iter().all(|role| role.as_str() == "team:owners"));
            }
            let event = envelope::decode(&made.encode()).expect("what was made can be read");
            assert_eq!(event.project, made.project);
        }
    }
}

/// A URI in the first line, then headers: a hello is bounded, a refusal has words.
pub fn hello(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut request = http::Request::builder().uri(lines.next().unwrap_or_default());
    for line in lines {
        if let Some(colon) = line.iter().position(|byte| *byte == b':') {
            request = request.header(&line[..colon], &line[colon + 1..]);
        }
    }
    let Ok(request) = request.body(()) else { return };
    let trusted = [http::HeaderName::from_static("x-forwarded-for")];
    match hello::read(&request.into_parts().0, IpAddr::V4(Ipv4Addr::LOCALHOST), &trusted) {
        Ok(hello) => assert!(hello.channels.len() <= hello::MAX_CHANNELS),
        Err(refusal) => assert!(!refusal.message.is_empty()),
    }
}

/// A query string: no more variables than PHP takes.
pub fn query_string(data: &[u8]) {
    assert!(QueryString::parse(data).iter().count() <= MAX_VARIABLES);
}

/// Cookie headers, one in each line, after the name that is looked for.
pub fn cookie(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let name = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let cookies = Cookies::of(lines);
    assert_eq!(cookies.get(&name), cookies.get(&name));
}

/// A session token: both of its parts, or nothing.
pub fn session_token(data: &[u8]) {
    if let Some(token) = SessionToken::decode(&Secret::new(String::from_utf8_lossy(data))) {
        assert!(!token.user.as_str().is_empty() && !token.secret.expose().is_empty());
    }
}

/// What a WebSocket client sends: how it is cut up makes no difference, and nothing is larger than the limit.
pub fn frame(data: &[u8]) {
    const LIMIT: usize = 512;
    let whole = read_all(data, usize::MAX, LIMIT);
    for step in [1, 3, 64] {
        assert_eq!(read_all(data, step, LIMIT), whole, "cut into pieces of {step} bytes");
    }
    for inbound in whole.0 {
        match inbound {
            Inbound::Text(text) => {
                assert!(text.len() <= LIMIT);
                str::from_utf8(&text).expect("a text message is UTF-8");
            }
            Inbound::Binary(bytes) => assert!(bytes.len() <= LIMIT),
            Inbound::Ping(bytes) | Inbound::Pong(bytes) => assert!(bytes.len() <= CONTROL_LIMIT),
            Inbound::Close(code, reason) => assert!(code >= 1000 && reason.len() <= CONTROL_LIMIT),
        }
    }
}
