//! Text that must never be printed: session tokens, JWTs, API keys.

use std::fmt;
use std::sync::Arc;

/// A credential as the client sent it. `Debug` hides it and there is no `Display`; [`Secret::expose`] is the one way
/// to the text, easy to find in review.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a credential.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    /// The credential itself, for verification only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
