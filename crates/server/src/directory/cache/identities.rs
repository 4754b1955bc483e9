//! Who showed which credentials a moment ago, and which of it is still to be believed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use realtime_core::event::Holder;
use realtime_core::id::ProjectId;
use realtime_core::identity::{Credential, Credentials, Identity};
use realtime_core::project::Project;
use realtime_core::secret::Secret;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::directory::clock::Clock;
use crate::directory::{DirectoryError, Lookup, Signal};

/// Remembers users by what they showed, for a while, and looks each up once however many show the same at once.
///
/// Only what a bus tells the end of is remembered, and only while the bus is heard. What was looked up before a user
/// changed is not believed after it, also if the answer comes later; no more than what was looked up before a moment in
/// which changes may have been missed. A change that is told of nowhere is noticed when the time is over.
pub(super) struct Identities {
    keeps: SignedDuration,
    clock: Arc<dyn Clock>,
    /// Drawn at start, so that nobody can tell from a fingerprint what was shown.
    salt: [u8; 32],
    memory: Mutex<Memory>,
}

/// Stands for what somebody showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

#[derive(Debug, Default)]
struct Memory {
    /// Whether changes are told of at the moment.
    hears: bool,
    /// Changes so far.
    count: u64,
    look_ups: HashMap<Fingerprint, LookUp>,
    /// The last change of users, and of teams that are no more, by the count.
    changes: HashMap<(ProjectId, Holder), (u64, Timestamp)>,
    /// When what is too old is next forgotten.
    tidy_at: Option<Timestamp>,
}

/// A look-up that is done or under way.
#[derive(Debug, Clone)]
struct LookUp {
    began: Timestamp,
    /// The count of changes when it began.
    count: u64,
    answer: Arc<OnceCell<Answer>>,
}

type Answer = Result<Identity, DirectoryError>;

/// Where to find an answer.
enum Place {
    Known(Identity),
    Joined(LookUp),
    Nowhere,
}

/// Identities remembered at most, those of connections for the most part, which share the memory. Those beyond are looked
/// up each time.
const MAX_IDENTITIES: usize = 100_000;
/// Changes remembered at most. With one more, everything is forgotten instead.
const MAX_CHANGES: usize = 100_000;

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities").field("keeps", &self.keeps).finish_non_exhaustive()
    }
}

impl Identities {
    /// Remembers identities for as long as `keeps`, from the first [`Signal::Hears`] on.
    pub(super) fn new(keeps: SignedDuration, clock: Arc<dyn Clock>) -> Self {
        Self { keeps, clock, salt: rand::random(), memory: Mutex::default() }
    }

    /// What stands for what was shown; `None` if who showed it must not be remembered. Keys and users of the console are
    /// withdrawn without a word on the bus, and whom somebody acts as is two users.
    pub(super) fn fingerprint(&self, project: &Project, shown: &Credentials) -> Option<Fingerprint> {
        let Credentials { sessions, jwt, account_key, dev_key, admin, impersonate } = shown;
        let is_more = account_key.is_some() || dev_key.is_some() || *admin || impersonate.is_some();
        if is_more || (sessions.is_empty() && jwt.is_none()) {
            return None;
        }
        self.fingerprint_of(project, sessions, jwt.as_ref())
    }

    /// The same of what was shown in a message.
    pub(super) fn fingerprint_of_one(&self, project: &Project, shown: &Credential) -> Option<Fingerprint> {
        match shown {
            Credential::Session(token) => self.fingerprint_of(project, std::slice::from_ref(token), None),
            Credential::Jwt(jwt) => self.fingerprint_of(project, &[], Some(jwt)),
        }
    }

    fn fingerprint_of(
        &self,
        project: &Project,
        sessions: &[Secret],
        jwt: Option<&Secret>,
    ) -> Option<Fingerprint> {
        if project.id.is_console() {
            return None;
        }
        let mut hash = Sha256::new_with_prefix(self.salt);
        let mut add = |text: &str| {
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        };
        add(project.id.as_str());
        add(&project.sequence);
        add(jwt.map_or("", Secret::expose));
        sessions.iter().for_each(|token| add(token.expose()));
        Some(Fingerprint(hash.finalize().into()))
    }

    /// Who showed this, as remembered or else as `ask` says. Others are told of a user who was found, and of a directory
    /// that is away; for whoever else shows the same it is asked again.
    pub(super) async fn find<'a>(
        &self,
        project: &ProjectId,
        shown: Fingerprint,
        ask: impl Fn() -> Lookup<'a, Identity>,
    ) -> Answer {
        let look_up = match self.place(project, shown) {
            Place::Known(identity) => return Ok(identity),
            Place::Joined(look_up) => look_up,
            Place::Nowhere => return ask().await,
        };
        let mut is_own = false;
        // Should whoever looks it up give up, one of those who wait goes on.
        let answer = look_up.answer.get_or_init(|| {
            is_own = true;
            ask()
        });
        let answer = answer.await;
        if is_own {
            if !answer.as_ref().is_ok_and(may_be_remembered) {
                self.forget(shown, &look_up);
            }
            return answer.clone();
        }
        if let Err(DirectoryError::Unavailable { .. }) = answer {
            return answer.clone();
        }
        match self.believed(project, shown, &look_up) {
            Some(identity) => Ok(identity),
            None => ask().await,
        }
    }

    /// Something happened that ends what is remembered.
    pub(super) fn signal(&self, signal: Signal<'_>) {
        let now = self.clock.now();
        let mut memory = self.lock();
        memory.count += 1;
        match signal {
            Signal::Hears(hears) => {
                memory.forget_all();
                memory.hears = hears;
            }
            Signal::Changed(project, holder) => {
                self.tidy(&mut memory, now);
                if memory.changes.len() >= MAX_CHANGES {
                    memory.forget_all();
                }
                let count = memory.count;
                memory.changes.insert((project.clone(), bare(holder)), (count, now));
            }
        }
    }

    /// What is known, or the look-up to take part in.
    fn place(&self, project: &ProjectId, shown: Fingerprint) -> Place {
        let now = self.clock.now();
        let mut memory = self.lock();
        if !memory.hears {
            return Place::Nowhere;
        }
        if let Some(look_up) = memory.look_ups.get(&shown).filter(|look_up| self.is_fresh(look_up.began, now))
        {
            if !look_up.answer.initialized() {
                return Place::Joined(look_up.clone());
            }
            if let Some(identity) = memory.identity(project, look_up, now) {
                return Place::Known(identity);
            }
        }
        self.tidy(&mut memory, now);
        if memory.look_ups.len() >= MAX_IDENTITIES {
            return Place::Nowhere;
        }
        let look_up = LookUp { began: now, count: memory.count, answer: Arc::default() };
        memory.look_ups.insert(shown, look_up.clone());
        Place::Joined(look_up)
    }

    /// What a look-up found that others were waiting for, unless something has happened meanwhile.
    fn believed(&self, project: &ProjectId, shown: Fingerprint, look_up: &LookUp) -> Option<Identity> {
        let now = self.clock.now();
        let memory = self.lock();
        let is_fresh = memory.holds(shown, look_up) && self.is_fresh(look_up.began, now);
        is_fresh.then(|| memory.identity(project, look_up, now)).flatten()
    }

    /// Forgets a look-up that found nothing to remember, unless another one has taken its place.
    fn forget(&self, shown: Fingerprint, look_up: &LookUp) {
        let mut memory = self.lock();
        if memory.holds(shown, look_up) {
            memory.look_ups.remove(&shown);
        }
    }

    /// Forgets what is too old, now and then. Look-ups go no later than the changes that they began before.
    fn tidy(&self, memory: &mut Memory, now: Timestamp) {
        if memory.tidy_at.is_some_and(|at| now < at) {
            return;
        }
        memory.look_ups.retain(|_, look_up| self.is_fresh(look_up.began, now));
        // By the count too: a clock that is set back makes changes older, and no look-up that began before them.
        let oldest = memory.look_ups.values().map(|look_up| look_up.count).min();
        memory.changes.retain(|_, (count, at)| {
            now.duration_since(*at) < self.keeps || oldest.is_some_and(|oldest| *count > oldest)
        });
        memory.tidy_at = now.checked_add(self.keeps).ok();
    }

    fn is_fresh(&self, began: Timestamp, now: Timestamp) -> bool {
        let age = now.duration_since(began);
        !age.is_negative() && age < self.keeps
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn forget_all(&mut self) {
        self.look_ups.clear();
        self.changes.clear();
    }

    fn holds(&self, shown: Fingerprint, look_up: &LookUp) -> bool {
        self.look_ups.get(&shown).is_some_and(|held| Arc::ptr_eq(&held.answer, &look_up.answer))
    }

    /// Whom a look-up found, if that is somebody to believe in at this moment.
    fn identity(&self, project: &ProjectId, look_up: &LookUp, now: Timestamp) -> Option<Identity> {
        let found = look_up.answer.get()?.as_ref().ok()?;
        let account = found.account.as_deref().filter(|_| may_be_remembered(found))?;
        let of_user = (project.clone(), Holder::User(account.id.clone()));
        if self.changes.get(&of_user).is_some_and(|(count, _)| *count > look_up.count) {
            return None;
        }
        // Memberships go some time after their team: who was looked up meanwhile still has them.
        let is_of_ended_team = account.memberships.iter().any(|membership| {
            self.changes.contains_key(&(project.clone(), Holder::Team(membership.team.clone())))
        });
        if is_of_ended_team {
            return None;
        }
        let age = Duration::try_from(now.duration_since(look_up.began)).ok()?;
        let valid_for = match found.valid_for {
            Some(valid_for) => Some(valid_for.checked_sub(age).filter(|left| !left.is_zero())?),
            None => None,
        };
        Some(Identity { valid_for, ..found.clone() })
    }
}

/// Whether an answer is a user of whom a bus tells what changes.
fn may_be_remembered(identity: &Identity) -> bool {
    identity.account.is_some() && !identity.admin && identity.actor.is_none()
}

/// The holder, however it came to be one.
fn bare(holder: &Holder) -> Holder {
    match holder {
        Holder::User(user) | Holder::StoredUser(user) => Holder::User(user.clone()),
        Holder::Team(team) => Holder::Team(team.clone()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
