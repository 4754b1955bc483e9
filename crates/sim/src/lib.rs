//! Many nodes, clients and faults under one virtual clock: everything that happens follows from a seed.
//!
//! In reading order: [`workload`] makes a plan of a seed, [`world`] runs it on real engines, real codecs and real client
//! sessions, [`model`] knows what is true without asking any of them, [`property`] says what must hold, and [`shrink`] finds
//! out how little of a plan it takes to break it. [`network`], [`bus`], [`memory`] and [`directory`] are what lies between,
//! and may fail.

pub mod bus;
pub mod client;
pub mod clock;
pub mod directory;
pub mod memory;
pub mod model;
pub mod network;
pub mod node;
pub mod property;
pub mod random;
pub mod shrink;
pub mod workload;
pub mod world;
