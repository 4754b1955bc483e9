//! The bus of Appwrite: Redis pub/sub, with one subscription for the whole node.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use realtime_core::secret::Secret;
use realtime_protocol::appwrite::envelope;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, TlsCertificates,
};
use tokio::sync::Mutex;
use tokio::time::{interval_at, sleep, timeout};
use tracing::{debug, error, info, trace, warn};

use super::{Bus, BusError, BusFuture, NodeInbox};

/// The pub/sub channel that Appwrite publishes on.
const CHANNEL: &str = "realtime";
/// How long Redis may take to let us in, or to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a silent subscription is asked whether it is still there: a link can die without a word.
const PING_EVERY: Duration = Duration::from_secs(3);
/// The longest pause before the first attempt to come back; it doubles with each one that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two attempts: within 2 s of its coming back, Redis is to be found again.
const LONGEST_PAUSE: Duration = Duration::from_millis(1_500);

/// How long somebody who asks something waits for the answer.
const QUERY_TIMEOUT: Duration = Duration::from_millis(500);

/// Where Redis is and how it lets us in.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `redis://` or `rediss://` (TLS), with user and password if need be; beats host, port, user and password.
    pub url: Option<Secret>,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name of an ACL user; used only where the password alone is refused, as Appwrite sends the password alone.
    pub user: String,
    /// Password; empty is none.
    pub password: Option<Secret>,
    /// A file with the certificate authorities (PEM) that Redis's certificate is checked against, in place of the
    /// public ones.
    pub certificates: Option<PathBuf>,
}

/// Why settings of Redis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RedisSettingsError {
    /// The URL. It is not shown, for it may hold a password.
    #[error("`redis.url` cannot be used: {0}; it looks like redis://user:password@host:6379")]
    Url(String),
    /// The file of certificates.
    #[error("cannot read the certificates {}: {source}; mend the setting `redis.certificates`", .path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Redis pub/sub.
#[derive(Debug)]
pub struct Redis {
    /// Host and port, for logs.
    place: String,
    /// The ways to sign in, in the order to try them.
    clients: Vec<Client>,
    connected: AtomicBool,
    /// For everything but the subscription.
    commands: Mutex<Option<MultiplexedConnection>>,
}

impl Redis {
    /// A bus that connects when it is run.
    ///
    /// # Errors
    /// Settings that cannot be understood. A Redis that cannot be reached is none: the bus keeps trying.
    pub fn new(settings: &Settings) -> Result<Self, RedisSettingsError> {
        let certificates = match &settings.certificates {
            Some(path) => Some(
                std::fs::read(path)
                    .map_err(|source| RedisSettingsError::Certificates { path: path.clone(), source })?,
            ),
            None => None,
        };
        let infos = match &settings.url {
            Some(url) => vec![from_url(url)?],
            None => from_parts(settings)?,
        };
        let place = infos.first().map(|info| info.addr().to_string()).unwrap_or_default();
        let clients = infos
            .into_iter()
            .map(|info| {
                open(info, certificates.clone()).map_err(|error| RedisSettingsError::Url(reason(&error)))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { place, clients, connected: AtomicBool::new(false), commands: Mutex::default() })
    }

    /// Keeps a subscription until it is lost; says why it was.
    async fn listen(&self, node: &NodeInbox, outage: &mut Outage) -> String {
        let (mut sink, mut messages) = match self.subscribe().await {
            Ok(subscription) => subscription,
            Err(error) => return reason(&error),
        };
        if outage.was_connected {
            node.gap().await;
        } else {
            node.begin().await;
        }
        self.connected.store(true, Ordering::Relaxed);
        outage.end(&self.place);
        let mut pings = interval_at(tokio::time::Instant::now() + PING_EVERY, PING_EVERY);
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => take(message.get_payload_bytes(), node).await,
                    None => return "the connection was closed".to_owned(),
                },
                _ = pings.tick() => match timeout(ANSWER_TIMEOUT, sink.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return reason(&error),
                    Err(_) => return format!("no answer within {ANSWER_TIMEOUT:?}"),
                },
            }
        }
    }

    async fn subscribe(&self) -> Result<(PubSubSink, PubSubStream), RedisError> {
        let subscribe = async |client: &Client| {
            let (mut sink, stream) = client.get_async_pubsub().await?.split();
            sink.subscribe(CHANNEL).await?;
            Ok((sink, stream))
        };
        self.sign_in(subscribe).await
    }

    /// Tries the ways to sign in until one is not refused.
    async fn sign_in<T>(
        &self,
        connect: impl AsyncFn(&Client) -> Result<T, RedisError>,
    ) -> Result<T, RedisError> {
        let mut refused = None;
        for client in &self.clients {
            match timeout(ANSWER_TIMEOUT, connect(client)).await {
                Ok(Err(error)) if error.kind() == ErrorKind::AuthenticationFailed => refused = Some(error),
                Ok(answer) => return answer,
                Err(_) => return Err(no_answer()),
            }
        }
        Err(refused.unwrap_or_else(no_answer))
    }

    async fn send(&self, envelope: &[u8]) -> Result<(), RedisError> {
        let mut publish = redis::pipe();
        publish.cmd("PUBLISH").arg(CHANNEL).arg(envelope).ignore();
        self.ask(&publish).await
    }

    /// Adds one to a count that ends by itself, and gives it; `None` if Redis does not tell at once.
    pub async fn count(&self, key: &str, keeps: Duration) -> Option<u64> {
        let mut count = redis::pipe();
        count.atomic().cmd("INCR").arg(key).cmd("EXPIRE").arg(key).arg(keeps.as_secs()).ignore();
        self.query::<(u64,)>(&count).await.map(|(count,)| count)
    }

    /// Runs commands that somebody waits for; `None` if Redis does not answer them at once.
    pub(crate) async fn query<T: FromRedisValue>(&self, commands: &redis::Pipeline) -> Option<T> {
        if !self.is_connected() {
            return None;
        }
        match timeout(QUERY_TIMEOUT, self.ask(commands)).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                debug!(place = self.place, reason = reason(&error), "Redis does not answer a question");
                None
            }
            Err(_) => None,
        }
    }

    /// Runs commands on the connection for them, which is made if there is none.
    async fn ask<T: FromRedisValue>(&self, commands: &redis::Pipeline) -> Result<T, RedisError> {
        let held = self.commands.lock().await.clone();
        let mut connection = match held {
            Some(connection) => connection,
            None => {
                let made = self.sign_in(connect).await?;
                self.commands.lock().await.insert(made).clone()
            }
        };
        let answer = commands.query_async(&mut connection).await;
        if answer
            .as_ref()
            .is_err_and(|error: &RedisError| error.is_unrecoverable_error() || error.is_timeout())
        {
            *self.commands.lock().await = None;
        }
        answer
    }
}

impl Bus for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    fn run(&self, node: NodeInbox) -> BusFuture<'_, Infallible> {
        Box::pin(async move {
            let mut outage = Outage::default();
            loop {
                let reason = self.listen(&node, &mut outage).await;
                self.connected.store(false, Ordering::Relaxed);
                let pause = outage.go_on(&self.place, &reason);
                sleep(pause).await;
            }
        })
    }

    fn publish(&self, envelope: Bytes) -> BusFuture<'_, ()> {
        Box::pin(async move {
            let mut sent = self.send(&envelope).await;
            if sent.as_ref().is_err_and(RedisError::is_connection_dropped) {
                // A connection that has idled may be gone without our knowing. If Redis had taken the message after
                // all, it comes twice, with the same id: better than not at all.
                debug!(place = self.place, "publishing again on a new connection");
                sent = self.send(&envelope).await;
            }
            sent.map_err(|error| BusError::Unavailable { bus: self.name(), reason: reason(&error) })
        })
    }
}

/// Reads a message and posts what it says.
async fn take(message: &[u8], node: &NodeInbox) {
    match envelope::decode(&Bytes::copy_from_slice(message)) {
        Ok(event) => node.event(Arc::new(event)).await,
        Err(error) => {
            warn!(%error, bytes = message.len(), channel = CHANNEL, "skipped a message on Redis that is not an event");
            trace!(message = %String::from_utf8_lossy(message), "the message skipped");
            node.gap().await;
        }
    }
}

/// The time without a subscription, and what has been said of it.
#[derive(Debug, Default)]
struct Outage {
    since: Option<Instant>,
    was_connected: bool,
    attempts: u32,
    told: String,
}

impl Outage {
    /// It goes on: tells of it if there is something new to tell, and says how long to wait.
    fn go_on(&mut self, place: &str, reason: &str) -> Duration {
        self.since.get_or_insert_with(Instant::now);
        if self.told == reason {
            debug!(place, reason, attempts = self.attempts, "Redis still cannot be reached");
        } else {
            error!(place, reason, "cannot receive events from Redis; trying again. {}", advice(reason));
            reason.clone_into(&mut self.told);
        }
        let longest = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(10)).min(LONGEST_PAUSE);
        self.attempts += 1;
        // Nodes that lost the same Redis do not all come back at once.
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// There is a subscription again.
    fn end(&mut self, place: &str) {
        match self.since {
            Some(since) if self.was_connected => {
                let missing = since.elapsed();
                warn!(
                    place,
                    ?missing,
                    "receiving events from Redis again; those published meanwhile are lost"
                );
            }
            Some(_) | None => info!(place, channel = CHANNEL, "receiving events from Redis"),
        }
        *self = Self { was_connected: true, ..Self::default() };
    }
}

fn advice(reason: &str) -> &'static str {
    let reason = reason.to_ascii_lowercase();
    if ["auth", "wrongpass", "noperm"].iter().any(|word| reason.contains(word)) {
        "Check redis.user and redis.password (_APP_REDIS_USER, _APP_REDIS_PASS)"
    } else {
        "Check redis.host and redis.port (_APP_REDIS_HOST, _APP_REDIS_PORT), and that Redis runs there"
    }
}

/// What went wrong in the words of the library and of Redis; neither repeats credentials.
fn reason(error: &RedisError) -> String {
    error.to_string()
}

fn no_answer() -> RedisError {
    RedisError::from(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        format!("no answer within {ANSWER_TIMEOUT:?}"),
    ))
}

async fn connect(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT));
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn from_url(url: &Secret) -> Result<ConnectionInfo, RedisSettingsError> {
    // Appwrite 1.5 writes `name=redis://…`.
    let text = url.expose();
    let url = match text.split_once('=') {
        Some((name, url)) if !name.contains(':') => url,
        Some(_) | None => text,
    };
    url.into_connection_info().map_err(|error| RedisSettingsError::Url(reason(&error)))
}

/// Appwrite signs in with the password alone even where a user is named, so that comes first.
fn from_parts(settings: &Settings) -> Result<Vec<ConnectionInfo>, RedisSettingsError> {
    let address = ConnectionAddr::Tcp(settings.host.clone(), settings.port);
    let info = address.into_connection_info().map_err(|error| RedisSettingsError::Url(reason(&error)))?;
    let Some(password) = &settings.password else { return Ok(vec![info]) };
    let alone = RedisConnectionInfo::default().set_password(password.expose());
    let mut infos = vec![info.clone().set_redis_settings(alone.clone())];
    if !settings.user.is_empty() {
        infos.push(info.set_redis_settings(alone.set_username(&settings.user)));
    }
    Ok(infos)
}

fn open(info: ConnectionInfo, certificates: Option<Vec<u8>>) -> Result<Client, RedisError> {
    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(30));
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    // Without CLIENT SETINFO, which an ACL may forbid.
    let redis = info.redis_settings().clone().set_skip_set_lib_name();
    let info = info.set_tcp_settings(tcp).set_redis_settings(redis);
    match certificates {
        Some(root_cert) => {
            Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
        }
        None => Client::open(info),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_password_alone_is_tried_before_the_user() {
        let settings = Settings {
            host: "redis".to_owned(),
            port: 6379,
            user: "realtime".to_owned(),
            password: Some(Secret::new("pass")),
            ..Settings::default()
        };
        let infos = from_parts(&settings).unwrap();
        let users: Vec<_> = infos.iter().map(|info| info.redis_settings().username()).collect();
        assert_eq!(users, [None, Some("realtime")]);
        let without = Settings { password: None, ..settings };
        assert_eq!(from_parts(&without).unwrap().len(), 1);
    }

    #[test]
    fn a_url_may_carry_a_name_and_is_never_shown() {
        for url in ["redis://u:p@host:7000", "pubsub=redis://u:p@host:7000", "rediss://u:p@host:7000/?x=1"] {
            let info = from_url(&Secret::new(url)).unwrap();
            assert_eq!(info.addr().to_string(), "host:7000", "{url}");
        }
        let error = from_url(&Secret::new("http://u:p4ss@host")).unwrap_err().to_string();
        assert!(error.contains("redis.url") && !error.contains("p4ss"), "{error}");
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut outage = Outage::default();
        let pauses: Vec<Duration> = (0..40).map(|_| outage.go_on("redis:6379", "refused")).collect();
        assert!(*pauses.first().unwrap() <= FIRST_PAUSE);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
        assert!(*pauses.last().unwrap() >= LONGEST_PAUSE / 2);
    }
}
