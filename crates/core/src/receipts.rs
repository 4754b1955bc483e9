//! What a client is known to have got over a transport that has Pings: everything before the one that it has answered
//! (RFC 6455 §5.5.3).
//!
//! That the kernel has sent something, or that the other end of the link has it, says nothing about the client: a proxy
//! may have it, and lose it. So events are followed by a Ping now and then, and its Pong is their receipt.

use crate::replay::Receipt;
use bytes::Bytes;

/// Events after which a receipt is asked for. So many may come twice to a client that has lost its connection.
const EVENTS: u32 = 32;

/// The Pings of one connection.
#[derive(Debug, Default)]
pub struct Receipts {
    /// The Ping that is not answered yet, and the receipt that its Pong will be.
    asked: Option<(u32, Receipt)>,
    number: u32,
    /// Events since the last Ping.
    events: u32,
    has_answered: bool,
    /// A whole heartbeat long no Ping was answered, nor any before.
    is_overdue: bool,
    /// The client said something since: it is there, and one of those that never answer (Apple's SDK).
    is_mute: bool,
}

impl Receipts {
    /// An event is on its way.
    pub fn event(&mut self) {
        self.events = self.events.saturating_add(1);
    }

    /// Whether it is time to ask: soon at first, so that it is known early whether the client answers.
    pub fn is_due(&self) -> bool {
        let enough = if self.number == 0 { 1 } else { EVENTS };
        self.asked.is_none() && self.events >= enough
    }

    /// The payload of a Ping whose Pong is this receipt.
    pub fn ask(&mut self, receipt: Receipt) -> Bytes {
        self.is_overdue |= self.asked.is_some() && !self.has_answered;
        self.number = self.number.wrapping_add(1);
        self.asked = Some((self.number, receipt));
        self.events = 0;
        Bytes::copy_from_slice(&self.number.to_be_bytes())
    }

    /// The client said something else.
    pub fn heard(&mut self) {
        self.is_mute |= self.is_overdue;
    }

    /// A Pong came: what it is a receipt for, if it answers the last Ping.
    pub fn answered(&mut self, payload: &[u8]) -> Option<Receipt> {
        let (_, receipt) = self.asked.take_if(|(number, _)| payload == number.to_be_bytes())?;
        self.has_answered = true;
        Some(receipt)
    }

    /// Whether the client answers no Ping at all, so that what was sent has to count as got.
    pub fn is_mute(&self) -> bool {
        self.is_mute && !self.has_answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(receipts: &mut Receipts, count: u32) {
        (0..count).for_each(|_| receipts.event());
    }

    #[test]
    fn the_first_event_is_asked_for_at_once_and_later_ones_together() {
        let mut receipts = Receipts::default();
        assert!(!receipts.is_due());
        receipts.event();
        assert!(receipts.is_due());
        let ping = receipts.ask(Receipt::default());
        events(&mut receipts, EVENTS * 2);
        assert!(!receipts.is_due(), "one at a time");
        assert_eq!(receipts.answered(&ping), Some(Receipt::default()));
        assert!(receipts.is_due());
        let ping = receipts.ask(Receipt::default());
        receipts.answered(&ping);
        events(&mut receipts, EVENTS - 1);
        assert!(!receipts.is_due());
    }

    #[test]
    fn only_the_last_ping_can_be_answered_and_only_once() {
        let mut receipts = Receipts::default();
        let first = receipts.ask(Receipt::default());
        let second = receipts.ask(Receipt::default());
        assert_eq!(receipts.answered(&first), None);
        assert_eq!(receipts.answered(b""), None);
        assert_eq!(receipts.answered(&second), Some(Receipt::default()));
        assert_eq!(receipts.answered(&second), None);
    }

    #[test]
    fn a_client_is_mute_that_has_never_answered() {
        let mut receipts = Receipts::default();
        receipts.ask(Receipt::default());
        assert!(!receipts.is_mute(), "it may be about to");
        receipts.heard();
        assert!(!receipts.is_mute(), "the Ping may not have come to it yet");
        let ping = receipts.ask(Receipt::default());
        assert!(!receipts.is_mute(), "its link may be dead");
        receipts.heard();
        assert!(receipts.is_mute());
        receipts.answered(&ping);
        assert!(!receipts.is_mute());
        receipts.ask(Receipt::default());
        receipts.ask(Receipt::default());
        receipts.heard();
        assert!(!receipts.is_mute(), "it has answered before");
    }
}
