//! Where a server is.

use std::fmt;

use crate::error::Error;

/// Where a server is: the address of its API, such as `https://example.org/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// With the scheme of WebSockets, without a slash at the end.
    websocket: String,
}

impl Endpoint {
    /// Reads `http(s)://` or `ws(s)://`, a host, and a path if there is one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refused = |why: &str| Error::Endpoint { endpoint: text.to_owned(), why: why.to_owned() };
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .ok_or_else(|| refused("it begins with http:// or https://, as in https://example.org/v1"))?;
        let websocket = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => "ws",
            "https" | "wss" => "wss",
            _ => return Err(refused("its scheme is http, https, ws or wss")),
        };
        if rest.contains(['?', '#', '@']) {
            return Err(refused("it is a host and a path, without a query, a fragment or a password"));
        }
        let websocket = format!("{websocket}://{}", rest.trim_end_matches('/'));
        let uri: http::Uri = websocket.parse().map_err(|_| refused("it is not a URL"))?;
        match uri.host() {
            Some(host) if !host.is_empty() => Ok(Self { websocket }),
            Some(_) | None => Err(refused("it names no host")),
        }
    }

    /// The URL of a project's events.
    pub(crate) fn realtime(&self, project: &str) -> String {
        let mut url = format!("{}/realtime?project=", self.websocket);
        push_encoded(&mut url, project);
        url
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.websocket)
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986 §2.3.
pub(crate) fn push_encoded(url: &mut String, text: &str) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or('0');
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.extend(['%', digit(byte >> 4), digit(byte)]);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_an_api_becomes_one_of_a_websocket() {
        for (endpoint, url) in [
            ("http://127.0.0.1:8080/v1", "ws://127.0.0.1:8080/v1/realtime?project=p"),
            ("https://example.org/v1/", "wss://example.org/v1/realtime?project=p"),
            ("wss://[::1]:9/v1", "wss://[::1]:9/v1/realtime?project=p"),
            ("HTTP://localhost", "ws://localhost/realtime?project=p"),
        ] {
            assert_eq!(Endpoint::parse(endpoint).unwrap().realtime("p"), url);
        }
        let project = Endpoint::parse("ws://h").unwrap().realtime("a b&c=ü");
        assert_eq!(project, "ws://h/realtime?project=a%20b%26c%3D%C3%BC");
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (endpoint, why) in [
            ("example.org/v1", "begins with http://"),
            ("ftp://example.org", "scheme"),
            ("http://", "no"),
            ("http:///v1", "no"),
            ("http://a b/v1", "not a URL"),
            ("http://user:secret@host/v1", "password"),
            ("http://host/v1?project=p", "query"),
        ] {
            let refused = Endpoint::parse(endpoint).unwrap_err().to_string();
            assert!(refused.contains(why) && refused.contains(endpoint), "{refused}");
        }
    }
}
