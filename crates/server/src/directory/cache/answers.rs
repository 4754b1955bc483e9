//! Answers that are believed for a while, whoever asks.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::OnceCell;

use crate::directory::clock::Clock;
use crate::directory::{DirectoryError, Lookup};

/// Remembers what was answered to each question, and asks it once however many want to know at the same time. Failures are
/// not remembered.
#[derive(Debug)]
pub(super) struct Answers<Q, A> {
    keeps: SignedDuration,
    clock: Arc<dyn Clock>,
    entries: Mutex<HashMap<Q, Entry<A>>>,
}

/// A question that is answered or under way.
#[derive(Debug)]
struct Entry<A> {
    began: Timestamp,
    answer: Arc<OnceCell<Result<A, DirectoryError>>>,
}

/// Answers remembered at most. Clients may ask for what does not exist; what is beyond is asked each time.
pub(super) const MAX_ANSWERS: usize = 10_000;

impl<A> Clone for Entry<A> {
    fn clone(&self) -> Self {
        Self { began: self.began, answer: Arc::clone(&self.answer) }
    }
}

impl<Q: Clone + Eq + Hash + Debug, A: Clone> Answers<Q, A> {
    /// Remembers for as long as `keeps`; zero is not at all.
    pub(super) fn new(keeps: SignedDuration, clock: Arc<dyn Clock>) -> Self {
        Self { keeps, clock, entries: Mutex::default() }
    }

    /// Forgets an answer. Who asks from now on gets what is true from now on.
    pub(super) fn forget(&self, question: &Q) {
        self.lock().remove(question);
    }

    /// The answer that is remembered, or that `ask` gives.
    pub(super) async fn find<'a>(
        &self,
        question: &Q,
        ask: impl Fn() -> Lookup<'a, A>,
    ) -> Result<A, DirectoryError> {
        let Some(entry) = self.entry(question) else { return ask().await };
        // Should whoever asks give up, one of those who wait goes on.
        let answer = entry.answer.get_or_init(&ask).await;
        if answer.is_err() {
            self.forget_failed(question, &entry);
        }
        answer.clone()
    }

    /// Where to wait for the answer; `None` if no more can be remembered.
    fn entry(&self, question: &Q) -> Option<Entry<A>> {
        if self.keeps.is_zero() {
            return None;
        }
        let now = self.clock.now();
        let mut entries = self.lock();
        if let Some(entry) = entries.get(question).filter(|entry| self.is_fresh(entry, now)) {
            return Some(entry.clone());
        }
        if entries.len() >= MAX_ANSWERS {
            entries.retain(|_, entry| self.is_fresh(entry, now));
        }
        if entries.len() >= MAX_ANSWERS {
            return None;
        }
        let entry = Entry { began: now, answer: Arc::default() };
        entries.insert(question.clone(), entry.clone());
        Some(entry)
    }

    fn is_fresh(&self, entry: &Entry<A>, now: Timestamp) -> bool {
        let age = now.duration_since(entry.began);
        !age.is_negative() && age < self.keeps
    }

    /// Forgets a failure, unless another answer has taken its place.
    fn forget_failed(&self, question: &Q, failed: &Entry<A>) {
        let mut entries = self.lock();
        if entries.get(question).is_some_and(|entry| Arc::ptr_eq(&entry.answer, &failed.answer)) {
            entries.remove(question);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Q, Entry<A>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}
