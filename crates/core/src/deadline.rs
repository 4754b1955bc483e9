//! What is due next, for a hundred thousand connections.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::id::ConnectionId;

/// Connections by the moment they next need a look. Stale entries are left in and found out when they come up: the
/// caller compares with what the connection waits for now.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, ConnectionId)>>,
}

impl Deadlines {
    /// Asks for a look at the connection at this moment.
    pub(crate) fn set(&mut self, at: Instant, connection: ConnectionId) {
        self.heap.push(Reverse((at, connection)));
    }

    /// The next connection whose moment has come, and that moment.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, ConnectionId)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due)
    }

    /// When to look again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's clock must begin somewhere")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_due_comes_out_in_order_and_not_before_its_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut deadlines = Deadlines::default();
        deadlines.set(at(2), ConnectionId::new(2, 0));
        deadlines.set(at(1), ConnectionId::new(1, 0));
        assert_eq!(deadlines.next(), Some(at(1)));
        assert_eq!(deadlines.pop_due(start), None);
        assert_eq!(deadlines.pop_due(at(3)), Some((at(1), ConnectionId::new(1, 0))));
        assert_eq!(deadlines.pop_due(at(3)), Some((at(2), ConnectionId::new(2, 0))));
        assert_eq!(deadlines.pop_due(at(3)), None);
    }
}
