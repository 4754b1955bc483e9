//! The wiring of the realtime event server: ways in, sources of events, directories of identities.
//!
//! A [`node::Node`] has shards, each a thread with an engine of `realtime-core`. Clients come in by a [`transport`] and
//! hold a [`peer::Peer`]; events come from a [`bus`]; who somebody is says a [`directory`], behind [`admission`].

pub mod admission;
pub mod bus;
pub mod cli;
pub mod config;
pub mod directory;
pub mod embedded;
pub mod http;
mod inspector;
pub mod installation;
mod listener;
mod lookout;
pub mod node;
pub mod peer;
pub mod presence;
mod pressure;
mod self_test;
pub mod shard;
mod statistics;
pub mod telemetry;
pub mod transport;
pub mod whereabouts;
