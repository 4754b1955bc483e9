//! A subscription as a stream of events.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use super::driver::Command;
use super::typed::Typed;
use crate::error::Error;
use crate::event::Event;
use crate::interest::Interest;
use crate::subscription::SubscriptionId;

/// A subscription: a stream of events in the order of the server, each once. Dropping it unsubscribes.
///
/// The stream goes on over reconnects. It ends when the server refuses the subscription or sends the client away, and when
/// the client is closed; [`error`](Self::error) then says why.
///
/// Events wait in a buffer until they are read. If it is full, further ones are left out, and the next one that is not says
/// so in its `gap`; other subscriptions are not affected.
#[derive(Debug)]
pub struct Subscription {
    pub(super) id: SubscriptionId,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
}

/// How far a subscription has come.
#[derive(Debug, Clone)]
pub(super) enum Progress {
    Begun,
    Ready,
    Ended(Error),
}

impl Subscription {
    /// Its name, which stays the same over reconnects.
    pub fn id(&self) -> SubscriptionId {
        self.id
    }

    /// Waits until the server has confirmed it: what is published afterwards is delivered.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the server's reason, or why it has ended otherwise.
    pub async fn ready(&mut self) -> Result<(), Error> {
        let reached = self.progress.wait_for(|progress| !matches!(progress, Progress::Begun)).await;
        match reached.as_deref() {
            Ok(Progress::Ended(why)) => Err(why.clone()),
            Ok(Progress::Begun | Progress::Ready) => Ok(()),
            Err(_) => Err(Error::Closed),
        }
    }

    /// Listens to something else from now on.
    pub fn update(&self, interest: impl Into<Interest>) -> Result<(), Error> {
        let interest = interest.into();
        interest.check()?;
        self.commands.send(Command::Update(self.id, interest)).map_err(|_| Error::Closed)
    }

    /// Why the stream has ended, if it has.
    pub fn error(&self) -> Option<Error> {
        match &*self.progress.borrow() {
            Progress::Ended(why) => Some(why.clone()),
            Progress::Begun | Progress::Ready => None,
        }
    }

    /// The same events with payloads as values of the application.
    pub fn typed<T: DeserializeOwned>(self) -> Typed<T> {
        Typed::new(self)
    }
}

impl Stream for Subscription {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.poll_recv(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // The driver may be gone already, and the subscription with it.
        drop(self.commands.send(Command::Unsubscribe(self.id)));
    }
}
