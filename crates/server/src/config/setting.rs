//! The one list of settings: it feeds the file, the environment, the flags, `--help`, `check`, and the reference page.

/// What a value has to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Any text that must not be shown.
    Secret,
    /// Texts separated by commas.
    List,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// A number with `ms`, `s`, `m`, `h` or `d`.
    Duration,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// One thing that an operator may choose.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its key in the file; dots are tables. The flag is the same with dashes.
    pub key: &'static str,
    /// Environment variables, first match wins. Those that begin with `_APP_` or are `PORT` follow Appwrite's rule: empty
    /// and `0` mean the default.
    pub env: &'static [&'static str],
    /// What holds if nothing is said.
    pub default: &'static str,
    /// What a value has to look like.
    pub kind: Kind,
    /// What it is for.
    pub help: &'static str,
}

impl Setting {
    /// The flag without its dashes.
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }
}

/// The setting with this key.
pub fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

const fn setting(
    key: &'static str,
    env: &'static [&'static str],
    default: &'static str,
    kind: Kind,
    help: &'static str,
) -> Setting {
    Setting { key, env, default, kind, help }
}

/// Every setting, in the order of the reference page.
pub static SETTINGS: &[Setting] = &[
    setting(
        "listen",
        &["REALTIME_LISTEN"],
        "127.0.0.1:8080",
        Kind::Text,
        "Address and port to listen on. Port 0 is any free one. The variable PORT sets the port alone, on all addresses.",
    ),
    setting(
        "internal.listen",
        &["REALTIME_INTERNAL_LISTEN"],
        "off",
        Kind::Text,
        "Address and port of the console and the metrics, for operators; `off` is without. Without `internal.key` it must be one of this machine alone. `realtime dev` chooses one if none is said.",
    ),
    setting(
        "internal.key",
        &["REALTIME_INTERNAL_KEY"],
        "",
        Kind::Secret,
        "What operators show to use the console's API and to read the metrics, as `Authorization: Bearer KEY`; at least 16 characters.",
    ),
    setting(
        "data_dir",
        &["REALTIME_DATA_DIR"],
        ".realtime",
        Kind::Text,
        "Folder of the embedded database and its key. It is made if it is not there.",
    ),
    setting(
        "shards",
        &["REALTIME_SHARDS", "_APP_WORKERS_NUM"],
        "auto",
        Kind::Number,
        "Threads that serve clients. `auto` (or 0) is one for each processor.",
    ),
    setting(
        "environment",
        &["REALTIME_ENVIRONMENT", "_APP_ENV"],
        "production",
        Kind::Text,
        "`development` shows clients the text of every error; anything else hides those that are faults of the server.",
    ),
    setting(
        "mask_like_appwrite",
        &["REALTIME_MASK_LIKE_APPWRITE"],
        "false",
        Kind::Switch,
        "Hide the texts of 1003 and 1013 errors too, as Appwrite does in production.",
    ),
    setting(
        "region",
        &["REALTIME_REGION", "_APP_REGION"],
        "default",
        Kind::Text,
        "Where this server is; projects of another region are refused.",
    ),
    setting(
        "secret",
        &["REALTIME_SECRET", "_APP_OPENSSL_KEY_V1"],
        "",
        Kind::Secret,
        "Key that encrypts secrets in the database and signs JWTs. Empty: one is made and kept in the data folder.",
    ),
    setting(
        "proxy.trusted_headers",
        &["REALTIME_PROXY_TRUSTED_HEADERS", "_APP_TRUSTED_HEADERS"],
        "x-forwarded-for",
        Kind::List,
        "Headers that name the client's address, first match wins. Name none (`none`) if no proxy is in front, or clients can choose their address.",
    ),
    setting(
        "limits.enabled",
        &["REALTIME_LIMITS_ENABLED", "_APP_OPTIONS_ABUSE"],
        "true",
        Kind::Switch,
        "Whether the limits by address and the message limit hold.",
    ),
    setting(
        "limits.connects_per_minute",
        &["REALTIME_LIMITS_CONNECTS_PER_MINUTE"],
        "128",
        Kind::Number,
        "Connections from one address to one path in a minute.",
    ),
    setting(
        "limits.messages_per_minute",
        &["REALTIME_LIMITS_MESSAGES_PER_MINUTE"],
        "32",
        Kind::Number,
        "Messages on one connection in a minute, pings not counted.",
    ),
    setting(
        "limits.failed_authentications_per_minute",
        &["REALTIME_LIMITS_FAILED_AUTHENTICATIONS_PER_MINUTE"],
        "32",
        Kind::Number,
        "Sessions, JWTs and API keys that prove nothing, from one address in a minute.",
    ),
    setting(
        "limits.message_bytes",
        &["REALTIME_LIMITS_MESSAGE_BYTES"],
        "64000",
        Kind::Number,
        "A client's message, framing included.",
    ),
    setting(
        "limits.head_bytes",
        &["REALTIME_LIMITS_HEAD_BYTES"],
        "65536",
        Kind::Number,
        "Request line and headers; at least 8192.",
    ),
    setting(
        "limits.head_timeout",
        &["REALTIME_LIMITS_HEAD_TIMEOUT"],
        "10s",
        Kind::Duration,
        "How long a client may take to send them.",
    ),
    setting(
        "limits.slow",
        &["REALTIME_LIMITS_SLOW"],
        "close",
        Kind::Choice(&["close", "conflate", "drop"]),
        "What becomes of a client that has `limits.outbox_messages` or `limits.outbox_bytes` waiting: it is closed, to come back and get what it missed; of the events about one document the latest is kept, and it is closed if that is not enough; or events are left out, and it is told of a gap if it asked for that.",
    ),
    setting(
        "limits.memory",
        &["REALTIME_LIMITS_MEMORY"],
        "auto",
        Kind::Text,
        "Memory of the process, in bytes. Short of it nobody more is let in; beyond it the clients with most waiting are closed, to come back. `auto` is nine tenths of the limit of the container or systemd unit, if there is one; `off` is without.",
    ),
    setting(
        "limits.open_timeout",
        &["REALTIME_LIMITS_OPEN_TIMEOUT"],
        "60s",
        Kind::Duration,
        "How long finding out who a client is may take, waiting in line included.",
    ),
    setting(
        "limits.openings",
        &["REALTIME_LIMITS_OPENINGS"],
        "auto",
        Kind::Text,
        "Clients whose identity is looked up at the same time; others wait in line, so that a wave of them leaves the database able to answer for those who are connected. `auto` is two less than `database.connections`.",
    ),
    setting(
        "limits.subscriptions",
        &["REALTIME_LIMITS_SUBSCRIPTIONS"],
        "1000",
        Kind::Number,
        "Subscriptions of one connection.",
    ),
    setting(
        "limits.channels",
        &["REALTIME_LIMITS_CHANNELS"],
        "10000",
        Kind::Number,
        "Channels of all subscriptions of one connection together.",
    ),
    setting(
        "limits.query_depth",
        &["REALTIME_LIMITS_QUERY_DEPTH"],
        "32",
        Kind::Number,
        "How deep `and` and `or` may stand inside each other.",
    ),
    setting(
        "limits.outbox_messages",
        &["REALTIME_LIMITS_OUTBOX_MESSAGES"],
        "4096",
        Kind::Number,
        "Messages that may wait for one client; beyond it the client is closed with a code that says to come back.",
    ),
    setting(
        "limits.outbox_bytes",
        &["REALTIME_LIMITS_OUTBOX_BYTES"],
        "4194304",
        Kind::Number,
        "The same in bytes of event data.",
    ),
    setting(
        "resume.window",
        &["REALTIME_RESUME_WINDOW"],
        "2m",
        Kind::Duration,
        "How long events are kept for clients that were away; 0s keeps none, and nobody resumes. At least four heartbeats.",
    ),
    setting(
        "resume.url_window",
        &["REALTIME_RESUME_URL_WINDOW"],
        "0s",
        Kind::Duration,
        "For how long a signed-in user that asks in the URL for the same channels from the same origin is taken for the client that was cut off, and sent what that one missed. For old SDKs, which cannot say who they were; another window of the same page may be sent events from before it opened. `0s` is never; a few seconds more than the SDK waits before it comes back is enough.",
    ),
    setting(
        "resume.events",
        &["REALTIME_RESUME_EVENTS"],
        "50000",
        Kind::Number,
        "Events of one project that are kept at most.",
    ),
    setting(
        "resume.bytes",
        &["REALTIME_RESUME_BYTES"],
        "16777216",
        Kind::Number,
        "Bytes of events of one project that are kept at most.",
    ),
    setting(
        "resume.total_bytes",
        &["REALTIME_RESUME_TOTAL_BYTES"],
        "134217728",
        Kind::Number,
        "The same of all projects together; beyond it the project with most gives way.",
    ),
    setting(
        "tail.rate",
        &["REALTIME_TAIL_RATE", "_APP_REALTIME_TAIL_RATE"],
        "50",
        Kind::Number,
        "Events that the console's live tail of a project shows in a second, at least 1; those beyond it are counted.",
    ),
    setting(
        "heartbeat",
        &["REALTIME_HEARTBEAT"],
        "25s",
        Kind::Duration,
        "How often a connection gets a sign of life, so that proxies keep it open and it is known how far the client has got.",
    ),
    setting(
        "drain",
        &["REALTIME_DRAIN"],
        "10s",
        Kind::Duration,
        "When the server stops, connections are closed spread over this time.",
    ),
    setting(
        "origin.hosts",
        &["REALTIME_ORIGIN_HOSTS"],
        "localhost",
        Kind::List,
        "Hosts whose pages may connect to every project, beside each project's platforms. May begin with `*.`; `*` alone is every host.",
    ),
    setting(
        "origin.schemes",
        &["REALTIME_ORIGIN_SCHEMES", "_APP_CONSOLE_SCHEMA"],
        "",
        Kind::List,
        "Schemes of native apps that may connect to every project.",
    ),
    setting(
        "origin.check_console",
        &["REALTIME_ORIGIN_CHECK_CONSOLE"],
        "auto",
        Kind::Choice(&["auto", "true", "false"]),
        "Check the origin of connections to the console project too, which Appwrite does not. `auto` does, but beside an Appwrite installation only if `origin.hosts` or _APP_DOMAIN says where the console is.",
    ),
    setting(
        "origin.trusted_projects",
        &["REALTIME_ORIGIN_TRUSTED_PROJECTS", "_APP_CONSOLE_TRUSTED_PROJECTS"],
        "",
        Kind::List,
        "Projects whose custom domains are allowed for every project.",
    ),
    setting(
        "directory",
        &["REALTIME_DIRECTORY", "_APP_DB_ADAPTER"],
        "auto",
        Kind::Choice(&["auto", "embedded", "mariadb", "mysql", "postgresql", "mongodb"]),
        "Where projects and users are: `embedded` is the database of the data folder, the others are an Appwrite installation's. `auto` goes by the port of the database named below, and is `embedded` if none is.",
    ),
    setting(
        "database.host",
        &["REALTIME_DATABASE_HOST", "_APP_DB_HOST"],
        "",
        Kind::Text,
        "Host of the installation's database. With none, the name of the engine.",
    ),
    setting(
        "database.port",
        &["REALTIME_DATABASE_PORT", "_APP_DB_PORT"],
        "auto",
        Kind::Text,
        "Port of the installation's database. `auto` is the usual one of the engine.",
    ),
    setting(
        "database.schema",
        &["REALTIME_DATABASE_SCHEMA", "_APP_DB_SCHEMA"],
        "appwrite",
        Kind::Text,
        "MariaDB: the schema that Appwrite's tables are in, up to 1.8. PostgreSQL: the database.",
    ),
    setting(
        "database.user",
        &["REALTIME_DATABASE_USER", "_APP_DB_USER"],
        "",
        Kind::Text,
        "User of the installation's database. Reading is enough.",
    ),
    setting(
        "database.password",
        &["REALTIME_DATABASE_PASSWORD", "_APP_DB_PASS"],
        "",
        Kind::Secret,
        "Its password.",
    ),
    setting(
        "database.tls",
        &["REALTIME_DATABASE_TLS"],
        "prefer",
        Kind::Choice(&["off", "prefer", "require", "verify"]),
        "Whether the link to the installation's database is encrypted: never, if the database offers it, always, or always and only with a database whose certificate is good for its host.",
    ),
    setting(
        "database.certificates",
        &["REALTIME_DATABASE_CERTIFICATES"],
        "",
        Kind::Text,
        "File with the certificate authorities (PEM) for `verify`, in place of the public ones.",
    ),
    setting(
        "database.connections",
        &["REALTIME_DATABASE_CONNECTIONS", "_APP_POOL_CLIENTS"],
        "14",
        Kind::Number,
        "Connections to the installation's database, at most; look-ups beyond it wait.",
    ),
    setting(
        "database.timeout",
        &["REALTIME_DATABASE_TIMEOUT"],
        "5s",
        Kind::Duration,
        "How long the installation's database may take to answer.",
    ),
    setting(
        "database.shared_tables",
        &["REALTIME_DATABASE_SHARED_TABLES", "_APP_DATABASE_SHARED_TABLES"],
        "",
        Kind::List,
        "Pools whose projects share tables.",
    ),
    setting(
        "bus",
        &["REALTIME_BUS"],
        "auto",
        Kind::Choice(&["auto", "memory", "redis", "nats"]),
        "Where events come from: `memory` is this process alone, `redis` is Appwrite's pub/sub, `nats` is NATS. `auto` is NATS if `nats.url` is set, else Redis if one is named.",
    ),
    setting(
        "redis.url",
        &["REALTIME_REDIS_URL", "_APP_CONNECTIONS_PUBSUB"],
        "",
        Kind::Secret,
        "Redis as `redis://user:password@host:6379`, or `rediss://` for TLS. Beats host, port, user and password below.",
    ),
    setting(
        "redis.sentinels",
        &["REALTIME_REDIS_SENTINELS"],
        "",
        Kind::List,
        "Redis as the master that these sentinels name, each `host:port`. Beats `redis.url` and `redis.host`.",
    ),
    setting(
        "redis.sentinel_master",
        &["REALTIME_REDIS_SENTINEL_MASTER"],
        "mymaster",
        Kind::Text,
        "What the sentinels call the master.",
    ),
    setting(
        "redis.sentinel_user",
        &["REALTIME_REDIS_SENTINEL_USER"],
        "",
        Kind::Text,
        "User of the sentinels, if they have any.",
    ),
    setting(
        "redis.sentinel_password",
        &["REALTIME_REDIS_SENTINEL_PASSWORD"],
        "",
        Kind::Secret,
        "Password of the sentinels; that of the master is `redis.password`.",
    ),
    setting(
        "redis.cluster",
        &["REALTIME_REDIS_CLUSTER"],
        "",
        Kind::List,
        "Redis as a cluster: some of its servers, each `host:port`. Beats `redis.url` and `redis.host`.",
    ),
    setting(
        "redis.sharded",
        &["REALTIME_REDIS_SHARDED"],
        "false",
        Kind::Switch,
        "Whether events go over the cluster's sharded pub/sub (Redis 7). Appwrite does not publish there.",
    ),
    setting("redis.host", &["REALTIME_REDIS_HOST", "_APP_REDIS_HOST"], "", Kind::Text, "Host of Redis."),
    setting(
        "redis.port",
        &["REALTIME_REDIS_PORT", "_APP_REDIS_PORT"],
        "6379",
        Kind::Number,
        "Port of Redis.",
    ),
    setting(
        "redis.user",
        &["REALTIME_REDIS_USER", "_APP_REDIS_USER"],
        "",
        Kind::Text,
        "User of Redis. As Appwrite sends the password alone, the user is named only if that is refused.",
    ),
    setting(
        "redis.password",
        &["REALTIME_REDIS_PASSWORD", "_APP_REDIS_PASS"],
        "",
        Kind::Secret,
        "Password of Redis.",
    ),
    setting(
        "redis.tls",
        &["REALTIME_REDIS_TLS"],
        "false",
        Kind::Switch,
        "Whether to speak TLS with `redis.host`, sentinels and clusters. `redis.url` says it for itself.",
    ),
    setting(
        "redis.durable",
        &["REALTIME_REDIS_DURABLE"],
        "off",
        Kind::Choice(&["off", "stream", "bridge"]),
        "Whether events are kept in a Redis stream, so that they outlive restarts: `stream` is that alone, `bridge` also puts there what comes over pub/sub, as from Appwrite.",
    ),
    setting(
        "redis.durable_events",
        &["REALTIME_REDIS_DURABLE_EVENTS"],
        "200000",
        Kind::Number,
        "Events kept in the stream at most, of all projects together. Those older than `resume.window` are dropped, too.",
    ),
    setting(
        "redis.backlog_messages",
        &["REALTIME_REDIS_BACKLOG_MESSAGES"],
        "100000",
        Kind::Number,
        "Messages from Redis that may wait while the server is behind. Beyond it they are dropped, and clients are told of the gap.",
    ),
    setting(
        "redis.backlog_bytes",
        &["REALTIME_REDIS_BACKLOG_BYTES"],
        "67108864",
        Kind::Number,
        "The same in bytes.",
    ),
    setting(
        "redis.certificates",
        &["REALTIME_REDIS_CERTIFICATES"],
        "",
        Kind::Text,
        "File with the certificate authorities (PEM) of a Redis with TLS, in place of the public ones.",
    ),
    setting(
        "nats.url",
        &["REALTIME_NATS_URL"],
        "",
        Kind::Secret,
        "NATS as `nats://host:4222`, or `tls://` for TLS; several servers of a cluster separated by commas. It may hold user and password.",
    ),
    setting("nats.user", &["REALTIME_NATS_USER"], "", Kind::Text, "User of NATS."),
    setting("nats.password", &["REALTIME_NATS_PASSWORD"], "", Kind::Secret, "Password of that user."),
    setting("nats.token", &["REALTIME_NATS_TOKEN"], "", Kind::Secret, "Token of NATS, in place of a user."),
    setting(
        "nats.nkey",
        &["REALTIME_NATS_NKEY"],
        "",
        Kind::Secret,
        "Seed of an NKEY of NATS, in place of a user; it begins with `SU`.",
    ),
    setting(
        "nats.credentials",
        &["REALTIME_NATS_CREDENTIALS"],
        "",
        Kind::Text,
        "File with a JWT and the seed of its NKEY (`.creds`), in place of a user.",
    ),
    setting(
        "nats.certificates",
        &["REALTIME_NATS_CERTIFICATES"],
        "",
        Kind::Text,
        "File with the certificate authorities (PEM) of a NATS with TLS, in place of the system's.",
    ),
    setting(
        "nats.subject",
        &["REALTIME_NATS_SUBJECT"],
        "realtime",
        Kind::Text,
        "Subject of NATS that events are published on; what is below it (`realtime.>`) is used too.",
    ),
    setting(
        "nats.durable",
        &["REALTIME_NATS_DURABLE"],
        "false",
        Kind::Switch,
        "Whether a JetStream stream keeps events, so that those who were away get them even if every server was restarted meanwhile.",
    ),
    setting(
        "nats.stream",
        &["REALTIME_NATS_STREAM"],
        "realtime",
        Kind::Text,
        "Name of that stream. It is made if it is not there; one that is there is used as it is.",
    ),
    setting(
        "nats.max_age",
        &["REALTIME_NATS_MAX_AGE"],
        "auto",
        Kind::Text,
        "How long a stream that is made keeps events. `auto` is an hour, or `resume.window` if that is longer.",
    ),
    setting(
        "nats.max_bytes",
        &["REALTIME_NATS_MAX_BYTES"],
        "1073741824",
        Kind::Number,
        "How many bytes a stream that is made keeps; the oldest give way.",
    ),
    setting(
        "nats.replicas",
        &["REALTIME_NATS_REPLICAS"],
        "1",
        Kind::Number,
        "Servers of a cluster that keep a copy of what is made.",
    ),
    setting(
        "users.refuse_blocked",
        &["REALTIME_USERS_REFUSE_BLOCKED"],
        "true",
        Kind::Switch,
        "Refuse blocked users. Appwrite lets them in.",
    ),
    setting(
        "users.admin_needs_membership",
        &["REALTIME_USERS_ADMIN_NEEDS_MEMBERSHIP"],
        "true",
        Kind::Switch,
        "Whether `mode=admin` needs membership of the team that owns the project. Appwrite lets every console user in.",
    ),
    setting(
        "users.outage",
        &["REALTIME_USERS_OUTAGE"],
        "30s",
        Kind::Duration,
        "How long the database may be away while a user's roles are read again. The user's events wait so long; then its connections are closed with a code that says to come back.",
    ),
    setting(
        "users.reread",
        &["REALTIME_USERS_REREAD"],
        "5m",
        Kind::Duration,
        "How often users who are connected are read again, spread over this time, for changes that no event told of, such as a user blocked by hand in the database or a member removed from a team of the console. 0s is never.",
    ),
    setting(
        "jwt.hs256_secret",
        &["REALTIME_JWT_HS256_SECRET"],
        "",
        Kind::Secret,
        "Shared secret of a backend that issues JWTs for its own users; at least 32 bytes.",
    ),
    setting(
        "jwt.public_keys",
        &["REALTIME_JWT_PUBLIC_KEYS"],
        "",
        Kind::List,
        "Files with public keys (PEM) of such backends: RSA, P-256 or Ed25519.",
    ),
    setting(
        "jwt.key_set",
        &["REALTIME_JWT_KEY_SET"],
        "",
        Kind::Text,
        "File with such keys as a JSON Web Key Set; read again when it changes.",
    ),
    setting(
        "jwt.audiences",
        &["REALTIME_JWT_AUDIENCES"],
        "",
        Kind::List,
        "What an `aud` claim may name beside the project's id.",
    ),
    setting(
        "jwt.leeway",
        &["REALTIME_JWT_LEEWAY"],
        "30s",
        Kind::Duration,
        "How far a backend's clock may be off.",
    ),
    setting(
        "publish.body_bytes",
        &["REALTIME_PUBLISH_BODY_BYTES"],
        "67108864",
        Kind::Number,
        "A publish request's body.",
    ),
    setting(
        "publish.legacy_channels",
        &["REALTIME_PUBLISH_LEGACY_CHANNELS"],
        "true",
        Kind::Switch,
        "Let events published here be heard on the channel names of early Appwrite versions too (`documents.ID`).",
    ),
    setting(
        "cache.projects",
        &["REALTIME_CACHE_PROJECTS"],
        "2s",
        Kind::Duration,
        "How long what is known of a project and its custom domains is believed. 0s is not at all.",
    ),
    setting(
        "cache.identities",
        &["REALTIME_CACHE_IDENTITIES"],
        "5s",
        Kind::Duration,
        "How long it is believed that a session or JWT is a user's and which roles the user has, for those who connect again; an event that may change it ends it at once. 0s is not at all.",
    ),
    setting(
        "statistics",
        &["REALTIME_STATISTICS", "_APP_EDITION"],
        "true",
        Kind::Switch,
        "Tell the console how many connections a project has, on all servers together. Beside Appwrite this writes one row of `_console_realtime`.",
    ),
    setting(
        "log.format",
        &["REALTIME_LOG_FORMAT", "_APP_LOGGING_FORMAT"],
        "auto",
        Kind::Choice(&["auto", "pretty", "json"]),
        "`json` is one object a line; `pretty` is for people; `auto` is in colour on a terminal.",
    ),
    setting(
        "log.level",
        &["REALTIME_LOG_LEVEL"],
        "info",
        Kind::Text,
        "`off`, `error`, `warn`, `info`, `debug` (each event received and message sent) or `trace`, of this server's own doings; or by module, libraries included, as `info,realtime_server::peer=debug,sqlx=debug`.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_flags_and_variables_are_each_used_once() {
        let keys: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.key).collect();
        let flags: BTreeSet<_> = SETTINGS.iter().map(Setting::flag).collect();
        let variables: Vec<_> = SETTINGS.iter().flat_map(|setting| setting.env).collect();
        assert_eq!(keys.len(), SETTINGS.len());
        assert_eq!(flags.len(), SETTINGS.len());
        assert_eq!(variables.iter().collect::<BTreeSet<_>>().len(), variables.len());
    }

    #[test]
    fn every_setting_has_a_variable_of_our_own_named_after_its_key() {
        for setting in SETTINGS {
            let expected = format!("REALTIME_{}", setting.key.replace('.', "_").to_uppercase());
            assert_eq!(setting.env.first().copied(), Some(expected.as_str()));
            assert!(setting.help.ends_with('.') || setting.help.ends_with(')'), "{}", setting.key);
        }
    }
}
