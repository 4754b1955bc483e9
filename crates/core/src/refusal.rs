//! Why something was refused, and what the client is to make of it.

use std::borrow::Cow;

/// A refusal: its kind decides the code and whether the connection survives, its text is for a developer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What sort of refusal.
    pub kind: RefusalKind,
    /// What to tell the client.
    pub message: Cow<'static, str>,
}

/// The sorts of refusal. Codecs map each to a code of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// A rule that trying again will not change: unknown project, wrong origin, bad query in the URL.
    Policy,
    /// A message that cannot be read or is not valid; the connection goes on.
    Invalid,
    /// Too many connections or too many messages; later is fine.
    TooMany,
    /// A credential that is wrong or has expired; a fresh one may do.
    Unauthorized,
    /// Not allowed, whoever asks: the API is switched off, or two credentials contradict each other.
    Forbidden,
    /// The thing that was named does not exist.
    NotFound,
    /// A value that cannot be kept; the connection goes on.
    BadRequest,
    /// What was asked for is somebody else's, or has changed meanwhile; the connection goes on.
    Conflict,
    /// The directory cannot tell at the moment.
    Unavailable,
    /// A fault of the server.
    Internal,
    /// An operator has ended the connection, and the client may come back at once as it is.
    Dismissed,
}

impl Refusal {
    /// A refusal with a text.
    pub fn new(kind: RefusalKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A rule that trying again will not change.
    pub fn policy(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RefusalKind::Policy, message)
    }

    /// A message that is not valid.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RefusalKind::Invalid, message)
    }
}

/// Why the server ends a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Close {
    /// A refusal that ends the connection; its error notice went out just before.
    Refused(Refusal),
    /// The client does not read as fast as events come.
    Slow,
    /// Nobody vouches any more for the events that the client was about to get.
    Gap,
    /// The credential ran out.
    Expired,
    /// The server is stopping; another one will answer.
    Going,
    /// The client's bytes break the transport's rules.
    Protocol(Cow<'static, str>),
    /// The client's message is larger than allowed.
    TooLarge,
}

/// What a client should do after it was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Connect again.
    Retry,
    /// Connect again, but not at once.
    RetryLater,
    /// Connecting again as before will fail the same way.
    Stop,
}

impl Close {
    /// What the client should do.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Refused(refusal) => match refusal.kind {
                RefusalKind::Policy => Advice::Stop,
                RefusalKind::TooMany
                | RefusalKind::Invalid
                | RefusalKind::Unauthorized
                | RefusalKind::Forbidden
                | RefusalKind::NotFound
                | RefusalKind::BadRequest
                | RefusalKind::Conflict
                | RefusalKind::Unavailable
                | RefusalKind::Internal => Advice::RetryLater,
                RefusalKind::Dismissed => Advice::Retry,
            },
            Self::Slow | Self::Gap | Self::Expired | Self::Going => Advice::Retry,
            Self::Protocol(_) | Self::TooLarge => Advice::RetryLater,
        }
    }
}
