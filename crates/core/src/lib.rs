//! Who receives which event: the meaning of a realtime event server.
//!
//! An [`engine::Engine`] holds the connections of one shard. It is told what happened (a client said something, an
//! event was published, time passed) and answers with what to do. It never opens a socket, reads a clock, or draws a
//! random number: time, randomness and bytes are passed in, so every behaviour repeats from its inputs.
//!
//! Modules in reading order: the nouns ([`id`], [`channel`], [`role`], [`query`], [`event`], [`project`], [`origin`],
//! [`identity`]), the conversation ([`command`], [`refusal`], [`notice`], [`slot`]), then the machinery.

pub mod id;

pub mod channel;
pub mod event;
pub mod identity;
pub mod origin;
pub mod project;
pub mod query;
pub mod role;
pub mod secret;

pub mod command;
pub mod limit;
pub mod notice;
pub mod refusal;
