//! One connection to NATS, from when it was let in until it is lost.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{self, kv};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{CLOSED, Nats};

/// How long NATS may take to let us in, or to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a silent connection is asked whether it is still there. The library gives it up after three times without an
/// answer: before `whereabouts` takes a node for one that hears.
const PING_EVERY: Duration = Duration::from_secs(2);

/// A connection, and what goes over it beside the events.
pub(crate) struct Link {
    place: String,
    pub(super) client: Client,
    pub(super) jetstream: jetstream::Context,
    /// The bucket of places, if NATS keeps anything.
    pub(super) places: OnceLock<kv::Store>,
    /// Where this connection alone publishes and listens, to learn how far NATS has got with what it was sent.
    echo: String,
    next: AtomicU64,
    unheard: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What the library tells of a connection.
pub(super) struct Doorbell(mpsc::UnboundedReceiver<Event>);

impl Doorbell {
    pub(super) async fn next(&mut self) -> Event {
        self.0.recv().await.unwrap_or(Event::Closed)
    }
}

/// Subscriptions of a node that are known to be there.
pub(super) struct Subscribed {
    pub(super) messages: Subscriber,
    pub(super) echoes: Subscriber,
}

impl Nats {
    /// Connects to the first of the servers that lets us in, beginning with any of them.
    pub(super) async fn connect(&self) -> Result<(Link, Doorbell), String> {
        let first = rand::random_range(0..self.servers.len().max(1));
        let mut reason = CLOSED.to_owned();
        for server in self.servers.iter().cycle().skip(first).take(self.servers.len()) {
            match self.connect_to(server).await {
                Ok(connected) => return Ok(connected),
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }

    async fn connect_to(&self, server: &ServerAddr) -> Result<(Link, Doorbell), String> {
        let (bell, doorbell) = mpsc::unbounded_channel();
        // A connection that is lost is not to be made again behind our back: what was missed has to be told first. The
        // library tries once all the same; whatever that gives is dropped with the rest.
        let options = self
            .options(server)?
            .name("realtime")
            .connection_timeout(ANSWER_TIMEOUT)
            .request_timeout(Some(ANSWER_TIMEOUT))
            .ping_interval(PING_EVERY)
            .max_reconnects(1)
            .reconnect_delay_callback(|_| Duration::ZERO)
            .ignore_discovered_servers()
            .event_callback(move |event| {
                // Whoever listened may have gone.
                let _ = bell.send(event);
                std::future::ready(())
            });
        let client = options.connect(server.clone()).await.map_err(|error| match error.kind() {
            ConnectErrorKind::AuthorizationViolation => "authorization violation".to_owned(),
            _ => error.to_string(),
        })?;
        let jetstream = jetstream::ContextBuilder::new().timeout(ANSWER_TIMEOUT).build(client.clone());
        let link = Link {
            place: place_of(std::slice::from_ref(server)),
            jetstream,
            places: OnceLock::new(),
            echo: format!("{}.echo.{:016x}", self.settings.subject, rand::random::<u64>()),
            next: AtomicU64::new(0),
            unheard: Mutex::default(),
            client,
        };
        Ok((link, Doorbell(doorbell)))
    }

    fn options(&self, server: &ServerAddr) -> Result<ConnectOptions, String> {
        let settings = &self.settings;
        let mut options = ConnectOptions::new();
        if let Some(path) = &settings.certificates {
            options = options.add_root_certificates(path.clone());
        }
        if let Some(credentials) = &self.credentials {
            return options.credentials(credentials.expose()).map_err(|error| error.to_string());
        }
        if let Some(seed) = &settings.nkey {
            return Ok(options.nkey(seed.expose().to_owned()));
        }
        if let Some(token) = &settings.token {
            return Ok(options.token(token.expose().to_owned()));
        }
        let user = Some(settings.user.clone()).filter(|user| !user.is_empty());
        let Some(user) = user.or_else(|| server.username().map(decoded)) else { return Ok(options) };
        let password = settings.password.as_ref().map(|password| password.expose().to_owned());
        let password = password.or_else(|| server.password().map(decoded)).unwrap_or_default();
        Ok(options.user_and_password(user, password))
    }
}

impl Link {
    /// Host and port.
    pub(super) fn place(&self) -> String {
        self.place.clone()
    }

    /// Subscribes, and waits until NATS has.
    pub(super) async fn subscribe(&self, subject: &str) -> Result<Subscribed, String> {
        let subscribe = async |subject: &str| {
            self.client.subscribe(subject.to_owned()).await.map_err(|error| error.to_string())
        };
        let messages = subscribe(subject).await?;
        let mut echoes = subscribe(&self.echo).await?;
        self.shout().await?;
        match timeout(ANSWER_TIMEOUT, echoes.next()).await {
            Ok(Some(_)) => Ok(Subscribed { messages, echoes }),
            Ok(None) => Err(CLOSED.to_owned()),
            Err(_) => {
                Err(format!("no answer within {ANSWER_TIMEOUT:?}, or a permissions violation on {subject}.>"))
            }
        }
    }

    /// An error if the library has made the connection anew meanwhile.
    pub(super) fn must_be_the_same(&self) -> Result<(), String> {
        let connects = self.client.statistics().connects.load(Ordering::Relaxed);
        if connects > 1 { Err(CLOSED.to_owned()) } else { Ok(()) }
    }

    /// Publishes, and waits until NATS has taken it.
    pub(super) async fn publish(&self, subject: &str, message: Bytes) -> Result<(), String> {
        let published = self.client.publish(subject.to_owned(), message).await;
        published.map_err(|error| error.to_string())?;
        let heard = self.shout().await?;
        match timeout(ANSWER_TIMEOUT, heard).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(CLOSED.to_owned()),
            Err(_) => Err(format!("no answer within {ANSWER_TIMEOUT:?}")),
        }
    }

    /// Publishes to the stream, and waits until it is kept.
    pub(super) async fn keep(&self, subject: &str, message: Bytes) -> Result<(), String> {
        let sent = self.jetstream.publish(subject.to_owned(), message).await;
        let kept = sent.map_err(|error| error.to_string())?;
        kept.await.map(drop).map_err(|error| error.to_string())
    }

    /// Says something that comes back once NATS has done everything that was asked before.
    async fn shout(&self) -> Result<oneshot::Receiver<()>, String> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (echoed, is_echoed) = oneshot::channel();
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner).insert(number, echoed);
        let said = Bytes::copy_from_slice(&number.to_be_bytes());
        self.client.publish(self.echo.clone(), said).await.map_err(|error| error.to_string())?;
        Ok(is_echoed)
    }

    /// It came back.
    pub(super) fn echoed(&self, said: &[u8]) {
        let Ok(number) = said.try_into().map(u64::from_be_bytes) else { return };
        let mut unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        let later = unheard.split_off(&number.saturating_add(1));
        for (_, echoed) in std::mem::replace(&mut *unheard, later) {
            // Whoever published may have gone.
            let _ = echoed.send(());
        }
    }
}

/// Hosts and ports, for logs.
pub(super) fn place_of(servers: &[ServerAddr]) -> String {
    let places: Vec<String> =
        servers.iter().map(|server| format!("{}:{}", server.host(), server.port())).collect();
    places.join(",")
}

/// Whether a text is a file of credentials.
pub(super) fn check_credentials(text: &str) -> Result<(), String> {
    ConnectOptions::new().credentials(text).map(drop).map_err(|_| "it holds no JWT and NKEY".to_owned())
}

/// A part of a URL without its escapes.
fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}
