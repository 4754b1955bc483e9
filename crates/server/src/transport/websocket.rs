//! WebSocket (RFC 6455): a handshake on an HTTP request, then frames both ways.

pub mod frame;
pub mod handshake;
pub mod queue;
pub mod socket;
