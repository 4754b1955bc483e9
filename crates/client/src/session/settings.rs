//! What a session is told once.

use std::time::Duration;

use crate::endpoint::Endpoint;

/// What a session is told once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the server is.
    pub endpoint: Endpoint,
    /// The project to listen to.
    pub project: String,
    /// Whether [`Effect::Provide`](crate::effect::Effect::Provide) can be carried out.
    pub provides_credentials: bool,
    /// Subscriptions are told in the URL from the beginning, instead of when the server turns out to need that.
    pub in_url: bool,
    /// A ping goes out this often. 20 s, as with Appwrite's SDKs.
    pub ping_every: Duration,
    /// How long the server may take to answer. 15 s.
    pub patience: Duration,
    /// The first pause is no longer than this; each further one twice that. 500 ms.
    pub first_pause: Duration,
    /// No pause is longer than this, unless the server asks for it. 30 s.
    pub longest_pause: Duration,
    /// A connection is kept this long when nobody listens any more. 5 s.
    pub linger: Duration,
}

impl Settings {
    /// The usual ones.
    pub fn new(endpoint: Endpoint, project: impl Into<String>) -> Self {
        Self {
            endpoint,
            project: project.into(),
            provides_credentials: false,
            in_url: false,
            ping_every: Duration::from_secs(20),
            patience: Duration::from_secs(15),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            linger: Duration::from_secs(5),
        }
    }
}
