//! The request that opens a connection.

use std::fmt;

use serde_json::json;

use crate::credential::Credential;
use crate::endpoint::push_encoded;
use crate::interest::Interest;

/// The request that opens a connection: a WebSocket handshake to a URL, with a credential in a header.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    url: String,
    credential: Option<Credential>,
}

impl Request {
    pub(crate) fn new(url: String, credential: Option<Credential>) -> Self {
        Self { url, credential }
    }

    /// `ws://` or `wss://`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Names and values beside those that a handshake has.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.credential.iter().map(|credential| (credential.names().0, credential.token()))
    }
}

/// The token stays hidden.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("url", &self.url).field("credential", &self.credential).finish()
    }
}

/// Names subscriptions in the URL, each in a slot of its own, for servers that take no `subscribe` messages. A slot's
/// queries stand with each of its channels, since the server keeps those that come first.
pub(crate) fn push_slots<'a>(url: &mut String, interests: impl Iterator<Item = &'a Interest>) {
    let everything = json!({ "method": "select", "values": ["*"] }).to_string();
    let mut named: Vec<&str> = Vec::new();
    for (slot, interest) in interests.enumerate() {
        for channel in interest.channels() {
            if !named.contains(&channel.as_str()) {
                named.push(channel);
                url.push_str("&channels[]=");
                push_encoded(url, channel);
            }
            // Its slots would hide the project's id.
            if channel == "project" {
                continue;
            }
            let queries = interest.queries();
            let queries = if queries.is_empty() { std::slice::from_ref(&everything) } else { queries };
            for query in queries {
                url.push('&');
                push_encoded(url, &channel.replace('.', "_"));
                url.push_str(&format!("[{slot}][]="));
                push_encoded(url, query);
            }
        }
    }
}
