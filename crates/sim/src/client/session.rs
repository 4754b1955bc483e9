//! An application on this project's Rust SDK: its session is the real one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use realtime_client::close::{Close, GOODBYE};
use realtime_client::effect::Effect;
use realtime_client::session::{Session, Settings};
use realtime_client::{Advice, Credential, Endpoint, Query, State, SubscriptionId};
use realtime_core::leave::Leave;

use super::{Driver, Head, Wish, project_of, queries_of};
use crate::directory::token_of;
use crate::model::Told;
use crate::workload::ClientPlan;

/// Where it connects to.
const ENDPOINT: &str = "ws://sim/v1";

/// An application and its session.
#[derive(Debug)]
pub(super) struct SessionClient {
    plan: ClientPlan,
    session: Session,
    /// Its subscriptions, and whether each was ever confirmed.
    made: BTreeMap<SubscriptionId, (usize, bool)>,
    names: Vec<Wish>,
    back_at: Option<Instant>,
}

impl SessionClient {
    pub(super) fn new(plan: &ClientPlan, seed: u64, now: Instant) -> Self {
        #[expect(clippy::expect_used, reason = "it is an endpoint")]
        let endpoint = Endpoint::parse(ENDPOINT).expect("it is an endpoint");
        let mut session = Session::new(Settings::new(endpoint, project_of(plan)), seed, now);
        let token = plan.user.map(token_of).and_then(|token| Credential::session(token).ok());
        if token.is_some() {
            session.authenticate(token, None, now);
        }
        Self { plan: plan.clone(), session, made: BTreeMap::new(), names: Vec::new(), back_at: None }
    }

    fn subscribe(&mut self, number: usize, now: Instant) {
        let Some(interest) = self.plan.interests.get(number) else { return };
        let mut wanted = realtime_client::Interest::new(interest.channels.iter().copied());
        for query in queries_of(interest) {
            wanted = wanted.query(Query::raw(query));
        }
        if let Ok(id) = self.session.subscribe(wanted, now) {
            self.made.insert(id, (number, false));
            self.names.push(Wish::Name(id.to_string(), number));
        }
    }
}

impl Driver for SessionClient {
    fn start(&mut self, now: Instant) {
        for number in 0..self.plan.interests.len() {
            self.subscribe(number, now);
        }
    }

    fn opened(&mut self, now: Instant) {
        self.session.opened(now);
    }

    fn failed(&mut self, now: Instant) {
        self.session.failed("nobody is there", None, now);
    }

    fn heard(&mut self, text: &str, now: Instant) {
        self.session.received(text, now);
    }

    fn pinged(&mut self, now: Instant) {
        self.session.heard(now);
    }

    fn closed(&mut self, code: u16, now: Instant) {
        self.session.closed(Close::new(code, ""), now);
    }

    fn toggle(&mut self, interest: usize, now: Instant) {
        if self.back_at.is_some() {
            return;
        }
        let held: BTreeSet<SubscriptionId> =
            self.made.iter().filter(|(_, (number, _))| *number == interest).map(|(id, _)| *id).collect();
        if held.is_empty() {
            self.subscribe(interest, now);
        }
        for id in held {
            self.session.unsubscribe(id, now);
            self.made.remove(&id);
            self.names.push(Wish::Tell(Told::Ended(id.to_string())));
        }
    }

    fn leave(&mut self, back_at: Instant, now: Instant) {
        self.session.close(now);
        self.back_at = Some(back_at);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.back_at.is_some_and(|at| at <= now) {
            self.back_at = None;
            self.start(now);
        }
        self.session.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout().into_iter().chain(self.back_at).min()
    }

    fn poll(&mut self) -> Option<Wish> {
        if !self.names.is_empty() {
            return Some(self.names.remove(0));
        }
        loop {
            return Some(match self.session.poll_effect()? {
                Effect::Connect(request) => {
                    let uri = request.url().strip_prefix("ws://sim").unwrap_or_default().to_owned();
                    let headers = request.headers().map(|(name, value)| (name, value.to_owned()));
                    Wish::Connect(Head { uri, headers: headers.collect() })
                }
                Effect::Disconnect { code: GOODBYE } => Wish::Disconnect(Leave::ForGood),
                Effect::Disconnect { .. } => Wish::Disconnect(Leave::ToReturn),
                Effect::Send(text) => Wish::Send(text),
                Effect::Provide => continue,
                Effect::Deliver { subscription, event } => {
                    let id = event.id.as_deref().and_then(|id| id.strip_prefix('e')?.parse().ok());
                    match id {
                        Some(number) => Wish::Tell(Told::Event(subscription.to_string(), number)),
                        None => continue,
                    }
                }
                Effect::Ready(id) => {
                    let confirmed = self.made.get_mut(&id).map(|(_, confirmed)| confirmed);
                    match confirmed.map(|confirmed| std::mem::replace(confirmed, true)) {
                        Some(false) => Wish::Tell(Told::Listens(id.to_string())),
                        Some(true) | None => continue,
                    }
                }
                Effect::Ended { subscription, .. } => {
                    self.made.remove(&subscription);
                    Wish::Tell(Told::Ended(subscription.to_string()))
                }
                Effect::State(state) => match told(&state) {
                    Some(told) => Wish::Tell(told),
                    None => continue,
                },
            });
        }
    }
}

/// What a session tells that matters here.
fn told(state: &State) -> Option<Told> {
    match state {
        State::Recovered { subscription } => Some(Told::Recovered(subscription.to_string())),
        State::Gap { subscription, .. } => Some(Told::Doubt(subscription.to_string())),
        State::Disconnected { advice: Advice::Stop, .. } => Some(Told::Stopped),
        State::Connecting { .. }
        | State::Connected { .. }
        | State::Disconnected { .. }
        | State::NotAuthenticated { .. }
        | State::Present { .. }
        | State::NotPresent { .. }
        | State::NoCredential { .. }
        | State::Unreadable { .. } => None,
    }
}
