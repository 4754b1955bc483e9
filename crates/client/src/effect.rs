//! What a session wants done.

use crate::error::Error;
use crate::event::Event;
use crate::request::Request;
use crate::state::State;
use crate::subscription::SubscriptionId;

/// What a session wants done, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Open a connection; then say `opened`, or `failed`. There is none at the moment.
    Connect(Request),
    /// End the connection or the attempt at one, and report nothing more of it.
    Disconnect {
        /// The code of the Close frame: [`GOODBYE`](crate::close::GOODBYE) or [`RETURNS`](crate::close::RETURNS).
        code: u16,
    },
    /// Send a text message.
    Send(String),
    /// Get a fresh credential; then say `authenticate`, or `not_provided`.
    Provide,
    /// Hand an event to a subscription.
    Deliver {
        /// Whose.
        subscription: SubscriptionId,
        /// What happened.
        event: Event,
    },
    /// The server has confirmed a subscription, on this connection.
    Ready(SubscriptionId),
    /// A subscription is over; nothing more comes for it.
    Ended {
        /// Whose.
        subscription: SubscriptionId,
        /// Why.
        why: Error,
    },
    /// Tell the application.
    State(State),
}
