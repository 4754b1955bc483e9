//! Where Redis is and how it lets us in, as operators say it.

use std::path::PathBuf;
use std::time::Duration;

use realtime_core::secret::Secret;
use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError, TlsCertificates,
};

/// Where Redis is, how it lets us in, and how much of it may wait.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it is.
    pub place: Place,
    /// Name of an ACL user; used only where the password alone is refused, as Appwrite sends the password alone.
    pub user: String,
    /// Password; empty is none.
    pub password: Option<Secret>,
    /// Whether to speak TLS. A URL says it for itself.
    pub tls: bool,
    /// A file with the certificate authorities (PEM) that Redis's certificate is checked against, in place of the
    /// public ones.
    pub certificates: Option<PathBuf>,
    /// How much may wait while the node is behind.
    pub backlog: Bounds,
    /// How events outlive their being published, if they do.
    pub durable: Option<Durable>,
}

/// How events are kept in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable {
    /// Whether what comes over pub/sub is put there, and what is put there over HTTP is published on pub/sub, too.
    pub is_bridged: bool,
    /// For how long somebody may come back for an event.
    pub window: Duration,
    /// Events that are kept at most, of all projects together.
    pub entries: usize,
}

/// Where Redis is.
#[derive(Debug, Clone)]
pub enum Place {
    /// `redis://` or `rediss://` (TLS), with user and password if need be.
    Url(Secret),
    /// One server.
    Server {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// The master that sentinels name.
    Sentinels {
        /// Where they are, each `host:port`.
        addresses: Vec<String>,
        /// What they call the master.
        master: String,
        /// Name of an ACL user of theirs; empty is none.
        user: String,
        /// Their password.
        password: Option<Secret>,
    },
    /// A cluster.
    Cluster {
        /// Some of its servers, each `host:port`; the others are found by them.
        addresses: Vec<String>,
        /// Whether events go over sharded pub/sub, which Appwrite does not.
        is_sharded: bool,
    },
}

/// How many messages, and of how many bytes, may wait until they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Messages.
    pub messages: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// Why settings of Redis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RedisSettingsError {
    /// The URL. It is not shown, for it may hold a password.
    #[error("`redis.url` cannot be used: {0}; it looks like redis://user:password@host:6379")]
    Url(String),
    /// An address of a sentinel or of a cluster's server.
    #[error(
        "`{0}` is not where a server listens; `redis.sentinels` and `redis.cluster` look like host:port,host:port"
    )]
    Address(String),
    /// A client of the library could not be made.
    #[error("Redis cannot be used as it is set up: {0}; mend the settings that begin with `redis.`")]
    Client(String),
    /// The file of certificates.
    #[error("cannot read the certificates {}: {source}; mend the setting `redis.certificates`", .path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Certificates for a link that is not encrypted.
    #[error(
        "`redis.certificates` are for TLS, which is off; begin `redis.url` (_APP_CONNECTIONS_PUBSUB) with rediss://, or set \
         `redis.tls` where there is no URL"
    )]
    CertificatesWithoutTls,
    /// A link that is to be encrypted, by a URL that says otherwise.
    #[error(
        "`redis.tls` is set, but `redis.url` (_APP_CONNECTIONS_PUBSUB) does not begin with rediss://, which it has to for TLS"
    )]
    UrlWithoutTls,
}

impl Settings {
    /// What the certificate of a server is checked against, if not the public authorities.
    pub(super) fn authorities(&self) -> Result<Option<TlsCertificates>, RedisSettingsError> {
        let Some(path) = &self.certificates else { return Ok(None) };
        let root_cert = std::fs::read(path)
            .map_err(|source| RedisSettingsError::Certificates { path: path.clone(), source })?;
        Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) }))
    }

    /// The ways to sign in, in the order to try them: Appwrite signs in with the password alone even where a user is
    /// named, so that comes first.
    pub(super) fn ways(&self) -> Vec<RedisConnectionInfo> {
        let Some(password) = &self.password else { return vec![RedisConnectionInfo::default()] };
        let alone = RedisConnectionInfo::default().set_password(password.expose());
        if self.user.is_empty() { vec![alone] } else { vec![alone.clone(), alone.set_username(&self.user)] }
    }

    /// Where a server is, by host and port.
    pub(super) fn address(&self, host: &str, port: u16) -> ConnectionAddr {
        let host = host.to_owned();
        if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    /// Where servers are that are written `host:port`.
    pub(super) fn addresses(&self, written: &[String]) -> Result<Vec<ConnectionAddr>, RedisSettingsError> {
        let read = |written: &String| {
            let (host, port) = split(written).ok_or_else(|| RedisSettingsError::Address(written.clone()))?;
            Ok(self.address(host, port))
        };
        written.iter().map(read).collect()
    }
}

/// Host and port of `host:port`; an IPv6 address stands in brackets, or is what Redis writes before the last colon.
pub(super) fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host, port.parse().ok()?)).filter(|(host, _)| !host.is_empty())
}

/// What a URL says.
pub(super) fn from_url(url: &Secret) -> Result<ConnectionInfo, RedisSettingsError> {
    // Appwrite 1.5 writes `name=redis://…`.
    let text = url.expose();
    let url = match text.split_once('=') {
        Some((name, url)) if !name.contains(':') => url,
        Some(_) | None => text,
    };
    url.into_connection_info().map_err(|error: RedisError| RedisSettingsError::Url(error.to_string()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::topology::Topology;
    use super::*;

    fn settings(user: &str, password: Option<&str>) -> Settings {
        Settings {
            place: Place::Server { host: "redis".to_owned(), port: 6379 },
            user: user.to_owned(),
            password: password.map(Secret::new),
            tls: false,
            certificates: None,
            backlog: Bounds { messages: 1, bytes: 1 },
            durable: None,
        }
    }

    #[test]
    fn the_password_alone_is_tried_before_the_user() {
        let ways = settings("realtime", Some("pass")).ways();
        let users: Vec<_> = ways.iter().map(RedisConnectionInfo::username).collect();
        assert_eq!(users, [None, Some("realtime")]);
        assert_eq!(settings("realtime", None).ways().len(), 1);
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
    fn an_address_has_a_host_and_a_port() {
        assert_eq!(split("redis-1:26379"), Some(("redis-1", 26_379)));
        assert_eq!(split("[::1]:7000"), Some(("::1", 7_000)));
        assert_eq!(split("::1:7000"), Some(("::1", 7_000)));
        for wrong in ["", "redis", ":7000", "redis:", "redis:70000", "redis:x"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
        let error = settings("", None).addresses(&["redis".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`redis`") && error.contains("host:port"), "{error}");
    }

    #[test]
    fn certificates_without_tls_are_refused_rather_than_left_unused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let certificates = Some(file.path().to_owned());
        let addresses = vec!["redis:6379".to_owned()];
        for place in [
            Place::Url(Secret::new("redis://redis:6379")),
            Place::Server { host: "redis".to_owned(), port: 6379 },
            Place::Sentinels {
                addresses: addresses.clone(),
                master: "events".to_owned(),
                user: String::new(),
                password: None,
            },
            Place::Cluster { addresses, is_sharded: false },
        ] {
            let settings = Settings { place, certificates: certificates.clone(), ..settings("", None) };
            let refused = Topology::new(&settings).unwrap_err();
            assert!(matches!(refused, RedisSettingsError::CertificatesWithoutTls), "{settings:?}: {refused}");
        }
    }

    #[test]
    fn tls_is_refused_where_a_url_says_otherwise() {
        let settings = |url: &str| {
            let place = Place::Url(Secret::new(url));
            Settings { place, tls: true, ..settings("", None) }
        };
        let refused = Topology::new(&settings("redis://redis:6379")).unwrap_err();
        assert!(matches!(refused, RedisSettingsError::UrlWithoutTls), "{refused}");
        assert!(Topology::new(&settings("rediss://redis:6379")).is_ok());
    }
}
