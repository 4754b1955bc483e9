//! A subscription whose payloads are values of the application.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;

use super::subscription::Subscription;
use crate::error::PayloadError;
use crate::event::Event;

/// A subscription whose payloads are values of the application. A payload that does not fit is an error in its place; the
/// stream goes on after it.
///
/// ```no_run
/// # use futures_util::StreamExt;
/// # use realtime_client::{Channel, Client};
/// #[derive(serde::Deserialize)]
/// struct Todo {
///     title: String,
/// }
///
/// # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
/// let mut todos = client.subscribe([Channel::rows("main", "todos").update()]).await?.typed::<Todo>();
/// while let Some(event) = todos.next().await {
///     println!("changed: {}", event?.payload.title);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Typed<T> {
    subscription: Subscription,
    payload: PhantomData<fn() -> T>,
}

impl<T> Typed<T> {
    pub(super) fn new(subscription: Subscription) -> Self {
        Self { subscription, payload: PhantomData }
    }

    /// The subscription itself, for [`ready`](Subscription::ready) and others.
    pub fn subscription(&mut self) -> &mut Subscription {
        &mut self.subscription
    }
}

impl<T: DeserializeOwned> Stream for Typed<T> {
    type Item = Result<Event<T>, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.subscription.poll_next_unpin(context).map(|event| event.map(Event::decode))
    }
}
