//! What has happened so far, as plain numbers for others to export.

/// What has happened so far, as plain numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections there are, whatever their state.
    pub connections: u64,
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
}
