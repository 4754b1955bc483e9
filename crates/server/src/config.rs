//! What has been decided about a server: values as they are meant, checked, without anything left open.

pub mod layer;
pub mod setting;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hyper::http::HeaderName;
use realtime_core::id::ProjectId;
use realtime_core::limit::Rate;
use realtime_core::origin::OriginSettings;
use realtime_core::outbox::{Bounds, Slow};
use realtime_core::query;
use realtime_core::replay;
use realtime_core::secret::Secret;
use realtime_core::settings::Settings as EngineSettings;
use realtime_core::tail;
use realtime_protocol::appwrite::{Appwrite, Masking};

use self::layer::{Layers, Source};
use self::setting::Kind;
use crate::admission::AddressLimits;
use crate::bus::{nats, redis};
use crate::directory::database::{DatabaseSettings, Tls};
use crate::http::{ingest, internal};
use crate::{node, pressure, telemetry};

/// A server's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The port for operators.
    pub internal: Option<Internal>,
    /// Folder of the embedded database.
    pub data_dir: PathBuf,
    /// Threads that serve clients.
    pub shards: usize,
    /// Key for encryption and JWTs; empty means the one in the data folder.
    pub secret: Secret,
    /// Which refusals keep their text to themselves.
    pub masking: Masking,
    /// What every engine is told.
    pub engine: EngineSettings,
    /// Limits by address.
    pub addresses: AddressLimits,
    /// Headers that name the client's address.
    pub trusted_headers: Vec<HeaderName>,
    /// A client's message in bytes.
    pub max_message: usize,
    /// A request's line and headers in bytes.
    pub max_head: usize,
    /// How long a client may take to send them.
    pub head_timeout: Duration,
    /// A publish request's body in bytes.
    pub max_body: usize,
    /// Whether events are heard on the channel names of early Appwrite versions too.
    pub legacy_channels: bool,
    /// Over how long connections are closed when the server stops.
    pub drain: Duration,
    /// Newcomers whose identity is looked up at a time.
    pub openings: usize,
    /// Memory of the process in bytes beyond which the slowest clients are closed.
    pub memory: Option<u64>,
    /// The database of an Appwrite installation, if that is where users are; else they are in the data folder.
    pub database: Option<Database>,
    /// Redis, if that is where events come from; else they come from this process.
    pub redis: Option<redis::Settings>,
    /// NATS, if that is where events come from; then they do not come from Redis.
    pub nats: Option<nats::Settings>,
    /// How users are understood.
    pub users: Users,
    /// JWTs of backends with users of their own.
    pub jwt: Jwt,
    /// How long what is known is believed.
    pub cache: Cache,
    /// Whether the console is told of connections.
    pub statistics: bool,
    /// Logs.
    pub log: Log,
}

/// How long what was looked up is believed; zero is not at all.
#[derive(Debug, Clone, Copy)]
pub struct Cache {
    /// Of projects.
    pub projects: Duration,
    /// Of users, as long as no event tells of a change.
    pub identities: Duration,
}

/// The port for operators.
#[derive(Debug, Clone)]
pub struct Internal {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What operators show.
    pub key: Option<Secret>,
}

/// The database of an Appwrite installation.
#[derive(Debug, Clone)]
pub struct Database {
    /// What it is.
    pub engine: Engine,
    /// Where it is.
    pub settings: DatabaseSettings,
}

/// Some connections to the database are left for those who are there already.
fn openings_beside(database: Option<&Database>) -> usize {
    let connections = database.map_or(14, |database| database.settings.connections as usize);
    connections.saturating_sub(2).max(1)
}

impl Database {
    /// The host as it is part of the names of copies that Appwrite keeps: its library knows none for MongoDB.
    pub(crate) fn named_in_copies(&self) -> &str {
        match self.engine {
            Engine::Mariadb | Engine::Postgres => &self.settings.host,
            #[cfg(feature = "mongodb")]
            Engine::Mongodb => "",
        }
    }
}

/// What an installation's database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// MariaDB or MySQL.
    Mariadb,
    /// PostgreSQL.
    Postgres,
    /// MongoDB.
    #[cfg(feature = "mongodb")]
    Mongodb,
}

/// How users are understood.
#[derive(Debug, Clone)]
pub struct Users {
    /// Whether blocked ones are refused.
    pub refuse_blocked: bool,
    /// Whether `mode=admin` needs membership of the project's team.
    pub admin_needs_membership: bool,
    /// Projects whose custom domains are allowed everywhere.
    pub trusted_projects: Vec<ProjectId>,
    /// Pools whose projects share tables.
    pub shared_tables: Vec<String>,
    /// How long the directory may be away while a user's roles are read again.
    pub outage: Duration,
}

/// JWTs of backends with users of their own.
#[derive(Debug, Clone)]
pub struct Jwt {
    /// Shared secret; empty is none.
    pub hs256_secret: Secret,
    /// Files with public keys.
    pub public_keys: Vec<PathBuf>,
    /// A key set file.
    pub key_set: Option<PathBuf>,
    /// What `aud` may name.
    pub audiences: Vec<String>,
    /// How far a backend's clock may be off.
    pub leeway: Duration,
}

/// How to log.
#[derive(Debug, Clone)]
pub struct Log {
    /// In what form.
    pub format: LogFormat,
    /// What: a level, or levels by module.
    pub filter: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; in colour on a terminal.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object.
    Json,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {reason}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file has a key that means nothing.
    #[error("{}: there is no setting `{key}`; did you mean `{closest}`?", .path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// One that there is.
        closest: &'static str,
    },
    /// A value is not what it must be.
    #[error("`{key}` cannot be {value:?} (from {said_in}): it must be {expected}")]
    Value {
        /// Of which setting.
        key: &'static str,
        /// The value, unless it is secret.
        value: String,
        /// Where it was said.
        said_in: Source,
        /// What it must be.
        expected: String,
    },
}

impl Config {
    /// Understands what was written.
    pub fn resolve(layers: &Layers) -> Result<Self, ConfigError> {
        let read = Reader(layers);
        let limited = read.switch("limits.enabled")?;
        let per_minute = |key| -> Result<Option<Rate>, ConfigError> {
            let limit = read.number(key)?;
            Ok(limited.then_some(Rate { limit, per: Duration::from_secs(60) }))
        };
        let masking = match (read.text("environment"), read.switch("mask_like_appwrite")?) {
            ("development", _) => Masking::Nothing,
            (_, true) => Masking::Appwrite,
            (_, false) => Masking::Faults,
        };
        let database = read.database()?;
        let engine = EngineSettings {
            messages: per_minute("limits.messages_per_minute")?,
            subscriptions: read.number("limits.subscriptions")?,
            channels: read.number("limits.channels")?,
            queries: query::Limits { depth: read.number("limits.query_depth")?, ..query::Limits::default() },
            outbox: Bounds {
                count: read.at_least("limits.outbox_messages", 1)?,
                bytes: read.at_least("limits.outbox_bytes", 1)?,
            },
            slow: match read.choice("limits.slow")? {
                "conflate" => Slow::Conflate,
                "drop" => Slow::Drop,
                _ => Slow::Close,
            },
            open_timeout: read.some_time("limits.open_timeout", Duration::from_millis(1))?,
            heartbeat: read.some_time("heartbeat", Duration::from_secs(1))?,
            replay: read.replay()?,
            reread: Some(read.duration("users.reread")?).filter(|every| !every.is_zero()),
            url_window: read.duration("resume.url_window")?,
            tail: tail::Bounds { rate: read.number::<u32>("tail.rate")?.max(1), ..tail::Bounds::default() },
            origin: OriginSettings {
                hosts: read.hosts("origin.hosts")?,
                schemes: read.list("origin.schemes"),
            },
            check_console_origin: match read.choice("origin.check_console")? {
                "true" => true,
                "false" => false,
                _ => database.is_none() || read.is_said("origin.hosts"),
            },
            region: read.text("region").to_owned(),
            ..EngineSettings::default()
        };
        Ok(Self {
            listen: read.parsed("listen", "an address and a port, for example 0.0.0.0:8080")?,
            internal: read.internal()?,
            data_dir: PathBuf::from(read.text("data_dir")),
            shards: match read.text("shards") {
                "auto" | "0" => std::thread::available_parallelism().map_or(1, usize::from),
                _ => read.number("shards")?,
            },
            secret: Secret::new(read.text("secret")),
            masking,
            addresses: AddressLimits {
                connects: per_minute("limits.connects_per_minute")?,
                failures: per_minute("limits.failed_authentications_per_minute")?,
            },
            trusted_headers: read.headers("proxy.trusted_headers")?,
            max_message: read.at_least("limits.message_bytes", 125)?,
            // hyper takes no smaller buffer.
            max_head: read.at_least("limits.head_bytes", 8_192)?,
            head_timeout: read.some_time("limits.head_timeout", Duration::from_millis(1))?,
            max_body: read.number("publish.body_bytes")?,
            legacy_channels: read.switch("publish.legacy_channels")?,
            drain: read.duration("drain")?,
            openings: match read.text("limits.openings") {
                "auto" => openings_beside(database.as_ref()),
                _ => read.at_least("limits.openings", 1)?,
            },
            memory: match read.text("limits.memory") {
                "auto" => pressure::ceiling_of_container(),
                "off" => None,
                _ => Some(read.at_least("limits.memory", 1)? as u64),
            },
            database,
            redis: read.redis()?,
            nats: read.nats()?,
            users: Users {
                refuse_blocked: read.switch("users.refuse_blocked")?,
                admin_needs_membership: read.switch("users.admin_needs_membership")?,
                trusted_projects: read.list("origin.trusted_projects").iter().map(ProjectId::new).collect(),
                shared_tables: read.list("database.shared_tables"),
                outage: read.duration("users.outage")?,
            },
            jwt: Jwt {
                hs256_secret: Secret::new(read.text("jwt.hs256_secret")),
                public_keys: read.list("jwt.public_keys").into_iter().map(PathBuf::from).collect(),
                key_set: Some(read.text("jwt.key_set")).filter(|path| !path.is_empty()).map(PathBuf::from),
                audiences: read.list("jwt.audiences"),
                leeway: read.duration("jwt.leeway")?,
            },
            cache: Cache {
                projects: read.duration("cache.projects")?,
                identities: read.duration("cache.identities")?,
            },
            statistics: read.switch("statistics")?,
            log: Log {
                format: match read.choice("log.format")? {
                    "json" => LogFormat::Json,
                    "pretty" => LogFormat::Pretty,
                    _ => LogFormat::Auto,
                },
                filter: read.log_filter("log.level")?,
            },
            engine,
        })
    }

    /// What a node needs of it.
    pub fn node(&self) -> node::Settings {
        node::Settings {
            listen: self.listen,
            shards: self.shards,
            engine: self.engine.clone(),
            addresses: self.addresses,
            counter: None,
            holds: None,
            memory: None,
            statistics: self.statistics,
            outage: self.users.outage,
            trusted_headers: self.trusted_headers.clone(),
            codec: Arc::new(Appwrite { masking: self.masking, queries: self.engine.queries }),
            max_message: self.max_message,
            max_head: self.max_head,
            openings: self.openings,
            ceiling: self.memory,
            head_timeout: self.head_timeout,
            publish: ingest::Settings {
                max_body: self.max_body,
                legacy_channels: self.legacy_channels,
                trusted_headers: self.trusted_headers.clone(),
            },
            drain: self.drain,
            dev: None,
            internal: self.internal.clone().map(|Internal { listen, key }| internal::Settings {
                listen,
                key,
                database: None,
            }),
        }
    }
}

/// Reads settings as what they are.
struct Reader<'a>(&'a Layers);

impl<'a> Reader<'a> {
    fn is_said(&self, key: &'static str) -> bool {
        *self.0.get(key).1 != Source::Default
    }

    fn text(&self, key: &'static str) -> &'a str {
        self.0.get(key).0
    }

    fn list(&self, key: &'static str) -> Vec<String> {
        self.text(key).split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn parsed<T: FromStr>(&self, key: &'static str, expected: &str) -> Result<T, ConfigError> {
        self.text(key).trim().parse().map_err(|_| self.wrong(key, expected))
    }

    fn number<T: FromStr>(&self, key: &'static str) -> Result<T, ConfigError> {
        self.parsed(key, "a whole number")
    }

    fn at_least(&self, key: &'static str, least: usize) -> Result<usize, ConfigError> {
        let number = self.number(key)?;
        if number < least { Err(self.wrong(key, &format!("at least {least}"))) } else { Ok(number) }
    }

    fn switch(&self, key: &'static str) -> Result<bool, ConfigError> {
        match self.text(key).trim() {
            "true" | "enabled" | "yes" | "1" => Ok(true),
            "false" | "disabled" | "no" | "0" => Ok(false),
            _ => Err(self.wrong(key, "`true` or `false`")),
        }
    }

    fn duration(&self, key: &'static str) -> Result<Duration, ConfigError> {
        parse_duration(self.text(key))
            .ok_or_else(|| self.wrong(key, "a number with ms, s, m, h or d, such as 25s, and at most 366d"))
    }

    fn some_time(&self, key: &'static str, least: Duration) -> Result<Duration, ConfigError> {
        let duration = self.duration(key)?;
        if duration < least { Err(self.wrong(key, &format!("at least {least:?}"))) } else { Ok(duration) }
    }

    /// What is kept for clients that were away. How far a client has got is known from one heartbeat to the next, so that
    /// the window must have room for some.
    fn replay(&self) -> Result<replay::Bounds, ConfigError> {
        let window = self.duration("resume.window")?;
        let heartbeat = self.duration("heartbeat")?;
        if !window.is_zero() && window < heartbeat * 4 {
            return Err(self.wrong("resume.window", "0s, or at least four times `heartbeat`"));
        }
        Ok(replay::Bounds {
            window,
            events: self.at_least("resume.events", 1)?,
            bytes: self.at_least("resume.bytes", 1)?,
            total_bytes: self.at_least("resume.total_bytes", 1)?,
            ..replay::Bounds::default()
        })
    }

    /// Whoever reaches the internal port without having to show a key must be at this machine.
    fn internal(&self) -> Result<Option<Internal>, ConfigError> {
        let key = self.text("internal.key");
        if !key.is_empty() && key.len() < SHORTEST_KEY {
            return Err(
                self.wrong("internal.key", "16 characters or more, such as `openssl rand -hex 16` gives")
            );
        }
        if self.text("internal.listen").trim() == "off" {
            return Ok(None);
        }
        let listen: SocketAddr =
            self.parsed("internal.listen", "an address and a port, for example 127.0.0.1:8081, or `off`")?;
        if key.is_empty() && !listen.ip().is_loopback() {
            let expected =
                "an address of this machine alone, such as 127.0.0.1:8081, unless `internal.key` is set";
            return Err(self.wrong("internal.listen", expected));
        }
        Ok(Some(Internal { listen, key: Some(key).filter(|key| !key.is_empty()).map(Secret::new) }))
    }

    fn log_filter(&self, key: &'static str) -> Result<String, ConfigError> {
        let filter = self.text(key);
        if telemetry::is_filter(filter) {
            return Ok(filter.to_owned());
        }
        Err(self.wrong(
            key,
            "off, error, warn, info, debug or trace, or such levels by module, as info,sqlx=debug",
        ))
    }

    fn choice(&self, key: &'static str) -> Result<&'a str, ConfigError> {
        let value = self.text(key);
        match setting::find(key).map(|setting| setting.kind) {
            Some(Kind::Choice(words)) if !words.contains(&value) => {
                Err(self.wrong(key, &format!("one of {}", words.join(", "))))
            }
            Some(_) | None => Ok(value),
        }
    }

    /// An empty list would let every page in; who wants that has to say so.
    fn hosts(&self, key: &'static str) -> Result<Vec<String>, ConfigError> {
        let hosts = self.list(key);
        if hosts.is_empty() {
            Err(self.wrong(key, "a host at least; `*` lets every page in"))
        } else {
            Ok(hosts)
        }
    }

    fn headers(&self, key: &'static str) -> Result<Vec<HeaderName>, ConfigError> {
        let names = self.list(key);
        if names == ["none"] {
            return Ok(Vec::new());
        }
        let parse = |name: &String| name.parse().map_err(|_| self.wrong(key, "names of headers, or `none`"));
        names.iter().map(parse).collect()
    }

    fn database(&self) -> Result<Option<Database>, ConfigError> {
        let (connections, timeout) = (
            self.at_least("database.connections", 1)?,
            self.some_time("database.timeout", Duration::from_millis(1))?,
        );
        let tls = match self.choice("database.tls")? {
            "off" => Tls::Off,
            "require" => Tls::Require,
            "verify" => Tls::Verify,
            _ => Tls::Prefer,
        };
        let (host, port) = (self.text("database.host"), self.text("database.port").trim());
        let port: Option<u16> = match port {
            "auto" => None,
            _ => Some(self.parsed("database.port", "a port, or `auto`")?),
        };
        let (engine, name) = match (self.choice("directory")?, host.is_empty(), port) {
            ("embedded", ..) | ("auto", true, _) => return Ok(None),
            ("mongodb", ..) | ("auto", _, Some(27_017)) => (self.mongodb()?, "mongodb"),
            ("postgresql", ..) | ("auto", _, Some(5_432)) => (Engine::Postgres, "postgresql"),
            _ => (Engine::Mariadb, "mariadb"),
        };
        let usual = match engine {
            Engine::Mariadb => 3_306,
            Engine::Postgres => 5_432,
            #[cfg(feature = "mongodb")]
            Engine::Mongodb => 27_017,
        };
        let settings = DatabaseSettings {
            host: if host.is_empty() { name } else { host }.to_owned(),
            port: port.unwrap_or(usual),
            schema: self.text("database.schema").to_owned(),
            user: self.text("database.user").to_owned(),
            password: Some(self.text("database.password")).filter(|text| !text.is_empty()).map(Secret::new),
            tls,
            certificates: Some(self.text("database.certificates"))
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            connections: connections.try_into().unwrap_or(u32::MAX),
            timeout,
        };
        #[cfg(feature = "mongodb")]
        if engine == Engine::Mongodb && matches!(settings.tls, Tls::Require | Tls::Verify) {
            return Err(
                self.wrong("database.tls", "`prefer` or `off`: links to MongoDB are not encrypted yet")
            );
        }
        Ok(Some(Database { engine, settings }))
    }

    #[cfg(feature = "mongodb")]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "without the feature it is refused")]
    fn mongodb(&self) -> Result<Engine, ConfigError> {
        Ok(Engine::Mongodb)
    }

    #[cfg(not(feature = "mongodb"))]
    fn mongodb(&self) -> Result<Engine, ConfigError> {
        let meant = "mariadb, mysql or postgresql: this build cannot read MongoDB; build it with `--features mongodb`";
        Err(self.wrong("directory", meant))
    }

    fn redis(&self) -> Result<Option<redis::Settings>, ConfigError> {
        let place = self.place_of_redis()?;
        let (user, password) = (self.text("redis.user").to_owned(), self.secret("redis.password"));
        let (tls, certificates) =
            (self.switch("redis.tls")?, self.said("redis.certificates").map(PathBuf::from));
        let backlog = redis::Bounds {
            messages: self.at_least("redis.backlog_messages", 1)?,
            bytes: self.at_least("redis.backlog_bytes", 1)?,
        };
        let (window, entries) = (self.duration("resume.window")?, self.at_least("redis.durable_events", 1)?);
        let durable = match self.choice("redis.durable")? {
            "off" => None,
            durable => Some(redis::Durable { is_bridged: durable == "bridge", window, entries }),
        };
        match (self.choice("bus")?, place) {
            ("redis", None) => {
                Err(self.wrong("bus", "`memory`, unless one of the settings `redis.` says where it is"))
            }
            ("auto", Some(_)) if self.said("nats.url").is_some() => Ok(None),
            ("redis" | "auto", Some(place)) => {
                Ok(Some(redis::Settings { place, user, password, tls, certificates, backlog, durable }))
            }
            _ => Ok(None),
        }
    }

    /// Where Redis is, if anything is said of it.
    fn place_of_redis(&self) -> Result<Option<redis::Place>, ConfigError> {
        let (sentinels, cluster) = (self.list("redis.sentinels"), self.list("redis.cluster"));
        let is_sharded = self.switch("redis.sharded")?;
        let (url, host) = (self.secret("redis.url"), self.text("redis.host").to_owned());
        let port = self.parsed("redis.port", "a port")?;
        Ok(match (sentinels.is_empty(), cluster.is_empty()) {
            (false, false) => {
                return Err(self.wrong("redis.sentinels", "nothing where `redis.cluster` is set"));
            }
            (true, true) if is_sharded => {
                return Err(self.wrong("redis.sharded", "`false`, unless `redis.cluster` is set"));
            }
            (false, true) if is_sharded => {
                return Err(self.wrong("redis.sharded", "`false` where `redis.sentinels` is set"));
            }
            (false, true) => Some(redis::Place::Sentinels {
                addresses: sentinels,
                master: self.text("redis.sentinel_master").to_owned(),
                user: self.text("redis.sentinel_user").to_owned(),
                password: self.secret("redis.sentinel_password"),
            }),
            (true, false) => Some(redis::Place::Cluster { addresses: cluster, is_sharded }),
            (true, true) => match url {
                Some(url) => Some(redis::Place::Url(url)),
                None => {
                    Some(host).filter(|host| !host.is_empty()).map(|host| redis::Place::Server { host, port })
                }
            },
        })
    }

    fn said(&self, key: &'static str) -> Option<&'a str> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    fn secret(&self, key: &'static str) -> Option<Secret> {
        self.said(key).map(Secret::new)
    }

    fn nats(&self) -> Result<Option<nats::Settings>, ConfigError> {
        let window = self.duration("resume.window")?;
        let max_age = match self.text("nats.max_age") {
            "auto" => window.max(Duration::from_secs(3_600)),
            _ => self.some_time("nats.max_age", window.max(Duration::from_secs(1)))?,
        };
        let durable = nats::Durable {
            stream: self.text("nats.stream").to_owned(),
            max_age,
            max_bytes: self.at_least("nats.max_bytes", 1)? as i64,
        };
        let subject = self.text("nats.subject");
        let is_subject = |text: &str| {
            let is_part = |part: &str| {
                !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && !b"*>".contains(&byte))
            };
            text.split('.').all(is_part)
        };
        if !is_subject(subject) {
            return Err(self.wrong("nats.subject", "a subject without wildcards, such as `realtime`"));
        }
        let is_stream = |text: &str| is_subject(text) && !text.contains(['.', '/', '\\']);
        if !is_stream(&durable.stream) {
            return Err(self.wrong("nats.stream", "a name without spaces, dots, wildcards and slashes"));
        }
        let settings = nats::Settings {
            urls: Secret::new(self.text("nats.url")),
            user: self.text("nats.user").to_owned(),
            password: self.secret("nats.password"),
            token: self.secret("nats.token"),
            nkey: self.secret("nats.nkey"),
            credentials: self.said("nats.credentials").map(PathBuf::from),
            certificates: self.said("nats.certificates").map(PathBuf::from),
            subject: subject.to_owned(),
            durable: self.switch("nats.durable")?.then_some(durable),
            window,
            replicas: self.at_least("nats.replicas", 1)?,
        };
        match (self.choice("bus")?, self.said("nats.url")) {
            ("nats", None) => Err(self.wrong("bus", "`memory`, unless `nats.url` is set")),
            ("nats" | "auto", Some(_)) => Ok(Some(settings)),
            _ => Ok(None),
        }
    }

    fn wrong(&self, key: &'static str, expected: &str) -> ConfigError {
        let (value, source) = self.0.get(key);
        let value = setting::find(key).map_or(value, |setting| layer::shown(setting, value));
        ConfigError::Value {
            key,
            value: value.to_owned(),
            said_in: source.clone(),
            expected: expected.to_owned(),
        }
    }
}

/// The shortest admin key that cannot be guessed.
const SHORTEST_KEY: usize = 16;
/// The longest time that a setting can name: far from where clocks overflow.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// `250ms`, `25s`, `5m`, `2h`, `30d`; a year at most.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let duration = match text.strip_prefix(digits)? {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3_600).map(Duration::from_secs),
        "d" => number.checked_mul(86_400).map(Duration::from_secs),
        _ => None,
    };
    duration.filter(|duration| *duration <= LONGEST)
}

/// The reference page of all settings, in Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# Settings\n\nA setting can stand in a file (`--config FILE`, TOML), in the environment, and on the command \
         line; each of these beats the one before. `realtime check` shows what holds and where it comes from.\n\n\
         An empty variable counts as not set. Appwrite's variables (`_APP_…`) mean what they mean there: `0` counts as \
         not set too, and what Appwrite does not understand is no error. A list is written `[\"a\", \"b\"]` in the file and \
         `a,b` elsewhere.\n\n\
         | key in the file | flag | variables | default | what it is for |\n|---|---|---|---|---|\n",
    );
    for setting in setting::SETTINGS {
        let variables = setting.env.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let default =
            if setting.default.is_empty() { "none".to_owned() } else { format!("`{}`", setting.default) };
        let row = format!(
            "| `{}` | `--{}` | {variables} | {default} | {} |\n",
            setting.key,
            setting.flag(),
            setting.help
        );
        page.push_str(&row);
    }
    page
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn with(key: &str, value: &str) -> Result<Config, ConfigError> {
        Config::resolve(&Layers::defaults().with_flag(setting::find(key).unwrap(), value))
    }

    #[test]
    fn the_defaults_are_appwrites_limits() {
        let config = Config::resolve(&Layers::defaults()).unwrap();
        assert_eq!(config.addresses.connects.unwrap().limit, 128);
        assert_eq!(config.engine.messages.unwrap().limit, 32);
        assert_eq!(config.max_message, 64_000);
        assert!(config.shards >= 1);
    }

    #[test]
    fn every_setting_refuses_nonsense_by_name() {
        for setting in setting::SETTINGS {
            let checked =
                matches!(setting.kind, Kind::Number | Kind::Switch | Kind::Duration | Kind::Choice(_));
            if checked {
                let error = with(setting.key, "nonsense").unwrap_err().to_string();
                assert!(error.contains(setting.key) && error.contains("nonsense"), "{error}");
            }
        }
    }

    #[test]
    fn limits_can_be_switched_off_with_appwrites_variable() {
        let layers = Layers::defaults()
            .with_environment(|name| (name == "_APP_OPTIONS_ABUSE").then(|| "disabled".to_owned()));
        let config = Config::resolve(&layers).unwrap();
        assert_eq!(config.addresses.connects, None);
        assert_eq!(config.engine.messages, None);
    }

    #[test]
    fn a_configuration_can_be_printed_without_its_secrets() {
        let keys = [
            "internal.key",
            "secret",
            "jwt.hs256_secret",
            "redis.url",
            "redis.password",
            "redis.sentinel_password",
            "database.password",
        ];
        let layers = keys.iter().fold(Layers::defaults(), |layers, key| {
            layers.with_flag(setting::find(key).unwrap(), "please-do-not-print-me")
        });
        let config = Config::resolve(&layers).unwrap();
        assert_eq!(config.secret.expose(), "please-do-not-print-me");
        assert!(!format!("{config:?} {layers:?}").contains("please-do-not-print-me"));
    }

    #[test]
    fn a_time_in_which_nothing_can_happen_is_refused() {
        for key in ["limits.open_timeout", "limits.head_timeout", "heartbeat"] {
            assert!(with(key, "0s").unwrap_err().to_string().contains("at least"), "{key}");
        }
    }

    #[test]
    fn the_console_of_an_installation_is_checked_only_if_it_is_known_where_it_is() {
        let with = |variables: &'static [(&str, &str)]| {
            let find =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            Config::resolve(&Layers::defaults().with_environment(|name| find(name).map(str::to_owned)))
                .unwrap()
        };
        assert!(with(&[]).engine.check_console_origin);
        assert!(!with(&[("_APP_DB_HOST", "mariadb")]).engine.check_console_origin);
        assert!(
            with(&[("_APP_DB_HOST", "mariadb"), ("_APP_DOMAIN", "a.example")]).engine.check_console_origin
        );
    }

    #[test]
    fn an_installations_database_is_told_by_its_adapter_or_its_port() {
        let with = |variables: &'static [(&str, &str)]| {
            let find =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            Config::resolve(&Layers::defaults().with_environment(|name| find(name).map(str::to_owned)))
        };
        let engine = |variables| with(variables).unwrap().database.map(|database| database.engine);
        assert_eq!(engine(&[]), None);
        assert_eq!(engine(&[("_APP_DB_HOST", "db")]), Some(Engine::Mariadb));
        assert_eq!(engine(&[("_APP_DB_HOST", "db"), ("_APP_DB_PORT", "5432")]), Some(Engine::Postgres));
        assert_eq!(engine(&[("_APP_DB_ADAPTER", "postgresql")]), Some(Engine::Postgres));
        let by_name = with(&[("_APP_DB_ADAPTER", "mysql")]).unwrap().database.unwrap().settings;
        assert_eq!((by_name.host.as_str(), by_name.port), ("mariadb", 3306));
    }

    #[test]
    fn mongodb_is_read_by_builds_that_can_and_refused_with_advice_by_others() {
        let environment = [("_APP_DB_HOST", "db"), ("_APP_DB_PORT", "27017")];
        let find = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let read =
            Config::resolve(&Layers::defaults().with_environment(|name| find(name).map(str::to_owned)));
        if cfg!(feature = "mongodb") {
            assert_eq!(read.unwrap().database.unwrap().settings.port, 27_017);
        } else {
            let refused = read.unwrap_err().to_string();
            assert!(refused.contains("--features mongodb"), "{refused}");
        }
    }

    #[test]
    fn a_level_that_there_is_not_is_refused_and_does_not_silence_the_server() {
        assert!(with("log.level", "verbose").is_err());
        assert!(with("log.level", "info,realtime_server::peer=loud").is_err());
        assert!(with("log.level", "info,realtime_server::peer=debug").is_ok());
    }

    #[test]
    fn every_page_is_let_in_only_if_somebody_says_so() {
        assert!(with("origin.hosts", " , ").unwrap_err().to_string().contains("`*`"));
        assert_eq!(with("origin.hosts", "*").unwrap().engine.origin.hosts, ["*"]);
    }

    #[test]
    fn the_internal_port_is_off_or_this_machines_or_behind_a_key() {
        let with = |listen: &str, key: &str| {
            let set = |layers: Layers, key, value| layers.with_flag(setting::find(key).unwrap(), value);
            let layers = set(set(Layers::defaults(), "internal.listen", listen), "internal.key", key);
            Config::resolve(&layers).map(|config| config.internal)
        };
        assert!(with("off", "").unwrap().is_none());
        assert!(with("127.0.0.1:8081", "").unwrap().unwrap().key.is_none());
        assert!(with("[::1]:8081", "").is_ok());
        for open in ["0.0.0.0:8081", "192.168.0.7:8081", "[::]:8081"] {
            assert!(with(open, "").unwrap_err().to_string().contains("internal.key"), "{open}");
            assert!(with(open, "0123456789abcdef").unwrap().unwrap().key.is_some());
        }
        let short = with("127.0.0.1:8081", "0123456789abcde").unwrap_err().to_string();
        assert!(short.contains("internal.key") && !short.contains("0123456789"), "{short}");
        assert!(with("8081", "").is_err());
    }

    #[test]
    fn shards_are_one_for_each_processor_unless_said() {
        let processors = std::thread::available_parallelism().unwrap().get();
        assert_eq!(with("shards", "auto").unwrap().shards, processors);
        assert_eq!(with("shards", "0").unwrap().shards, processors);
        assert_eq!(with("shards", "3").unwrap().shards, 3);
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("2h"), Some(Duration::from_secs(7_200)));
        assert_eq!(parse_duration("5"), None);
        assert_eq!(parse_duration("99999999999999999999h"), None);
        assert_eq!(parse_duration("367d"), None);
    }

    #[test]
    fn the_reference_page_in_the_repository_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/settings.md");
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap();
        assert!(
            page == reference(),
            "run `UPDATE_REFERENCE=1 cargo test -p realtime-server reference` and commit"
        );
    }
}
