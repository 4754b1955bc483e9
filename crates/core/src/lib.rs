//! Who receives which event: the meaning of a realtime event server.
//!
//! An [`engine::Engine`] holds the connections of one shard. It is told what happened (a client said something, an
//! event was published, time passed) and answers with what to do. It never opens a socket, reads a clock, or draws a
//! random number: time, randomness and bytes are passed in, so every behaviour repeats from its inputs.
//!
//! Modules in reading order: the nouns, the conversation, then the machinery with the engine last.

pub mod id;

pub mod channel;
pub mod event;
pub mod identity;
pub mod origin;
pub mod presence;
pub mod project;
pub mod query;
pub mod role;
pub mod secret;

pub mod command;
pub mod leave;
pub mod notice;
pub mod refusal;

mod connection;
mod deadline;
pub mod effect;
pub mod heard;
pub mod index;
pub mod limit;
pub mod outbox;
mod random;
pub mod receipts;
mod recheck;
pub mod replay;
pub mod settings;
pub mod slot;
pub mod snapshot;
pub mod stats;
pub mod tail;
pub mod verdict;
pub mod whereabouts;

pub mod engine;
