//! Which Redis is asked: one server, the master that sentinels name, or a cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisError, TlsCertificates, TlsMode,
};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::debug;

use super::backlog::Backlog;
use super::commands::Commands;
use super::settings::{Bounds, Place, RedisSettingsError, Settings, from_url, split};

/// How long Redis may take to let us in, or to answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one server of several may take to let us in, before another one is tried.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a server of a cluster may send us on to another one.
const REDIRECTIONS: usize = 3;

/// The servers there are, and the ways to sign in to them.
pub(super) struct Topology {
    /// For logs.
    name: String,
    kind: Kind,
    /// In the order to try them.
    ways: Vec<RedisConnectionInfo>,
    authorities: Option<TlsCertificates>,
    backlog: Bounds,
}

enum Kind {
    Server(ConnectionAddr),
    /// A client for each way to sign in.
    Sentinels(Vec<Mutex<SentinelClient>>),
    Cluster {
        seeds: Vec<ConnectionAddr>,
        /// One for each way to sign in.
        clients: Vec<ClusterClient>,
        is_sharded: bool,
    },
}

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To hear a channel.
    Hear,
    /// To ask for what is under keys with the channel's slot.
    Read,
}

/// A link to the server that has a channel.
#[derive(Clone)]
pub(super) struct Link {
    connection: MultiplexedConnection,
    /// Where the messages wait.
    pub(super) backlog: Arc<Backlog>,
    /// The server that it is with.
    pub(super) server: String,
    /// The channel, which is looked up as a key is.
    channel: &'static str,
}

impl Link {
    /// The connection, for commands.
    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topology").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Topology {
    pub(super) fn new(settings: &Settings) -> Result<Self, RedisSettingsError> {
        let authorities = settings.authorities()?;
        let speaks_tls = match &settings.place {
            Place::Url(url) => matches!(from_url(url)?.addr(), ConnectionAddr::TcpTls { .. }),
            Place::Server { .. } | Place::Sentinels { .. } | Place::Cluster { .. } => settings.tls,
        };
        if settings.tls && !speaks_tls {
            return Err(RedisSettingsError::UrlWithoutTls);
        }
        if authorities.is_some() && !speaks_tls {
            return Err(RedisSettingsError::CertificatesWithoutTls);
        }
        let (kind, ways, name) = match &settings.place {
            Place::Url(url) => {
                let info = from_url(url)?;
                let (address, way) = (info.addr().clone(), info.redis_settings().clone());
                let name = address.to_string();
                (Kind::Server(address), vec![way], name)
            }
            Place::Server { host, port } => {
                let address = settings.address(host, *port);
                let name = address.to_string();
                (Kind::Server(address), settings.ways(), name)
            }
            Place::Sentinels { addresses, master, .. } => {
                let ways = settings.ways();
                let clients = ways.iter().map(|way| sentinels(settings, way, authorities.as_ref()));
                let clients = clients.map(|client| client.map(Mutex::new)).collect::<Result<_, _>>()?;
                (Kind::Sentinels(clients), ways, format!("{master} of {}", addresses.join(",")))
            }
            Place::Cluster { addresses, is_sharded } => {
                let (seeds, ways) = (settings.addresses(addresses)?, settings.ways());
                let clients = ways.iter().map(|way| cluster(&seeds, way, settings.tls, authorities.as_ref()));
                let clients = clients.collect::<Result<_, _>>()?;
                let kind = Kind::Cluster { seeds, clients, is_sharded: *is_sharded };
                (kind, ways, addresses.join(","))
            }
        };
        let ways = ways.into_iter().map(|way| {
            // Without CLIENT SETINFO, which an ACL may forbid.
            way.set_skip_set_lib_name()
        });
        let topology = Self { name, kind, ways: ways.collect(), authorities, backlog: settings.backlog };
        if let Kind::Server(address) = &topology.kind {
            for way in &topology.ways {
                topology.client(address, way).map_err(|error| match &settings.place {
                    Place::Url(_) => RedisSettingsError::Url(error.to_string()),
                    Place::Server { .. } | Place::Sentinels { .. } | Place::Cluster { .. } => {
                        RedisSettingsError::Client(error.to_string())
                    }
                })?;
            }
        }
        Ok(topology)
    }

    /// What it is called in logs.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What sends a message to a channel.
    pub(super) fn publish(&self) -> &'static str {
        if self.is_sharded() { "SPUBLISH" } else { "PUBLISH" }
    }

    fn is_sharded(&self) -> bool {
        matches!(self.kind, Kind::Cluster { is_sharded: true, .. })
    }

    /// Subscribes to a channel. All nodes do so at the same server, in a cluster at the one that has the channel's slot,
    /// so that messages come to all of them in the same order.
    pub(super) async fn subscribe(&self, channel: &'static str) -> Result<Link, RedisError> {
        self.sign_in(|way| self.link_in_a_way(way, channel, Purpose::Hear).boxed()).await
    }

    /// A link of its own to the server that has a channel, for somebody who lets it wait for answers.
    pub(super) async fn reader(&self, channel: &'static str) -> Result<Link, RedisError> {
        self.sign_in(|way| self.link_in_a_way(way, channel, Purpose::Read).boxed()).await
    }

    async fn link_in_a_way(
        &self,
        way: usize,
        channel: &'static str,
        purpose: Purpose,
    ) -> Result<Link, RedisError> {
        let mut failed = None;
        for address in self.candidates(way).await? {
            match self.link_at(address, way, channel, purpose).await {
                Ok(link) => return Ok(link),
                Err(error) if is_refused(&error) => return Err(error),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(no_answer))
    }

    /// Where to look for the server, in the order to try them.
    async fn candidates(&self, way: usize) -> Result<Vec<ConnectionAddr>, RedisError> {
        match &self.kind {
            Kind::Server(address) => Ok(vec![address.clone()]),
            Kind::Sentinels(clients) => {
                let client = clients.get(way).ok_or_else(no_answer)?;
                let master = client.lock().await.async_get_client().await?;
                Ok(vec![master.get_connection_info().addr().clone()])
            }
            Kind::Cluster { seeds, .. } => {
                // One that hangs is not to be the first every time.
                let mut seeds = seeds.clone();
                let first = rand::random_range(0..seeds.len().max(1));
                seeds.rotate_left(first);
                Ok(seeds)
            }
        }
    }

    /// A link to a server, or to the one that it sends us on to.
    async fn link_at(
        &self,
        mut address: ConnectionAddr,
        way: usize,
        channel: &'static str,
        purpose: Purpose,
    ) -> Result<Link, RedisError> {
        let way = match purpose {
            Purpose::Hear => self.way(way)?.clone().set_protocol(ProtocolVersion::RESP3),
            Purpose::Read => self.way(way)?.clone(),
        };
        let patience = if matches!(self.kind, Kind::Server(_)) { ANSWER_TIMEOUT } else { TRY_TIMEOUT };
        for _ in 0..REDIRECTIONS {
            let backlog = Arc::new(Backlog::new(self.backlog));
            let mut config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(patience))
                .set_response_timeout(Some(ANSWER_TIMEOUT));
            if purpose == Purpose::Hear {
                let pushed = Arc::clone(&backlog);
                config = config.set_push_sender(move |info| {
                    pushed.push(info);
                    Ok::<(), ()>(())
                });
            }
            let client = self.client(&address, &way)?;
            let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            let mut link = Link { connection, backlog, server: address.to_string(), channel };
            match self.begin(&mut link, purpose).await {
                Ok(()) => return Ok(link),
                Err(error) => match error.redirect_node().and_then(|(node, _)| split(node)) {
                    Some((host, port)) => address = moved(&address, host, port),
                    None => return Err(error),
                },
            }
        }
        Err(RedisError::from((ErrorKind::Io, "the servers of the cluster do not agree who has the channel")))
    }

    async fn begin(&self, link: &mut Link, purpose: Purpose) -> Result<(), RedisError> {
        self.ask_for_a_sign_of_life(link).await?;
        let subscribe = match purpose {
            Purpose::Read => return Ok(()),
            Purpose::Hear if self.is_sharded() => "SSUBSCRIBE",
            Purpose::Hear => "SUBSCRIBE",
        };
        redis::cmd(subscribe).arg(link.channel).query_async::<()>(&mut link.connection).await
    }

    /// In a cluster, a server answers this only if it has the channel's slot and sees the cluster whole: one that was
    /// cut off from the others would not hear what is published there.
    pub(super) async fn ask_for_a_sign_of_life(&self, link: &mut Link) -> Result<(), RedisError> {
        let ask = match self.kind {
            Kind::Cluster { .. } => redis::cmd("EXISTS").arg(link.channel).clone(),
            Kind::Server(_) | Kind::Sentinels(_) => redis::cmd("PING"),
        };
        ask.query_async(&mut link.connection).await
    }

    /// Whether a subscription is still where it has to be; the error says why not.
    pub(super) async fn check(&self, link: &mut Link) -> Result<(), String> {
        match timeout(ANSWER_TIMEOUT, self.ask_for_a_sign_of_life(link)).await {
            Ok(answer) => answer.map_err(|error| error.to_string())?,
            Err(_) => return Err(format!("no answer within {ANSWER_TIMEOUT:?}")),
        }
        let Kind::Sentinels(_) = self.kind else { return Ok(()) };
        // A master that was cut off from the sentinels does not know that there is another one.
        match self.sign_in(|way| self.candidates(way).boxed()).await {
            Ok(masters) => match masters.first().map(ToString::to_string) {
                Some(master) if master != link.server => {
                    Err(format!("the sentinels name another master, {master}"))
                }
                Some(_) | None => Ok(()),
            },
            Err(error) => {
                debug!(place = self.name, %error, "the sentinels name no master");
                Ok(())
            }
        }
    }

    /// A connection for commands.
    pub(super) async fn commands(&self) -> Result<Commands, RedisError> {
        self.sign_in(|way| self.commands_in_a_way(way).boxed()).await
    }

    async fn commands_in_a_way(&self, way: usize) -> Result<Commands, RedisError> {
        if let Kind::Cluster { clients, .. } = &self.kind {
            let client = clients.get(way).ok_or_else(no_answer)?;
            return client.get_async_connection().await.map(Commands::Cluster);
        }
        let address = self.candidates(way).await?.into_iter().next().ok_or_else(no_answer)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        let client = self.client(&address, self.way(way)?)?;
        client.get_multiplexed_async_connection_with_config(&config).await.map(Commands::Server)
    }

    fn way(&self, way: usize) -> Result<&RedisConnectionInfo, RedisError> {
        self.ways.get(way).ok_or_else(no_answer)
    }

    /// Tries the ways to sign in until one is not refused.
    async fn sign_in<'a, T>(
        &'a self,
        connect: impl Fn(usize) -> BoxFuture<'a, Result<T, RedisError>>,
    ) -> Result<T, RedisError> {
        let mut refused = None;
        for way in 0..self.ways.len() {
            match timeout(ANSWER_TIMEOUT, connect(way)).await {
                Ok(Err(error)) if is_refused(&error) => refused = Some(error),
                Ok(answer) => return answer,
                Err(_) => return Err(no_answer()),
            }
        }
        Err(refused.unwrap_or_else(no_answer))
    }

    fn client(&self, address: &ConnectionAddr, way: &RedisConnectionInfo) -> Result<Client, RedisError> {
        let info: ConnectionInfo = address.clone().into_connection_info()?;
        let info = info.set_tcp_settings(tcp()).set_redis_settings(way.clone());
        match &self.authorities {
            Some(authorities) => Client::build_with_tls(info, authorities.clone()),
            None => Client::open(info),
        }
    }
}

fn sentinels(
    settings: &Settings,
    way: &RedisConnectionInfo,
    authorities: Option<&TlsCertificates>,
) -> Result<SentinelClient, RedisSettingsError> {
    let Place::Sentinels { addresses, master, user, password } = &settings.place else {
        return Err(RedisSettingsError::Client("there are no sentinels".to_owned()));
    };
    let failed = |error: RedisError| RedisSettingsError::Client(error.to_string());
    let mut builder =
        SentinelClientBuilder::new(settings.addresses(addresses)?, master, SentinelServerType::Master)
            .map_err(failed)?
            .set_client_to_redis_tcp_settings(tcp())
            .set_client_to_sentinel_tcp_settings(tcp());
    if settings.tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        if let Some(authorities) = authorities {
            builder = builder
                .set_client_to_redis_certificates(authorities.clone())
                .set_client_to_sentinel_certificates(authorities.clone());
        }
    }
    if let Some(name) = way.username() {
        builder = builder.set_client_to_redis_username(name);
    }
    if let Some(password) = way.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if !user.is_empty() {
        builder = builder.set_client_to_sentinel_username(user);
    }
    if let Some(password) = password {
        builder = builder.set_client_to_sentinel_password(password.expose());
    }
    builder.build().map_err(failed)
}

fn cluster(
    seeds: &[ConnectionAddr],
    way: &RedisConnectionInfo,
    tls: bool,
    authorities: Option<&TlsCertificates>,
) -> Result<ClusterClient, RedisSettingsError> {
    // A slot that nobody has is told within the time for an answer, and one that moved is found again.
    let mut builder = ClusterClientBuilder::new(seeds.to_vec())
        .connection_timeout(TRY_TIMEOUT)
        .response_timeout(ANSWER_TIMEOUT)
        .retry_wait_formula(10, 2)
        .min_retry_wait(10)
        .max_retry_wait(500)
        .tcp_settings(tcp());
    if tls {
        builder = builder.tls(TlsMode::Secure);
        if let Some(authorities) = authorities {
            builder = builder.certs(authorities.clone());
        }
    }
    if let Some(name) = way.username() {
        builder = builder.username(name);
    }
    if let Some(password) = way.password() {
        builder = builder.password(password);
    }
    builder.build().map_err(|error| RedisSettingsError::Client(error.to_string()))
}

fn tcp() -> TcpSettings {
    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(30));
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive)
}

/// Another server of the same cluster.
fn moved(from: &ConnectionAddr, host: &str, port: u16) -> ConnectionAddr {
    let host = host.to_owned();
    match from {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) => ConnectionAddr::Tcp(host, port),
        // The library may learn of more kinds; they are of one server.
        _ => from.clone(),
    }
}

/// Whether a way to sign in was refused, so that another one may be let in.
fn is_refused(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed || error.code() == Some("WRONGPASS")
}

pub(super) fn no_answer() -> RedisError {
    RedisError::from(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        format!("no answer within {ANSWER_TIMEOUT:?}"),
    ))
}
