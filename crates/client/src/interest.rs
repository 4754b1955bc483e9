//! What a subscription listens to.

use crate::error::Error;
use crate::query::Query;

/// The longest subscription, spelled in bytes: Appwrite's server takes messages of 64,000 bytes, framing included.
pub(crate) const MAX_BYTES: usize = 60_000;

/// What a subscription listens to: any of the channels, and of their events those whose payload passes all queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    channels: Vec<String>,
    queries: Vec<String>,
}

impl Interest {
    /// Events of any of these channels.
    pub fn new<C: Into<String>>(channels: impl IntoIterator<Item = C>) -> Self {
        Self { channels: channels.into_iter().map(Into::into).collect(), queries: Vec::new() }
    }

    /// Only events whose payload passes; several queries must all be passed.
    #[must_use]
    pub fn query(mut self, query: impl Into<Query>) -> Self {
        self.queries.push(query.into().into_text());
        self
    }

    /// The channels.
    pub fn channels(&self) -> &[String] {
        &self.channels
    }

    /// The queries, spelled.
    pub fn queries(&self) -> &[String] {
        &self.queries
    }

    /// About how many bytes it takes in a message; never fewer than it really does.
    pub(crate) fn bytes(&self) -> usize {
        let texts = self.channels.iter().chain(&self.queries);
        texts
            .map(|text| text.len() + text.matches(['"', '\\']).count() + control_bytes(text) + 3)
            .sum::<usize>()
            + 200
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |why: &str| Err(Error::Interest(why.to_owned()));
        if self.channels.is_empty() {
            return wrong("name at least one channel, such as documents");
        }
        if self.channels.iter().any(String::is_empty) {
            return wrong("a channel has no name");
        }
        if self.bytes() > MAX_BYTES {
            return wrong(&format!("channels and queries together may have {MAX_BYTES} bytes; split them"));
        }
        Ok(())
    }
}

impl<C: Into<String>, I: IntoIterator<Item = C>> From<I> for Interest {
    fn from(channels: I) -> Self {
        Self::new(channels)
    }
}

/// JSON spells a control character in up to six bytes.
fn control_bytes(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_control).count() * 5
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_size_of_an_interest_is_never_underestimated(texts in prop::collection::vec(".{0,40}", 1..8)) {
            let mut interest = Interest::new(texts.clone());
            for text in &texts {
                interest = interest.query(Query::raw(text.clone()));
            }
            let spelled = serde_json::json!({
                "subscriptionId": "0".repeat(36), "since": "0".repeat(36),
                "channels": interest.channels(), "queries": interest.queries(),
            });
            prop_assert!(spelled.to_string().len() <= interest.bytes());
        }
    }

    #[test]
    fn an_interest_has_channels_and_fits_in_a_message() {
        let refused = |interest: Interest| interest.check().map_err(|error| error.to_string()).err();
        assert_eq!(refused(Interest::new(["documents"])), None);
        assert!(refused(Interest::new::<String>([])).is_some_and(|why| why.contains("at least one channel")));
        assert!(refused(Interest::new([""])).is_some_and(|why| why.contains("no name")));
        let long = Interest::new(["a".repeat(61_000)]);
        assert!(refused(long).is_some_and(|why| why.contains("60000 bytes")));
    }
}
