//! Requests that were carried out already, so that sending one again does no harm.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use realtime_core::id::ProjectId;
use sha2::{Digest, Sha256};

/// How long an answer is kept: longer than any client keeps retrying one request.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// Answers kept, at most. Beyond it the oldest of the project that has most go first, so that no project loses its answers to
/// another one's.
const MAX_KEPT: usize = 10_000;
/// Their bytes, at most: an answer names each of the events, and a request may bring very many.
const MAX_BYTES: usize = 32 * 1024 * 1024;

type Key = (ProjectId, String);
type Fingerprint = [u8; 32];

/// What is known of a request that is about to be carried out.
#[derive(Debug)]
pub(super) enum Begun {
    /// Nothing: carry it out, then say how it went.
    New(Permit),
    /// It was carried out, with this answer.
    Done(Bytes),
    /// Another connection is carrying it out.
    UnderWay,
    /// The key came with another body before.
    Other,
}

/// Requests by project and idempotency key, in the memory of this node.
#[derive(Debug, Default)]
pub(super) struct Idempotency(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    /// Of the last request.
    number: u64,
    entries: HashMap<Key, Entry>,
    /// By project.
    shares: BTreeMap<ProjectId, Share>,
    /// Of all projects.
    kept: usize,
    /// Of all answers.
    bytes: usize,
}

/// What one project has of the memory.
#[derive(Debug, Default)]
struct Share {
    /// Keys by age.
    order: VecDeque<(Instant, String)>,
    /// Of its answers.
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    fingerprint: Fingerprint,
    number: u64,
    began: Instant,
    /// `None` while the request is under way.
    answer: Option<Bytes>,
}

/// The right to carry a request out. Dropped without an answer, the request counts as never sent.
#[derive(Debug)]
#[must_use]
pub(super) struct Permit {
    memory: Arc<Mutex<Memory>>,
    key: Key,
    number: u64,
}

impl Idempotency {
    /// Looks the request up and notes it as under way if it is new.
    pub(super) fn begin(&self, project: &ProjectId, key: &str, body: &[u8]) -> Begun {
        self.begin_at(project, key, body, Instant::now())
    }

    fn begin_at(&self, project: &ProjectId, key: &str, body: &[u8], now: Instant) -> Begun {
        let fingerprint: Fingerprint = Sha256::digest(body).into();
        let key = (project.clone(), key.to_owned());
        let mut memory = lock(&self.0);
        memory.forget_old(project, now);
        memory.make_room(now);
        match memory.entries.get(&key) {
            Some(entry) if entry.fingerprint != fingerprint => Begun::Other,
            Some(Entry { answer: Some(answer), .. }) => Begun::Done(answer.clone()),
            Some(Entry { answer: None, .. }) => Begun::UnderWay,
            None => {
                memory.number += 1;
                let number = memory.number;
                memory.entries.insert(key.clone(), Entry { fingerprint, number, began: now, answer: None });
                memory.kept += 1;
                memory.shares.entry(project.clone()).or_default().order.push_back((now, key.1.clone()));
                Begun::New(Permit { memory: Arc::clone(&self.0), key, number })
            }
        }
    }
}

impl Permit {
    /// The request was carried out, and this is the answer to give from now on.
    pub(super) fn finish(self, answer: Bytes) {
        let mut memory = lock(&self.memory);
        if let Some(entry) = memory.entries.get_mut(&self.key).filter(|entry| entry.number == self.number) {
            let length = answer.len();
            entry.answer = Some(answer);
            memory.bytes += length;
            if let Some(share) = memory.shares.get_mut(&self.key.0) {
                share.bytes += length;
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut memory = lock(&self.memory);
        // The same key may have been forgotten, and come again.
        let is_own = |entry: &Entry| entry.number == self.number && entry.answer.is_none();
        if memory.entries.get(&self.key).is_some_and(is_own) {
            memory.entries.remove(&self.key);
        }
    }
}

impl Memory {
    fn forget_old(&mut self, project: &ProjectId, now: Instant) {
        let is_old = |at: Instant| now.saturating_duration_since(at) >= KEPT_FOR;
        let oldest = |memory: &Self| Some(memory.shares.get(project)?.order.front()?.0);
        while oldest(self).is_some_and(is_old) {
            self.forget_oldest(project);
        }
    }

    fn make_room(&mut self, now: Instant) {
        if self.kept <= MAX_KEPT && self.bytes <= MAX_BYTES {
            return;
        }
        let projects: Vec<ProjectId> = self.shares.keys().cloned().collect();
        for project in projects {
            self.forget_old(&project, now);
        }
        // Some more than has to be, since all projects are looked at for it, which is not to be for every request.
        let (enough_kept, enough_bytes) = (MAX_KEPT - MAX_KEPT / 8, MAX_BYTES - MAX_BYTES / 8);
        let by_bytes = self.bytes > MAX_BYTES;
        while if by_bytes { self.bytes > enough_bytes } else { self.kept > enough_kept } {
            let size = |share: &Share| if by_bytes { share.bytes } else { share.order.len() };
            let largest = self.shares.iter().max_by_key(|(_, share)| size(share));
            let Some(project) = largest.map(|(project, _)| project.clone()) else { return };
            self.forget_oldest(&project);
        }
    }

    fn forget_oldest(&mut self, project: &ProjectId) {
        let Some(share) = self.shares.get_mut(project) else { return };
        if let Some((at, key)) = share.order.pop_front() {
            self.kept -= 1;
            let key = (project.clone(), key);
            if self.entries.get(&key).is_some_and(|entry| entry.began == at) {
                let entry = self.entries.remove(&key);
                let length = entry.and_then(|entry| entry.answer).map_or(0, |answer| answer.len());
                share.bytes -= length;
                self.bytes -= length;
            }
        }
        if share.order.is_empty() {
            self.shares.remove(project);
        }
    }
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[expect(clippy::panic, reason = "a test may panic")]
mod tests {
    use super::*;

    fn project() -> ProjectId {
        ProjectId::from("p")
    }

    fn begin_new(idempotency: &Idempotency, key: &str, now: Instant) -> Permit {
        match idempotency.begin_at(&project(), key, b"body", now) {
            Begun::New(permit) => permit,
            other @ (Begun::Done(_) | Begun::UnderWay | Begun::Other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_sent_again_gets_the_first_answer() {
        let (idempotency, now) = (Idempotency::default(), Instant::now());
        let permit = begin_new(&idempotency, "k", now);
        assert!(matches!(idempotency.begin_at(&project(), "k", b"body", now), Begun::UnderWay));
        permit.finish(Bytes::from_static(b"answer"));
        assert!(
            matches!(idempotency.begin_at(&project(), "k", b"body", now), Begun::Done(a) if a == "answer")
        );
        assert!(matches!(idempotency.begin_at(&project(), "k", b"other", now), Begun::Other));
        assert!(matches!(idempotency.begin_at(&ProjectId::from("q"), "k", b"body", now), Begun::New(_)));
    }

    #[test]
    fn a_request_that_failed_may_be_sent_again() {
        let (idempotency, now) = (Idempotency::default(), Instant::now());
        drop(begin_new(&idempotency, "k", now));
        begin_new(&idempotency, "k", now).finish(Bytes::new());
    }

    #[test]
    fn answers_are_forgotten_after_a_while_and_beyond_a_number() {
        let (idempotency, now) = (Idempotency::default(), Instant::now());
        begin_new(&idempotency, "k", now).finish(Bytes::new());
        begin_new(&idempotency, "k", now + KEPT_FOR).finish(Bytes::new());
        for number in 0..MAX_KEPT + 10 {
            begin_new(&idempotency, &number.to_string(), now + KEPT_FOR).finish(Bytes::new());
        }
        assert!(lock(&idempotency.0).entries.len() <= MAX_KEPT + 1);
    }

    #[test]
    fn a_project_with_many_requests_costs_no_other_one_its_answers() {
        let (idempotency, now) = (Idempotency::default(), Instant::now());
        begin_new(&idempotency, "k", now).finish(Bytes::from_static(b"answer"));
        let loud = ProjectId::from("loud");
        for number in 0..MAX_KEPT + 10 {
            let Begun::New(permit) = idempotency.begin_at(&loud, &number.to_string(), b"body", now) else {
                panic!("{number} is new");
            };
            permit.finish(Bytes::from_static(b"another"));
        }
        assert!(matches!(idempotency.begin_at(&project(), "k", b"body", now), Begun::Done(_)));
        assert!(matches!(idempotency.begin_at(&loud, "0", b"body", now), Begun::New(_)));
        let memory = lock(&idempotency.0);
        assert_eq!(memory.kept, memory.shares.values().map(|share| share.order.len()).sum::<usize>());
        assert!(memory.kept <= MAX_KEPT + 1);
    }

    #[test]
    fn answers_are_forgotten_beyond_a_number_of_bytes() {
        let (idempotency, now) = (Idempotency::default(), Instant::now());
        let large = Bytes::from(vec![0; MAX_BYTES / 4]);
        for number in 0..10 {
            begin_new(&idempotency, &number.to_string(), now).finish(large.clone());
            assert!(lock(&idempotency.0).bytes <= MAX_BYTES + large.len(), "the last may be over");
        }
        assert!(matches!(idempotency.begin_at(&project(), "9", b"body", now), Begun::Done(_)));
        let bytes = lock(&idempotency.0).bytes;
        assert!((MAX_BYTES / 2..=MAX_BYTES).contains(&bytes), "{bytes}");
    }
}
