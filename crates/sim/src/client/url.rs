//! A plain client with its channels in the URL: a browser's WebSocket and twenty lines around it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use realtime_core::leave::Leave;
use serde_json::Value;

use super::{Driver, Head, Wish, project_of};
use crate::directory::token_of;
use crate::model::Told;
use crate::workload::ClientPlan;

/// What its one subscription is called, whatever the server calls it.
const NAME: &str = "url";
/// How long it waits before it connects again.
const PAUSE: Duration = Duration::from_secs(1);
/// The code after which it does not come back.
const POLICY: u16 = 1008;

/// The client.
#[derive(Debug)]
pub(super) struct UrlClient {
    plan: ClientPlan,
    connect_at: Option<Instant>,
    /// The last event it has seen.
    last: Option<String>,
    /// Whether it has said so on this link.
    asked: bool,
    wishes: VecDeque<Wish>,
}

impl UrlClient {
    pub(super) fn new(plan: &ClientPlan) -> Self {
        Self { plan: plan.clone(), connect_at: None, last: None, asked: false, wishes: VecDeque::new() }
    }

    fn connect(&mut self) {
        let mut uri = format!("/v1/realtime?project={}", project_of(&self.plan));
        for channel in self.plan.interests.iter().flat_map(|interest| &interest.channels) {
            uri.push_str(&format!("&channels[]={channel}"));
        }
        let since = self.last.as_ref().filter(|_| self.plan.since);
        self.asked = since.is_some();
        if let Some(last) = since {
            uri.push_str(&format!("&since={last}"));
        }
        let token = self.plan.user.map(token_of).map(|token| ("x-appwrite-session", token));
        self.connect_at = None;
        self.wishes.push_back(Wish::Connect(Head { uri, headers: token.into_iter().collect() }));
    }

    fn tell(&mut self, told: Told) {
        self.wishes.push_back(Wish::Tell(told));
    }
}

impl Driver for UrlClient {
    fn start(&mut self, _now: Instant) {
        self.wishes.push_back(Wish::Name(NAME.to_owned(), 0));
        self.connect();
    }

    fn opened(&mut self, _now: Instant) {}

    fn failed(&mut self, now: Instant) {
        self.connect_at = Some(now + PAUSE);
    }

    fn heard(&mut self, text: &str, _now: Instant) {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let data = message.get("data").cloned().unwrap_or_default();
        match message.get("type").and_then(Value::as_str) {
            Some("connected") => {
                let made = data.get("subscriptions");
                let ids = made.and_then(Value::as_object).into_iter().flat_map(|made| made.values());
                let listed = made.and_then(Value::as_array).into_iter().flatten();
                for id in ids.chain(listed).filter_map(Value::as_str) {
                    self.wishes.push_back(Wish::Name(id.to_owned(), 0));
                }
                let recovered = data.get("recovered").and_then(Value::as_bool);
                self.tell(match (self.asked, recovered) {
                    (true, Some(true)) => Told::Recovered(NAME.to_owned()),
                    (true, Some(false) | None) => Told::Doubt(NAME.to_owned()),
                    (false, _) => Told::Listens(NAME.to_owned()),
                });
            }
            Some("event") => {
                let Some(id) = data.get("id").and_then(Value::as_str) else { return };
                self.last = Some(id.to_owned());
                if let Some(event) = id.strip_prefix('e').and_then(|number| number.parse().ok()) {
                    self.tell(Told::Event(NAME.to_owned(), event));
                }
            }
            Some(_) | None => {}
        }
    }

    fn pinged(&mut self, _now: Instant) {}

    fn closed(&mut self, code: u16, now: Instant) {
        if self.last.is_none() || !self.plan.since {
            self.tell(Told::Ended(NAME.to_owned()));
        }
        if code == POLICY {
            self.tell(Told::Stopped);
        } else {
            self.connect_at = Some(now + PAUSE);
        }
    }

    fn toggle(&mut self, _interest: usize, _now: Instant) {}

    fn leave(&mut self, back_at: Instant, _now: Instant) {
        self.wishes.push_back(Wish::Disconnect(Leave::ForGood));
        self.tell(Told::Ended(NAME.to_owned()));
        self.last = None;
        self.connect_at = Some(back_at);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.connect_at.is_some_and(|at| at <= now) {
            self.connect();
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.connect_at
    }

    fn poll(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }
}
