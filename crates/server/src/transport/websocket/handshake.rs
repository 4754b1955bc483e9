//! The HTTP request that opens a WebSocket, and its answer (RFC 6455 §4.2).

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{Request, Response, StatusCode, Version};
use http_body_util::Full;
use tungstenite::handshake::derive_accept_key;

/// Length of a `Sec-WebSocket-Key`: 16 bytes in base64 (RFC 6455 §4.1).
const KEY_LENGTH: usize = 24;

/// The one protocol version (RFC 6455 §4.1).
const PROTOCOL_VERSION: HeaderValue = HeaderValue::from_static("13");

/// The 101 answer to a request for a WebSocket.
///
/// As Appwrite does, this asks for no more than `Upgrade: websocket` and a key of 24 characters. The key need not be
/// base64: Apple's SDK sends one that is not canonical. No subprotocol is selected and no extension is accepted;
/// offers are declined by not naming them.
///
/// # Errors
/// [`Refused`] if the request does not ask for a WebSocket; it carries its own answer.
pub fn accept<B>(request: &Request<B>) -> Result<Response<Full<Bytes>>, Refused> {
    if request.version() < Version::HTTP_11 || !asks_for_websocket(request) {
        return Err(Refused::NotAnUpgrade);
    }
    let key = request.headers().get(SEC_WEBSOCKET_KEY).ok_or(Refused::NoKey)?;
    if key.len() != KEY_LENGTH {
        return Err(Refused::BadKey { length: key.len() });
    }
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| Refused::BadKey { length: key.len() })?;

    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    headers.insert(SEC_WEBSOCKET_VERSION, PROTOCOL_VERSION);
    Ok(response)
}

/// Whether the request asks to become a WebSocket, rightly or not.
pub fn asks_for_websocket<B>(request: &Request<B>) -> bool {
    request
        .headers()
        .get_all(UPGRADE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// Why a request cannot become a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no `Upgrade: websocket`, or the request is older than HTTP/1.1.
    #[error(
        "this is a WebSocket endpoint: connect with ws:// or wss:// (HTTP/1.1 with `Upgrade: websocket`)"
    )]
    NotAnUpgrade,
    /// There is no key.
    #[error("the header Sec-WebSocket-Key is missing: connect with a WebSocket client")]
    NoKey,
    /// The key is not 24 characters long.
    #[error("Sec-WebSocket-Key must be {KEY_LENGTH} characters long, this one has {length}")]
    BadKey {
        /// How long it is, in bytes.
        length: usize,
    },
}

impl Refused {
    /// The answer: 400 with a problem document (RFC 9457), after which the connection ends.
    pub fn response(&self) -> Response<Full<Bytes>> {
        let status = StatusCode::BAD_REQUEST;
        let problem = serde_json::json!({
            "type": "about:blank",
            "title": "Bad Request",
            "status": status.as_u16(),
            "detail": self.to_string(),
        });
        let mut response = Response::new(Full::from(problem.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(SEC_WEBSOCKET_VERSION, PROTOCOL_VERSION);
        response
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_answered_as_the_rfc_says() {
        let response = accept(&request("websocket", "dGhlIHNhbXBsZSBub25jZQ==")).unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[UPGRADE], "websocket");
        assert_eq!(response.headers()[CONNECTION], "Upgrade");
        assert_eq!(response.headers()[SEC_WEBSOCKET_VERSION], "13");
        assert_eq!(response.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_key_of_the_apple_sdk_is_accepted_though_it_is_not_canonical_base64() {
        assert!(accept(&request("websocket", "tergregfgbsfdgfdsfgdbv==")).is_ok());
    }

    #[test]
    fn the_upgrade_header_may_be_a_list_in_any_case() {
        assert!(accept(&request("h2c, WebSocket", "dGhlIHNhbXBsZSBub25jZQ==")).is_ok());
    }

    #[test]
    fn offered_extensions_and_subprotocols_are_declined_by_silence() {
        let mut request = request("websocket", "dGhlIHNhbXBsZSBub25jZQ==");
        let headers = request.headers_mut();
        headers.insert("sec-websocket-extensions", HeaderValue::from_static("permessage-deflate"));
        headers.insert("sec-websocket-protocol", HeaderValue::from_static("chat"));
        let response = accept(&request).unwrap();
        assert!(!response.headers().contains_key("sec-websocket-extensions"));
        assert!(!response.headers().contains_key("sec-websocket-protocol"));
    }

    #[test]
    fn a_request_without_a_usable_key_is_refused_with_its_reason() {
        let mut keyless = request("websocket", "");
        keyless.headers_mut().remove(SEC_WEBSOCKET_KEY);
        assert_eq!(accept(&keyless).unwrap_err(), Refused::NoKey);
        assert_eq!(accept(&request("websocket", "short")).unwrap_err(), Refused::BadKey { length: 5 });
        assert_eq!(accept(&request("h2c", "dGhlIHNhbXBsZSBub25jZQ==")).unwrap_err(), Refused::NotAnUpgrade);
    }

    #[test]
    fn an_http_1_0_request_cannot_upgrade() {
        let mut old = request("websocket", "dGhlIHNhbXBsZSBub25jZQ==");
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(accept(&old).unwrap_err(), Refused::NotAnUpgrade);
    }

    #[tokio::test]
    async fn a_refusal_is_a_problem_document() {
        let response = Refused::BadKey { length: 5 }.response();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["status"], 400);
        assert_eq!(problem["detail"], "Sec-WebSocket-Key must be 24 characters long, this one has 5");
    }

    fn request(upgrade: &'static str, key: &'static str) -> Request<()> {
        Request::builder().header(UPGRADE, upgrade).header(SEC_WEBSOCKET_KEY, key).body(()).unwrap()
    }
}
