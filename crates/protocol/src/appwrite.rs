//! Appwrite's JSON protocol.

pub mod envelope;
pub mod permission;
pub mod publish;
pub mod system_event;
