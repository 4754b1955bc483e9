//! How a client ends its connection of its own will.

/// How a client ended its connection. One that just lost it took no leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// For good: what comes after is not missed, and its presence ends.
    ForGood,
    /// To come back on another connection: where its subscriptions stand is remembered, as after a loss. Its presence
    /// ends, unless the other connection shows it.
    ToReturn,
}
