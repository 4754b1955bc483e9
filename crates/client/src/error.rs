//! What an application is told when something cannot be done.

use crate::close::Close;

/// Why something was not done, or why a subscription ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The endpoint cannot be one.
    #[error("{endpoint:?} is no place of a server: {why}")]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// What should be listened to cannot be.
    #[error("cannot subscribe: {0}")]
    Interest(String),
    /// What others should know of the user cannot be said.
    #[error("cannot be present: {0}")]
    Presence(String),
    /// A credential has characters that no header may have.
    #[error("a token consists of visible ASCII characters; is there a line break in it?")]
    Credential,
    /// A client was built where no runtime is.
    #[error("a client lives on a tokio runtime; build it inside one")]
    NoRuntime,
    /// The system's random numbers or certificates are not usable.
    #[error("TLS cannot be used: {0}")]
    Tls(String),
    /// The server refused this subscription; others are not affected.
    #[error("the server refuses the subscription: {message} ({code})")]
    Refused {
        /// The code of the server's `error` message.
        code: i64,
        /// Its text.
        message: String,
    },
    /// The server closed the connection and coming back is of no use, or not before a new credential is given.
    #[error("the server refuses: {0}")]
    Stopped(Close),
    /// The application closed the client.
    #[error("the client is closed")]
    Closed,
}

/// A payload is not what the application expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payload of event {} cannot be read: {why}", .id.as_deref().unwrap_or("without an id"))]
pub struct PayloadError {
    /// The event.
    pub id: Option<String>,
    /// What does not fit.
    pub why: String,
}
