//! The Rust SDK: a [`Client`] on tokio around a [`session`] without I/O. What follows is the crate's README.
//!
//! In reading order: [`interest`], [`channel`] and [`query`] say what is listened to, [`presence`] what others may know of the
//! user, [`event`] and [`state`] what comes of it, [`close`] and [`advice`] how it ends; [`session`] is the conversation, [`message`] its spelling, [`effect`] what it
//! wants done, and [`client`] does that.
#![doc = ""]
#![doc = include_str!("../README.md")]

pub mod advice;
mod backoff;
pub mod channel;
pub mod client;
pub mod close;
pub mod credential;
pub mod effect;
pub mod endpoint;
pub mod error;
pub mod event;
pub mod interest;
pub mod message;
mod pace;
mod pass;
pub mod presence;
pub mod query;
mod random;
pub mod request;
mod resume;
pub mod session;
pub mod state;
pub mod subscription;

pub use self::advice::Advice;
pub use self::channel::Channel;
pub use self::client::{Client, Subscription};
pub use self::close::Close;
pub use self::credential::Credential;
pub use self::endpoint::Endpoint;
pub use self::error::{Error, PayloadError};
pub use self::event::{Event, Gap};
pub use self::interest::Interest;
pub use self::presence::Presence;
pub use self::query::Query;
pub use self::state::State;
pub use self::subscription::SubscriptionId;

/// The guide's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/sdk-rust.md")]
struct Guide;
