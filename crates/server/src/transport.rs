//! Ways in: how clients reach the server.

pub mod websocket;
