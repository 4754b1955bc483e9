//! What has happened so far, as plain numbers for others to export.

/// What has happened so far, as plain numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections there are, whatever their state.
    pub connections: u64,
    /// Subscriptions there are, of all connections.
    pub subscriptions: u64,
    /// Connections that began.
    pub opened: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Openings that were refused.
    pub refused: u64,
    /// Events published to this engine.
    pub events: u64,
    /// Events queued for a connection, once for each receiver.
    pub deliveries: u64,
    /// Connections closed because they did not read fast enough.
    pub slow: u64,
    /// Events left out for clients that did not read fast enough, or for a later one of the same subject.
    pub left_out: u64,
    /// Times that a client came back and got all that it had missed.
    pub recovered: u64,
    /// Times that a client came back and could not be vouched for.
    pub unrecovered: u64,
    /// Times that events may have been missed by this node.
    pub gaps: u64,
    /// Bytes kept for clients that are away.
    pub replay_bytes: u64,
}
