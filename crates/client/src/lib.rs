//! Listen to what happens in a backend, as it happens.
pub mod advice;
mod backoff;
pub mod channel;
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
pub mod query;
mod random;
pub mod request;
mod resume;
pub mod session;
pub mod state;
pub mod subscription;

pub use self::channel::Channel;
pub use self::query::Query;
