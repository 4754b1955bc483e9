//! Server-sent events (WHATWG HTML §9.2): what a client listens to stands in the URL, events come as a stream.
//!
//! `GET /v1/realtime?project=P&channels[]=documents` with `Accept: text/event-stream`. Each message is one `data` field
//! in the same JSON as over WebSocket; events carry their id as `id`, so a browser sends `Last-Event-ID` when it
//! reconnects. Before the server ends a stream for good it sends an event named `close` with the code and the reason.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_TYPE, ORIGIN, RETRY_AFTER,
    VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{Full, StreamBody};
use hyper::body::{Frame, Incoming};
use realtime_core::command::Hello;
use realtime_core::id::EventId;
use realtime_core::refusal::{Close, Refusal, RefusalKind};
use realtime_protocol::appwrite::hello;
use realtime_protocol::codec::Message;
use serde_json::json;
use tokio::sync::Notify;

use super::{Body, Entrance, HttpTransport, NO_ROOM, Settings};
use crate::peer::{Next, Peer, Watch};

/// The media type of an event stream.
const EVENT_STREAM: &str = "text/event-stream";
/// Headers of Appwrite's SDKs, and the one that an `EventSource` resumes with, that a page may send.
const SHOWN_BY_BROWSERS: &str = "X-Appwrite-Project, X-Appwrite-Session, X-Appwrite-JWT, X-Appwrite-Mode, \
     X-Appwrite-Dev-Key, X-Fallback-Cookies, Last-Event-ID";
/// Asks nginx not to collect the stream before passing it on.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// A comment line, which clients ignore and proxies count as life.
const HEARTBEAT: &[u8] = b":\n\n";
/// How long a client may take to read the last words, at least. Twice as long is less than a stopping server waits.
const GRACE: Duration = Duration::from_millis(2_500);

/// The transport.
#[derive(Debug)]
pub struct Sse;

impl HttpTransport for Sse {
    fn name(&self) -> &'static str {
        "sse"
    }

    fn wants(&self, request: &Request<Incoming>) -> bool {
        let accepted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        request.method() == Method::GET
            && accepted.flat_map(|value| value.split(',')).any(|range| {
                range.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(EVENT_STREAM))
            })
    }

    fn accept(&self, request: Request<Incoming>, entrance: Entrance) -> Response<Body> {
        let (parts, _) = request.into_parts();
        let hello = hello::read(&parts, entrance.address, &entrance.settings.trusted_headers);
        // Who comes back says which event was the last, whatever was left out before it: there is no other way to tell.
        let hello = hello.map(|hello| Hello { wants_gaps: true, ..hello });
        let peer = Peer::open(&entrance.shard, hello, entrance.settings.codec.clone(), self.name());
        if let Some(watch) = peer.watch() {
            tokio::task::spawn_local(end_when_stalled(watch, entrance.hang_up));
        }
        let stream = stream::unfold(Stream { peer, ready: VecDeque::new(), over: false }, Stream::next);
        let body: Body = Box::pin(StreamBody::new(stream));
        respond(body, parts.headers.get(ORIGIN))
    }

    /// An `EventSource` gives up for ever at any status but 200 (WHATWG HTML §9.2.3), so it is told in the stream.
    fn turn_away(
        &self,
        request: &Request<Incoming>,
        settings: &Settings,
        after: u32,
    ) -> Option<Response<Body>> {
        let refusal = Refusal::new(RefusalKind::Unavailable, NO_ROOM);
        let (code, reason) = settings.codec.close(&Close::Refused(refusal));
        let text = format!("retry: {}\n{}", u64::from(after) * 1_000, spell_close(code, &reason));
        let body = Full::new(Bytes::from(text));
        let mut response = respond(Box::pin(body), request.headers().get(ORIGIN));
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after));
        Some(response)
    }
}

/// What a browser wants to know before it sends headers of an application's to another origin (Fetch §4.8).
pub(crate) fn preflight(request: &Request<Incoming>) -> Response<Body> {
    let mut response = Response::new(Box::pin(Full::new(Bytes::new())) as Body);
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    share(headers, request.headers().get(ORIGIN));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(SHOWN_BY_BROWSERS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// A response whose body is the stream.
fn respond(body: Body, origin: Option<&HeaderValue>) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    share(headers, origin);
    response
}

/// Lets a page of this origin read the answer. Whether the origin is allowed is the project's to say, and said in the
/// stream; a browser of a refused origin may read that refusal and nothing else.
fn share(headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(VARY, HeaderValue::from_name(ORIGIN));
    }
}

/// A stream under way.
struct Stream {
    peer: Peer,
    /// Parts of a message that are still to be given to the connection.
    ready: VecDeque<Bytes>,
    over: bool,
}

impl Stream {
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, Infallible>, Self)> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                return Some((Ok(Frame::data(part)), self));
            }
            if self.over {
                return None;
            }
            match self.peer.next().await {
                Next::Message { message, event } => self.ready = spell(message, event.as_ref()),
                Next::Heartbeat => self.ready.push_back(Bytes::from_static(HEARTBEAT)),
                Next::Close { code, reason } => {
                    self.ready.push_back(Bytes::from(spell_close(code, &reason)));
                    self.over = true;
                }
            }
        }
    }
}

/// Ends the link of a client that is to go and does not read: the connection asks for nothing while it cannot write, so
/// the stream cannot end by itself.
async fn end_when_stalled(watch: Watch, hang_up: Rc<Notify>) {
    let mut was_closing = false;
    while let Some(is_closing) = watch.is_closing() {
        if is_closing && was_closing {
            hang_up.notify_one();
            return;
        }
        was_closing = is_closing;
        tokio::time::sleep(GRACE).await;
    }
}

/// One message as the lines of an event stream, its shared part still shared.
fn spell(message: Message, id: Option<&EventId>) -> VecDeque<Bytes> {
    let mut head = BytesMut::new();
    // An id with a line break in it would end the field and could forge others.
    if let Some(id) = id.filter(|id| !id.as_str().contains(['\n', '\r', '\0'])) {
        head.extend_from_slice(b"id: ");
        head.extend_from_slice(id.as_str().as_bytes());
        head.extend_from_slice(b"\n");
    }
    head.extend_from_slice(b"data: ");
    let mut tail = BytesMut::with_capacity(message.own.len() + 2);
    if breaks_lines(&message.shared) {
        // Line breaks in JSON stand between tokens only, where a space means the same.
        head.extend(message.shared.iter().map(unbroken));
    }
    let shared = if breaks_lines(&message.shared) { Bytes::new() } else { message.shared };
    tail.extend(message.own.iter().map(unbroken));
    tail.extend_from_slice(b"\n\n");
    [head.freeze(), shared, tail.freeze()].into_iter().filter(|part| !part.is_empty()).collect()
}

/// The last word of a stream.
fn spell_close(code: u16, reason: &str) -> String {
    let close = json!({ "code": code, "reason": reason });
    format!("event: close\ndata: {close}\n\n")
}

fn breaks_lines(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
}

fn unbroken(byte: &u8) -> u8 {
    match byte {
        b'\n' | b'\r' => b' ',
        other => *other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(shared: &'static str, own: &'static str, id: Option<&str>) -> String {
        let message = Message { shared: Bytes::from(shared), own: Bytes::from(own) };
        let id = id.map(EventId::from);
        let parts: Vec<u8> = spell(message, id.as_ref()).into_iter().flatten().collect();
        String::from_utf8_lossy(&parts).into_owned()
    }

    #[test]
    fn a_message_is_one_data_field() {
        assert_eq!(spelled("{\"a\":", "1}", None), "data: {\"a\":1}\n\n");
    }

    #[test]
    fn an_event_carries_its_id() {
        assert_eq!(spelled("{}", "", Some("e1")), "id: e1\ndata: {}\n\n");
    }

    #[test]
    fn line_breaks_between_tokens_do_not_end_the_field() {
        assert_eq!(spelled("{\n\"a\":\r\n", "1\n}", None), "data: { \"a\":  1 }\n\n");
    }

    #[test]
    fn an_id_with_a_line_break_is_left_out() {
        assert_eq!(spelled("{}", "", Some("x\nevent: forged")), "data: {}\n\n");
    }
}
