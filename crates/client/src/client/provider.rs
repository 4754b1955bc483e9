//! Whoever is asked for a fresh credential.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::credential::Credential;

/// Why a provider has no credential: any error.
pub type ProviderError = Box<dyn std::error::Error + Send + Sync>;

type Provided = Pin<Box<dyn Future<Output = Result<Credential, ProviderError>> + Send>>;

/// Whoever is asked for a fresh credential.
#[derive(Clone)]
pub(super) struct Provider(Arc<dyn Fn() -> Provided + Send + Sync>);

impl Provider {
    pub(super) fn new<F, P>(provide: P) -> Self
    where
        F: Future<Output = Result<Credential, ProviderError>> + Send + 'static,
        P: Fn() -> F + Send + Sync + 'static,
    {
        Self(Arc::new(move || Box::pin(provide())))
    }

    pub(super) fn provide(&self) -> Provided {
        (self.0)()
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}
