//! The time without a link to Redis, and what has been said of it.

use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

/// The longest pause before the first attempt to come back; it doubles with each one that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two attempts: within 2 s of its coming back, Redis is to be found again.
const LONGEST_PAUSE: Duration = Duration::from_millis(1_500);

/// What was missed while there was no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missed {
    /// Whatever was published meanwhile.
    Some,
    /// Nothing: Redis kept it.
    None,
    /// What no other node has heard.
    Unheard,
}

/// The time without a link, of one kind.
#[derive(Debug)]
pub(super) struct Outage {
    /// What the link brings.
    what: &'static str,
    since: Option<Instant>,
    /// The server that the last link was with, if ever there was one.
    server: Option<String>,
    attempts: u32,
    told: String,
}

impl Outage {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, since: None, server: None, attempts: 0, told: String::new() }
    }

    /// The server that the last link was with, if ever there was one.
    pub(super) fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// It goes on: tells of it if there is something new to tell, and says how long to wait.
    pub(super) fn go_on(&mut self, place: &str, reason: &str) -> Duration {
        self.since.get_or_insert_with(Instant::now);
        if self.told == reason {
            debug!(place, reason, attempts = self.attempts, "Redis still cannot be reached");
        } else {
            error!(place, reason, "cannot receive {}; trying again. {}", self.what, advice(reason));
            reason.clone_into(&mut self.told);
        }
        let longest = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(10)).min(LONGEST_PAUSE);
        self.attempts += 1;
        // Nodes that lost the same Redis do not all come back at once.
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// There is a link again, with this server.
    pub(super) fn end(&mut self, place: &str, server: &str, missed: Missed) {
        let (what, away) = (self.what, self.since.map(|since| since.elapsed()).unwrap_or_default());
        let (before, other) = match &self.server {
            None => (None, ""),
            Some(before) if before == server => (Some(before), ""),
            Some(before) => (Some(before), ", from another server"),
        };
        match (before, missed) {
            (None, _) => info!(place, server, "receiving {what}"),
            (Some(before), Missed::Some) => warn!(
                place,
                server,
                before,
                missing = ?away,
                "receiving {what} again{other}; those published meanwhile are lost"
            ),
            (Some(before), Missed::None) => {
                info!(place, server, before, ?away, "receiving {what} again{other}; none is lost");
            }
            (Some(before), Missed::Unheard) => info!(
                place,
                server,
                before,
                ?away,
                "receiving {what} again{other}; those that no server heard meanwhile are lost"
            ),
        }
        self.since = None;
        self.server = Some(server.to_owned());
        self.attempts = 0;
        self.told = String::new();
    }
}

fn advice(reason: &str) -> &'static str {
    let reason = reason.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if says(&["certificaterequired", "certificate required"]) {
        "Redis wants a certificate of its clients, which is not sent: set its tls-auth-clients to no or optional"
    } else if says(&["certificate"]) {
        "Check that redis.certificates has who vouches for Redis, and that its certificate is for the name or address by \
         which it is reached; servers of a cluster and of sentinels are reached by what they call themselves"
    } else if says(&["auth", "wrongpass", "noperm", "invalid username-password"]) {
        "Check redis.user and redis.password (_APP_REDIS_USER, _APP_REDIS_PASS)"
    } else if says(&["sentinel"]) {
        "Check redis.sentinels, redis.sentinel_master and redis.sentinel_password, and that the sentinels know a master \
         that is up"
    } else if says(&["hello", "noproto"]) {
        "Redis 6 or newer is needed"
    } else {
        "Check redis.host and redis.port (_APP_REDIS_HOST, _APP_REDIS_PORT), that Redis runs there, and redis.tls (or \
         rediss:// in redis.url): whether it speaks TLS"
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn advice_is_for_what_went_wrong() {
        for (reason, word) in [
            ("received fatal alert: CertificateRequired", "tls-auth-clients"),
            ("invalid peer certificate: UnknownIssuer", "redis.certificates"),
            ("invalid peer certificate: certificate not valid for name \"redis\"", "is reached"),
            ("WRONGPASS: invalid username-password pair or user is disabled.", "redis.password"),
            ("no sentinel answered", "redis.sentinel_master"),
            ("unknown command 'HELLO'", "Redis 6"),
            ("Connection refused (os error 111)", "redis.host"),
        ] {
            assert!(advice(reason).contains(word), "{reason}: {}", advice(reason));
        }
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut outage = Outage::new("events from Redis");
        let pauses: Vec<Duration> = (0..40).map(|_| outage.go_on("redis:6379", "refused")).collect();
        assert!(*pauses.first().unwrap() <= FIRST_PAUSE);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
        assert!(*pauses.last().unwrap() >= LONGEST_PAUSE / 2);
    }
}
