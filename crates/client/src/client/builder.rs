//! What a client is told before it begins.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::driver::Driver;
use super::provider::{Provider, ProviderError};
use super::{Client, link};
use crate::credential::Credential;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::session::Settings;

/// Events that wait for a subscription's reader, unless told otherwise.
const BUFFER: usize = 4_096;

/// What a client is told before it begins.
#[derive(Debug)]
#[must_use]
pub struct Builder {
    endpoint: String,
    project: String,
    credential: Option<Credential>,
    provider: Option<Provider>,
    buffer: usize,
    in_url: bool,
    longest_pause: Option<Duration>,
    certificates: Vec<Vec<u8>>,
}

impl Builder {
    pub(super) fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            project: String::new(),
            credential: None,
            provider: None,
            buffer: BUFFER,
            in_url: false,
            longest_pause: None,
            certificates: Vec::new(),
        }
    }

    /// The id of the project to listen to.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = project.into();
        self
    }

    /// Who listens; without it, a guest.
    pub fn credential(mut self, credential: Credential) -> Self {
        self.credential = Some(credential);
        self
    }

    /// Asked for a credential before connecting, again a minute before a JWT ends, and when the server no longer accepts
    /// the last one.
    ///
    /// ```no_run
    /// # use realtime_client::{Client, Credential, Error};
    /// # async fn fresh_token() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// # fn example() -> Result<Client, Error> {
    /// Client::builder("https://example.org/v1")
    ///     .project("shop")
    ///     .provider(|| async { Ok(Credential::jwt(fresh_token().await?)?) })
    ///     .build()
    /// # }
    /// ```
    pub fn provider<F, P>(mut self, provide: P) -> Self
    where
        F: Future<Output = Result<Credential, ProviderError>> + Send + 'static,
        P: Fn() -> F + Send + Sync + 'static,
    {
        self.provider = Some(Provider::new(provide));
        self
    }

    /// How many events may wait for the reader of each subscription; 4,096 if nothing is said.
    pub fn buffer(mut self, events: usize) -> Self {
        self.buffer = events.max(1);
        self
    }

    /// Names subscriptions in the URL from the beginning, for servers that are known to need it. Otherwise that is found out.
    pub fn subscriptions_in_url(mut self) -> Self {
        self.in_url = true;
        self
    }

    /// No pause before connecting again is longer; 30 s if nothing is said.
    pub fn longest_pause(mut self, pause: Duration) -> Self {
        self.longest_pause = Some(pause);
        self
    }

    /// Trusts this certificate (DER) beside those of Mozilla's list: for a server with a certificate of its own.
    pub fn root_certificate(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.certificates.push(der.into());
        self
    }

    /// Starts the client on the current tokio runtime. It connects when something is subscribed to.
    ///
    /// # Errors
    ///
    /// [`Error::Endpoint`], [`Error::Tls`], or [`Error::NoRuntime`] outside of a runtime.
    pub fn build(self) -> Result<Client, Error> {
        let mut settings = Settings::new(Endpoint::parse(&self.endpoint)?, self.project);
        settings.provides_credentials = self.provider.is_some();
        settings.in_url = self.in_url;
        settings.longest_pause = self.longest_pause.unwrap_or(settings.longest_pause);
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let tls = link::Tls::new(Arc::new(trusting(self.certificates)?));
        let (commands, obeyed) = mpsc::unbounded_channel();
        let driver = Driver::new(settings, self.buffer, tls, self.provider, self.credential, obeyed);
        runtime.spawn(driver.run());
        Ok(Client { commands })
    }
}

/// TLS that trusts Mozilla's list and these.
fn trusting(certificates: Vec<Vec<u8>>) -> Result<ClientConfig, Error> {
    let unusable = |error: rustls::Error| Error::Tls(error.to_string());
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in certificates {
        roots.add(CertificateDer::from(certificate)).map_err(unusable)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.map_err(unusable)?.with_root_certificates(roots).with_no_client_auth())
}
