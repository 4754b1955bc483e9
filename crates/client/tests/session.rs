//! Sessions against a server in time that the test makes up.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks for one state among all")]
#![expect(clippy::disallowed_methods, reason = "a test's clock must begin somewhere")]

#[path = "session/server.rs"]
mod server;
#[path = "session/talk.rs"]
mod talk;

#[path = "session/credentials.rs"]
mod credentials;
#[path = "session/moments.rs"]
mod moments;
#[path = "session/presence.rs"]
mod presence;
#[path = "session/resuming.rs"]
mod resuming;
#[path = "session/subscribing.rs"]
mod subscribing;
#[path = "session/trouble.rs"]
mod trouble;
#[path = "session/urls.rs"]
mod urls;
