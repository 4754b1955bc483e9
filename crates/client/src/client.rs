//! A client on tokio: a session with a clock, a WebSocket, and a stream for each subscription.

mod builder;
mod driver;
mod link;
mod provider;
mod states;
mod subscription;
mod typed;

use tokio::sync::{mpsc, oneshot};

pub use self::builder::Builder;
use self::driver::Command;
pub use self::provider::ProviderError;
pub use self::states::States;
pub use self::subscription::Subscription;
pub use self::typed::Typed;
use crate::credential::Credential;
use crate::error::Error;
use crate::interest::Interest;
use crate::presence::Presence;

/// A client of one project. All its subscriptions share one connection, which is made when something is subscribed to,
/// made again when it is lost, and ends when the client, its clones and its subscriptions are gone.
///
/// ```no_run
/// use futures_util::StreamExt;
/// use realtime_client::Client;
///
/// # async fn example() -> Result<(), realtime_client::Error> {
/// let client = Client::builder("http://127.0.0.1:8080/v1").project("demo").build()?;
/// let mut documents = client.subscribe(["documents"]).await?;
/// while let Some(event) = documents.next().await {
///     println!("{:?}: {}", event.event, event.payload);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::UnboundedSender<Command>,
}

impl Client {
    /// Begins with where the server is, such as `https://example.org/v1`.
    pub fn builder(endpoint: impl Into<String>) -> Builder {
        Builder::new(endpoint.into())
    }

    /// Listens to channels, or to an [`Interest`] with queries. Events come from the time on at which the server has
    /// confirmed it, which [`Subscription::ready`] waits for.
    ///
    /// # Errors
    ///
    /// [`Error::Interest`] if it cannot be listened to, [`Error::Stopped`] if the server has sent this client away.
    pub async fn subscribe(&self, interest: impl Into<Interest>) -> Result<Subscription, Error> {
        let (reply, subscribed) = oneshot::channel();
        let commands = self.commands.clone();
        let subscribe = Command::Subscribe { interest: interest.into(), commands, reply };
        self.commands.send(subscribe).map_err(|_| Error::Closed)?;
        subscribed.await.map_err(|_| Error::Closed)?
    }

    /// Shows this credential from now on, or none: then a provider is not asked either. A connection that is open is told at
    /// once.
    pub fn authenticate(&self, credential: impl Into<Option<Credential>>) {
        self.tell(Command::Authenticate(credential.into()));
    }

    /// Lets others know this of the user for as long as it is connected, or nothing any more. It is said again after each
    /// reconnect, and keeps the connection even if nothing is subscribed to, until the client is dropped or closed. Others hear
    /// of it on the channel `presences`.
    ///
    /// # Errors
    ///
    /// [`Error::Presence`] if it is too large, [`Error::Stopped`] if the server has sent this client away. What the server does
    /// not like of it is told as [`State::NotPresent`](crate::State::NotPresent).
    pub async fn set_presence(&self, presence: impl Into<Option<Presence>>) -> Result<(), Error> {
        let (reply, done) = oneshot::channel();
        self.commands.send(Command::Present(presence.into(), reply)).map_err(|_| Error::Closed)?;
        done.await.map_err(|_| Error::Closed)?
    }

    /// Connects now instead of after a pause, or finds out at once whether the connection is alive: for an application
    /// that knows that the network is back. Lets a client that was sent away subscribe anew.
    pub fn hurry(&self) {
        self.tell(Command::Hurry);
    }

    /// What becomes of the connection from now on.
    pub fn states(&self) -> States {
        let (watcher, states) = mpsc::channel(states::BUFFER);
        self.tell(Command::Watch(watcher));
        States(states)
    }

    /// Ends all subscriptions, and the connection with a Close frame. Nothing can be subscribed to afterwards.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.tell(Command::Close(done));
        // An error means that it was closed before.
        drop(closed.await);
    }

    /// Nobody is there to obey only after the client was closed; then there is nothing to do.
    fn tell(&self, command: Command) {
        drop(self.commands.send(command));
    }
}
