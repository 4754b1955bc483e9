//! What a client is known to have got over a transport that has Pings: everything before the one that it has answered
//! (RFC 6455 §5.5.3).
//!
//! That the kernel has sent something, or that the other end of the link has it, says nothing about the client: a proxy
//! may have it, and lose it. So events are followed by a Ping now and then, and its Pong is their receipt.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::replay::Receipt;

/// Events after which a receipt is asked for. So many may come twice to a client that has lost its connection.
const EVENTS: u32 = 32;
/// Pings that may wait for an answer at one time: kernels and proxies hold some megabytes of events on their way, and the
/// client gets on by what it has answered of them.
const ASKED: usize = 256;

/// The Pings of one connection.
#[derive(Debug, Default)]
pub struct Receipts {
    /// The Pings that are not answered yet, and the receipt that the Pong of each will be.
    asked: VecDeque<(u32, Receipt)>,
    number: u32,
    /// Events since the last Ping.
    events: u32,
    /// It has, or is known to.
    answers: bool,
    has_beaten: bool,
    /// A whole heartbeat long no Ping was answered, nor any before.
    is_overdue: bool,
    /// The client said something since: it is there, and one of those that never answer (Apple's SDK).
    is_mute: bool,
}

impl Receipts {
    /// `answers` says that the client is one of those that are known to answer Pings, whatever it seems.
    pub fn new(answers: bool) -> Self {
        Self { answers, ..Self::default() }
    }

    /// An event is on its way.
    pub fn event(&mut self) {
        self.events = self.events.saturating_add(1);
    }

    /// Whether it is time to ask: soon at first, so that it is known early whether the client answers.
    pub fn is_due(&self) -> bool {
        let enough = if self.number == 0 { 1 } else { EVENTS };
        self.asked.len() < ASKED && self.events >= enough && !self.is_mute()
    }

    /// The payload of a Ping whose Pong is this receipt.
    pub fn ask(&mut self, receipt: Receipt) -> Bytes {
        if self.is_mute() {
            self.asked = VecDeque::new();
        } else if self.asked.len() >= ASKED {
            self.asked.pop_front();
        }
        self.number = self.number.wrapping_add(1);
        self.asked.push_back((self.number, receipt));
        self.events = 0;
        Bytes::copy_from_slice(&self.number.to_be_bytes())
    }

    /// The same for a Ping that is a heartbeat.
    pub fn beat(&mut self, receipt: Receipt) -> Bytes {
        self.is_overdue |= self.has_beaten && !self.answers;
        self.has_beaten = true;
        self.ask(receipt)
    }

    /// The client said something else.
    pub fn heard(&mut self) {
        self.is_mute |= self.is_overdue;
    }

    /// A Pong came: what it is a receipt for, if it answers one of the Pings. It stands for those before as well: a client
    /// may answer the latest alone (RFC 6455 §5.5.3).
    pub fn answered(&mut self, payload: &[u8]) -> Option<Receipt> {
        let at = self.asked.iter().position(|(number, _)| payload == number.to_be_bytes())?;
        let (_, receipt) = self.asked.drain(..=at).next_back()?;
        self.answers = true;
        Some(receipt)
    }

    /// Whether the client answers no Ping at all, so that what was sent has to count as got.
    pub fn is_mute(&self) -> bool {
        self.is_mute && !self.answers
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
        receipts.ask(Receipt::default());
        events(&mut receipts, EVENTS - 1);
        assert!(!receipts.is_due());
        receipts.event();
        assert!(receipts.is_due(), "though the first is not answered");
    }

    #[test]
    fn a_client_that_does_not_answer_is_not_asked_for_ever() {
        let mut receipts = Receipts::default();
        let first = receipts.ask(Receipt::default());
        for _ in 1..ASKED {
            events(&mut receipts, EVENTS);
            assert!(receipts.is_due());
            receipts.ask(Receipt::default());
        }
        events(&mut receipts, EVENTS);
        assert!(!receipts.is_due());
        receipts.beat(Receipt::default());
        assert_eq!(receipts.answered(&first), None, "the oldest made room");
        assert_eq!(receipts.asked.len(), ASKED);
    }

    #[test]
    fn a_ping_is_answered_once_and_with_it_all_before() {
        let mut receipts = Receipts::default();
        let [first, second, third] = [1, 2, 3].map(|told| receipts.ask(Receipt::of(told)));
        assert_eq!(receipts.answered(b""), None);
        assert_eq!(receipts.answered(&second), Some(Receipt::of(2)));
        assert_eq!(receipts.answered(&first), None);
        assert_eq!(receipts.answered(&second), None);
        assert_eq!(receipts.answered(&third), Some(Receipt::of(3)));
    }

    #[test]
    fn a_client_is_mute_that_has_never_answered() {
        let mut receipts = Receipts::default();
        receipts.ask(Receipt::default());
        receipts.beat(Receipt::default());
        assert!(!receipts.is_mute(), "it may be about to");
        receipts.heard();
        assert!(!receipts.is_mute(), "the Ping may not have come to it yet");
        let ping = receipts.beat(Receipt::default());
        assert!(!receipts.is_mute(), "its link may be dead");
        receipts.heard();
        assert!(receipts.is_mute());
        receipts.answered(&ping);
        assert!(!receipts.is_mute());
        receipts.beat(Receipt::default());
        receipts.beat(Receipt::default());
        receipts.heard();
        assert!(!receipts.is_mute(), "it has answered before");
    }

    #[test]
    fn a_client_that_is_known_to_answer_is_never_mute() {
        let mut receipts = Receipts::new(true);
        for _ in 0..3 {
            receipts.beat(Receipt::default());
            receipts.heard();
        }
        assert!(!receipts.is_mute());
    }
}
