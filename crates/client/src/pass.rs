//! The credential that a session shows, and when it needs a fresh one.

use std::time::{Duration, Instant};

use crate::credential::Credential;

/// A token is renewed this long before its end, or in the last quarter of a short life.
const MARGIN: Duration = Duration::from_secs(60);
/// A provider is not asked more often than this, also if its tokens have ended before they are given.
const RENEW_AT_MOST_EVERY: Duration = Duration::from_secs(5);
/// After refusals in a row a provider is asked more and more slowly, up to this.
const RENEW_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// The credential that a session shows.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    /// Whether somebody can be asked for a fresh one.
    provided: bool,
    credential: Option<Credential>,
    /// Counts credentials, so that a connection knows whether it has shown the latest.
    generation: u64,
    ends: Option<Instant>,
    renew_at: Option<Instant>,
    /// The server did not accept it.
    refused: bool,
    /// So many in a row.
    refusals: u32,
    /// The application wants nobody to be shown, and nobody to be asked.
    guest: bool,
    /// A fresh one has been asked for and is awaited until then.
    awaited_until: Option<Instant>,
}

impl Pass {
    pub(crate) fn new(provided: bool) -> Self {
        Self { provided, ..Self::default() }
    }

    /// A new credential, or none any more.
    pub(crate) fn hold(&mut self, credential: Option<Credential>, lasts: Option<Duration>, now: Instant) {
        self.guest = credential.is_none();
        self.credential = credential;
        self.generation += 1;
        self.refused = false;
        self.awaited_until = None;
        self.ends = lasts.and_then(|lasts| now.checked_add(lasts));
        self.renew_at = lasts
            .map(|lasts| lasts - MARGIN.min(lasts / 4))
            .and_then(|renew| now.checked_add(renew.max(RENEW_AT_MOST_EVERY)))
            .filter(|_| self.provided);
    }

    /// The provider had none.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.awaited_until = None;
        self.renew_at = Some(now + RENEW_AT_MOST_EVERY).filter(|_| self.provided);
    }

    /// The server refused what was shown in this generation.
    pub(crate) fn refused(&mut self, generation: Option<u64>, now: Instant) {
        if generation == Some(self.generation) {
            self.refused = true;
            let wait = RENEW_AT_MOST_EVERY.saturating_mul(1 << self.refusals.min(9));
            self.refusals = self.refusals.saturating_add(1);
            self.renew_at = Some(now + wait.min(RENEW_AT_LEAST_EVERY)).filter(|_| self.can_ask());
        }
    }

    /// The server accepted what was shown.
    pub(crate) fn accepted(&mut self) {
        self.refusals = 0;
    }

    fn can_ask(&self) -> bool {
        self.provided && !self.guest
    }

    /// Whether to connect only after a fresh one has come.
    pub(crate) fn is_needed(&self, now: Instant) -> bool {
        let useless = self.credential.is_none() || self.refused || self.ends.is_some_and(|ends| ends <= now);
        self.can_ask() && useless
    }

    /// Whether a fresh one can be had after a refusal of what was shown in this generation.
    pub(crate) fn can_be_better_than(&self, generation: Option<u64>) -> bool {
        self.can_ask() || (Some(self.generation) != generation && self.credential.is_some())
    }

    /// Whether it is time to ask for a fresh one.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.awaited_until.is_none() && self.renew_at.is_some_and(|due| due <= now)
    }

    /// A fresh one has been asked for.
    pub(crate) fn await_until(&mut self, until: Instant) {
        self.awaited_until = Some(until);
    }

    /// Whether a fresh one has been asked for and has not come in time.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.awaited_until.is_some_and(|until| until <= now)
    }

    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited_until.is_some()
    }

    /// When something of this is due, on a connection or (`live` is false) without one.
    pub(crate) fn deadline(&self, live: bool) -> Option<Instant> {
        self.awaited_until.or(self.renew_at.filter(|_| live))
    }

    pub(crate) fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}
