//! The wiring of the realtime event server: ways in, sources of events, directories of identities.

pub mod directory;
pub mod transport;
