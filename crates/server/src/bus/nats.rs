//! NATS as the bus: one subscription for the whole node, or, in durable mode, a JetStream stream that keeps what happened.

mod kept;
mod link;

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::kv;
use async_nats::{Event, ServerAddr, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use realtime_core::secret::Secret;
use realtime_protocol::appwrite::envelope;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, trace, warn};

use self::kept::Reached;
use self::link::{Doorbell, Link};
use super::{Bus, BusError, BusFuture, NodeInbox};

/// The longest pause before the first attempt to come back; it doubles with each one that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two attempts: within 2 s of its coming back, NATS is to be found again.
const LONGEST_PAUSE: Duration = Duration::from_millis(1_500);

/// How long events wait for the bucket of places.
const PLACES_TIMEOUT: Duration = Duration::from_secs(1);
/// How often it is looked for again.
const PLACES_AGAIN: Duration = Duration::from_secs(10);

/// Where NATS is, how it lets us in, and what is asked of it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `nats://host:4222`, or `tls://`, several separated by commas; may hold user and password.
    pub urls: Secret,
    /// User; empty is none, or the one in the URL.
    pub user: String,
    /// Password of the user.
    pub password: Option<Secret>,
    /// A token in place of user and password.
    pub token: Option<Secret>,
    /// The seed of an NKEY in place of them.
    pub nkey: Option<Secret>,
    /// A file with a JWT and the seed of its NKEY (`.creds`) in place of them.
    pub credentials: Option<PathBuf>,
    /// A file with the certificate authorities (PEM) that NATS's certificate is checked against, in place of the system's.
    pub certificates: Option<PathBuf>,
    /// What is published on and subscribed to.
    pub subject: String,
    /// Whether a stream keeps what happened.
    pub durable: Option<Durable>,
    /// For how long clients may come back.
    pub window: Duration,
    /// Copies of the stream and of places in a cluster, where they are made.
    pub replicas: usize,
}

/// The stream of durable mode. One that is there already is used as it is.
#[derive(Debug, Clone)]
pub struct Durable {
    /// Its name.
    pub stream: String,
    /// How long it keeps events.
    pub max_age: Duration,
    /// How many bytes it keeps.
    pub max_bytes: i64,
}

/// Why settings of NATS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NatsSettingsError {
    /// A URL. It is not shown, for it may hold a password.
    #[error("`nats.url` cannot be used: {0}; it looks like nats://host:4222, several separated by commas")]
    Url(String),
    /// A file.
    #[error("cannot use the file {}: {reason}; mend the setting `{setting}`", .path.display())]
    File {
        /// Which setting names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// NATS.
pub struct Nats {
    settings: Settings,
    servers: Vec<ServerAddr>,
    /// What stands in the file of credentials.
    credentials: Option<Secret>,
    connected: AtomicBool,
    link: Mutex<Option<Arc<Link>>>,
    /// Whether it was said that places are not shared.
    told_of_places: AtomicBool,
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Addresses may hold passwords.
        f.debug_struct("Nats").field("place", &link::place_of(&self.servers)).finish_non_exhaustive()
    }
}

impl Nats {
    /// A bus that connects when it is run.
    ///
    /// # Errors
    /// Settings that cannot be understood. A NATS that cannot be reached is none: the bus keeps trying.
    pub fn new(settings: &Settings) -> Result<Self, NatsSettingsError> {
        let urls = settings.urls.expose().split(',').map(str::trim).filter(|url| !url.is_empty());
        let parse = |url: &str| {
            url.parse().map_err(|error: std::io::Error| NatsSettingsError::Url(error.to_string()))
        };
        let servers = urls.map(parse).collect::<Result<Vec<ServerAddr>, _>>()?;
        if servers.is_empty() {
            return Err(NatsSettingsError::Url("it names no server".to_owned()));
        }
        if servers.iter().any(|server| !matches!(server.scheme(), "nats" | "tls")) {
            return Err(NatsSettingsError::Url("its scheme is neither nats nor tls".to_owned()));
        }
        let file = |setting, path: &PathBuf| {
            let wrong = |reason| NatsSettingsError::File { setting, path: path.clone(), reason };
            std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))
        };
        if let Some(path) = &settings.certificates {
            file("nats.certificates", path)?;
        }
        let credentials = settings.credentials.as_ref().map(|path| {
            let text = file("nats.credentials", path)?;
            link::check_credentials(&text).map_err(|reason| NatsSettingsError::File {
                setting: "nats.credentials",
                path: path.clone(),
                reason,
            })?;
            Ok(Secret::new(text))
        });
        let credentials = credentials.transpose()?;
        Ok(Self {
            settings: settings.clone(),
            servers,
            credentials,
            connected: AtomicBool::new(false),
            link: Mutex::default(),
            told_of_places: AtomicBool::new(false),
        })
    }

    /// Connects and listens until the connection is lost; says why it was.
    async fn listen(&self, node: &NodeInbox, outage: &mut Outage, reached: &mut Option<Reached>) -> String {
        let (link, mut doorbell) = match self.connect().await {
            Ok(connected) => connected,
            Err(reason) => return reason,
        };
        let link = Arc::new(link);
        let _ = timeout(PLACES_TIMEOUT, self.open_places(&link)).await;
        outage.place = link.place();
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&link));
        let listening = async {
            match &self.settings.durable {
                Some(durable) => self.follow(&link, &mut doorbell, durable, node, outage, reached).await,
                None => self.hear(&link, &mut doorbell, node, outage).await,
            }
        };
        let ended = tokio::select! {
            ended = listening => ended,
            never = self.go_on_opening_places(&link) => match never {},
        };
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let Err(reason) = ended;
        reason
    }

    /// JetStream of a cluster may be back later than NATS.
    async fn go_on_opening_places(&self, link: &Link) -> Infallible {
        loop {
            sleep(PLACES_AGAIN).await;
            self.open_places(link).await;
        }
    }

    /// Posts what comes on the subject.
    async fn hear(
        &self,
        link: &Link,
        doorbell: &mut Doorbell,
        node: &NodeInbox,
        outage: &mut Outage,
    ) -> Result<Infallible, String> {
        let subscribed = link.subscribe(&self.settings.subject).await?;
        let (mut messages, mut echoes) = (subscribed.messages, subscribed.echoes);
        if outage.was_connected {
            node.gap().await;
        } else {
            node.begin().await;
        }
        outage.end(&self.settings.subject, "those published meanwhile are lost");
        self.connected.store(true, Ordering::Relaxed);
        loop {
            tokio::select! {
                biased;
                event = doorbell.next() => {
                    heed(&event)?;
                    if matches!(event, Event::SlowConsumer(_)) {
                        warn!("events come from NATS faster than they can be delivered; some are lost");
                        self.hear_the_rest(link, &mut messages, node).await?;
                    }
                }
                echo = echoes.next() => link.echoed(&echo.ok_or(CLOSED)?.payload),
                message = messages.next() => {
                    link.must_be_the_same()?;
                    take(&message.ok_or(CLOSED)?.payload, node).await;
                }
            }
        }
    }

    /// Somewhere behind what waits something is missing: nobody is vouched for until all that waits has been taken.
    async fn hear_the_rest(
        &self,
        link: &Link,
        messages: &mut Subscriber,
        node: &NodeInbox,
    ) -> Result<(), String> {
        node.gap().await;
        while let Some(message) = messages.next().now_or_never() {
            link.must_be_the_same()?;
            take(&message.ok_or(CLOSED)?.payload, node).await;
        }
        node.gap().await;
        Ok(())
    }

    /// The bucket of places, if there is a connection and it has one.
    pub(crate) fn places(&self) -> Places {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match link {
            None => Places::Unreachable,
            Some(link) => match link.places.get() {
                Some(store) => Places::At(Box::new((link.jetstream.clone(), store.clone()))),
                None => Places::None,
            },
        }
    }

    /// Says once what follows from there being no places.
    fn tell_of_places(&self, reason: &str) {
        if !self.told_of_places.swap(true, Ordering::Relaxed) {
            warn!(
                reason,
                "where subscriptions stood cannot be shared over NATS; clients that change servers are not vouched \
                 for. Enable JetStream on NATS (`nats-server -js`), and allow this server to use it"
            );
        }
    }

    async fn send(&self, envelope: Bytes) -> Result<(), String> {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let link = link.ok_or("there is no connection")?;
        if self.settings.durable.is_some() {
            link.keep(&self.settings.subject, envelope).await
        } else {
            link.publish(&self.settings.subject, envelope).await
        }
    }
}

/// Where places are.
pub(crate) enum Places {
    /// It cannot be told at the moment.
    Unreachable,
    /// Nowhere: NATS keeps nothing.
    None,
    /// In this bucket.
    At(Box<(async_nats::jetstream::Context, kv::Store)>),
}

/// What the end of a subscription means.
const CLOSED: &str = "the connection was closed";

/// What the library tells of the connection, if it goes on after that.
fn heed(event: &Event) -> Result<(), String> {
    match event {
        Event::Disconnected | Event::Closed => Err(CLOSED.to_owned()),
        Event::ServerError(error) => {
            let reason = error.to_string();
            let is_deaf = reason.to_ascii_lowercase().contains("violation for subscription");
            if is_deaf {
                return Err(reason);
            }
            error!(reason, "NATS refuses something. {}", advice(&reason));
            Ok(())
        }
        Event::ClientError(error) => {
            debug!(%error, "the NATS client reports an error");
            Ok(())
        }
        Event::LameDuckMode => {
            info!("NATS is about to stop");
            Ok(())
        }
        Event::Connected | Event::Draining | Event::SlowConsumer(_) => Ok(()),
    }
}

/// NATS keeps the order of what one connection publishes, and only that: longer than it takes an event from any publisher
/// to any server of a cluster.
const DISORDER: Duration = Duration::from_secs(2);

impl Bus for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    fn disorder(&self) -> Duration {
        if self.settings.durable.is_some() { Duration::ZERO } else { DISORDER }
    }

    fn run(&self, node: NodeInbox) -> BusFuture<'_, Infallible> {
        Box::pin(async move {
            let mut outage = Outage { place: link::place_of(&self.servers), ..Outage::default() };
            let mut reached = None;
            loop {
                let reason = self.listen(&node, &mut outage, &mut reached).await;
                let heard = self.connected.swap(false, Ordering::Relaxed);
                match &self.settings.durable {
                    // A stream keeps what is missed.
                    Some(_) => node.behind(),
                    None if heard => node.deaf().await,
                    None => {}
                }
                let pause = outage.go_on(&reason);
                sleep(pause).await;
            }
        })
    }

    fn publish(&self, envelope: Bytes) -> BusFuture<'_, ()> {
        Box::pin(async move {
            let sent = self.send(envelope).await;
            sent.map_err(|reason| BusError::Unavailable { bus: self.name(), reason })
        })
    }
}

/// Reads a message and posts what it says.
async fn take(message: &Bytes, node: &NodeInbox) {
    match envelope::decode(message) {
        Ok(event) => node.event(Arc::new(event)).await,
        Err(error) => skip(&error, message, node).await,
    }
}

/// Nobody knows what a message was that cannot be read.
async fn skip(error: &envelope::EnvelopeError, message: &Bytes, node: &NodeInbox) {
    warn!(%error, bytes = message.len(), "skipped a message on NATS that is not an event");
    trace!(message = %String::from_utf8_lossy(message), "the message skipped");
    node.gap().await;
}

/// The time without a subscription, and what has been said of it.
#[derive(Debug, Default)]
struct Outage {
    /// Host and port, for logs.
    place: String,
    since: Option<Instant>,
    was_connected: bool,
    attempts: u32,
    told: String,
}

impl Outage {
    /// It goes on: tells of it if there is something new to tell, and says how long to wait.
    fn go_on(&mut self, reason: &str) -> Duration {
        let place = &self.place;
        self.since.get_or_insert_with(Instant::now);
        if self.told == reason {
            debug!(place, reason, attempts = self.attempts, "NATS still cannot be reached");
        } else {
            error!(place, reason, "cannot receive events from NATS; trying again. {}", advice(reason));
            reason.clone_into(&mut self.told);
        }
        let longest = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(10)).min(LONGEST_PAUSE);
        self.attempts += 1;
        // Nodes that lost the same NATS do not all come back at once.
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// There is a subscription again.
    fn end(&mut self, from: &str, what_follows: &str) {
        let place = std::mem::take(&mut self.place);
        match self.since {
            Some(since) if self.was_connected => {
                let missing = since.elapsed();
                warn!(place, ?missing, "receiving events from NATS again; {what_follows}");
            }
            Some(_) | None => info!(place, from, "receiving events from NATS"),
        }
        *self = Self { place, was_connected: true, ..Self::default() };
    }
}

fn advice(reason: &str) -> &'static str {
    let reason = reason.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if says(&["permissions violation"]) {
        "Let this server publish and subscribe: the subject, what is below it, and `_INBOX.>`; for JetStream `$JS.>` and \
         `$KV.>` too"
    } else if says(&["authorization", "authentication", "nkey"]) {
        "Check nats.user and nats.password, nats.token, nats.nkey or nats.credentials, whichever NATS asks for"
    } else if says(&["certificate", "tls"]) {
        "Check that NATS speaks TLS there, and nats.certificates"
    } else if says(&["jetstream", "stream", "no responders"]) {
        "Enable JetStream on NATS (`nats-server -js`), check nats.stream, or set nats.durable to false"
    } else {
        "Check nats.url, and that NATS runs there"
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn with(urls: &str) -> Result<Nats, NatsSettingsError> {
        Nats::new(&Settings {
            urls: Secret::new(urls),
            user: String::new(),
            password: None,
            token: None,
            nkey: None,
            credentials: None,
            certificates: None,
            subject: "realtime".to_owned(),
            durable: None,
            window: Duration::ZERO,
            replicas: 1,
        })
    }

    #[test]
    fn several_servers_may_be_named_and_their_passwords_are_never_shown() {
        let nats = with("nats://u:p4ss@one:4222, two ,tls://three:5222").unwrap();
        assert_eq!(link::place_of(&nats.servers), "one:4222,two:4222,three:5222");
        assert!(!format!("{nats:?}").contains("p4ss"));
        for wrong in ["", " , ", "http://u:p4ss@host", "ws://u:p4ss@host", "nats://u:p4ss@host:port"] {
            let error = with(wrong).unwrap_err().to_string();
            assert!(error.contains("nats.url") && !error.contains("p4ss"), "{error}");
        }
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut outage = Outage::default();
        let pauses: Vec<Duration> = (0..40).map(|_| outage.go_on("refused")).collect();
        assert!(*pauses.first().unwrap() <= FIRST_PAUSE);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
        assert!(*pauses.last().unwrap() >= LONGEST_PAUSE / 2);
    }
}
