//! What becomes of a connection, as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::sync::mpsc;

use crate::state::State;

/// States that wait for somebody who looks at them later.
pub(super) const BUFFER: usize = 1_024;

/// What becomes of a connection. It may be left unread: once 1,024 states wait, further ones are left out.
#[derive(Debug)]
pub struct States(pub(super) mpsc::Receiver<State>);

impl Stream for States {
    type Item = State;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<State>> {
        self.0.poll_recv(context)
    }
}
