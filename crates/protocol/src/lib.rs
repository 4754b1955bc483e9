//! How a conversation is spelled: bytes to meaning and back, as pure functions.
//!
//! The meaning is `realtime-core`'s; a [`codec::Codec`] gives it one spelling. [`appwrite`] is the spelling of Appwrite
//! Realtime and its SDKs. To add another, write a sibling of `appwrite.rs` that implements the trait.
//! Nothing here opens a socket or reads a clock.

pub mod appwrite;
pub mod codec;
