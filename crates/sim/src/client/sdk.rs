//! A client as Appwrite's web SDK is one: it subscribes in messages, under ids that it keeps over a drop, and has no word
//! for what it has seen.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use realtime_core::leave::Leave;
use serde_json::{Value, json};

use super::{Driver, Head, Wish, project_of, queries_of};
use crate::directory::token_of;
use crate::model::Told;
use crate::workload::ClientPlan;

/// It pings this often.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Once it is held up no more, it reads what is there before it says anything.
const AFTER: Duration = Duration::from_secs(1);
/// The code after which it does not come back.
const POLICY: u16 = 1008;

/// The client.
#[derive(Debug)]
pub(super) struct SdkClient {
    number: usize,
    plan: ClientPlan,
    /// Its subscriptions by interest, and whether each was ever confirmed.
    active: BTreeMap<usize, bool>,
    phase: Phase,
    failures: u32,
    /// Whether it has said who it is and waits for the answer.
    authenticating: bool,
    /// Until when it is held up.
    stalls_until: Option<Instant>,
    wishes: VecDeque<Wish>,
}

#[derive(Debug)]
enum Phase {
    /// Connects at some time.
    Waiting(Instant),
    /// The handshake is under way.
    Connecting,
    /// The link is there; pings at some time. One that says who it is does so once the server has greeted, and nothing
    /// before.
    Open { ping_at: Instant, is_greeted: bool },
    /// It does not come back.
    Stopped,
}

impl SdkClient {
    pub(super) fn new(number: usize, plan: &ClientPlan) -> Self {
        Self {
            number,
            active: (0..plan.interests.len()).map(|interest| (interest, false)).collect(),
            plan: plan.clone(),
            phase: Phase::Stopped,
            failures: 0,
            authenticating: false,
            stalls_until: None,
            wishes: VecDeque::new(),
        }
    }

    fn id(&self, interest: usize) -> String {
        format!("c{}s{interest}", self.number)
    }

    fn connect(&mut self) {
        let uri = format!("/v1/realtime?project={}", project_of(&self.plan));
        let token = self.plan.user.filter(|_| !self.plan.authenticates).map(token_of);
        let headers = token.map(|token| ("cookie", format!("a_session_{}={token}", project_of(&self.plan))));
        self.phase = Phase::Connecting;
        self.authenticating = false;
        self.wishes.push_back(Wish::Connect(Head { uri, headers: headers.into_iter().collect() }));
    }

    fn pause(&mut self, now: Instant) {
        let pause = match self.failures {
            0..5 => 1,
            5..15 => 5,
            _ => 10,
        };
        self.failures += 1;
        self.phase = Phase::Waiting(now + Duration::from_secs(pause));
    }

    fn subscribe(&mut self, interests: &[usize]) {
        let items: Vec<Value> = interests
            .iter()
            .filter_map(|number| {
                let interest = self.plan.interests.get(*number)?;
                Some(json!({
                    "subscriptionId": self.id(*number),
                    "channels": interest.channels,
                    "queries": queries_of(interest),
                }))
            })
            .collect();
        if !items.is_empty() {
            self.send(json!({ "type": "subscribe", "data": items }));
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is made for this")]
    fn send(&mut self, message: Value) {
        self.wishes.push_back(Wish::Send(message.to_string()));
    }

    fn tell(&mut self, told: Told) {
        self.wishes.push_back(Wish::Tell(told));
    }

    fn answered(&mut self, data: &Value) {
        for item in data.get("subscriptions").and_then(Value::as_array).into_iter().flatten() {
            let id = item.get("subscriptionId").and_then(Value::as_str).unwrap_or_default().to_owned();
            let Some(number) = id.split('s').nth(1).and_then(|number| number.parse().ok()) else { continue };
            let Some(confirmed) = self.active.get_mut(&number) else { continue };
            let was_confirmed = std::mem::replace(confirmed, true);
            let recovered = item.get("recovered").and_then(Value::as_bool);
            self.tell(match (was_confirmed, recovered) {
                (false, _) => Told::Listens(id),
                (true, Some(true)) => Told::Recovered(id),
                (true, Some(false) | None) => Told::Doubt(id),
            });
        }
    }
}

impl Driver for SdkClient {
    fn start(&mut self, _now: Instant) {
        for interest in 0..self.plan.interests.len() {
            self.wishes.push_back(Wish::Name(self.id(interest), interest));
        }
        self.connect();
    }

    fn opened(&mut self, now: Instant) {
        self.failures = 0;
        self.phase = Phase::Open { ping_at: now + PING_EVERY, is_greeted: false };
        self.stalls_until = None;
    }

    fn failed(&mut self, now: Instant) {
        self.pause(now);
    }

    fn heard(&mut self, text: &str, now: Instant) {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let data = message.get("data").cloned().unwrap_or_default();
        match message.get("type").and_then(Value::as_str) {
            Some("connected") => {
                if let Phase::Open { is_greeted, .. } = &mut self.phase {
                    *is_greeted = true;
                }
                if let Some(user) = self.plan.user.filter(|_| self.plan.authenticates) {
                    self.authenticating = true;
                    self.send(json!({ "type": "authentication", "data": { "session": token_of(user) } }));
                }
                let all: Vec<usize> = self.active.keys().copied().collect();
                self.subscribe(&all);
            }
            Some("response") => match data.get("to").and_then(Value::as_str) {
                Some("subscribe") => self.answered(&data),
                Some("authentication") => self.authenticating = false,
                Some(_) | None => {}
            },
            Some("event") => {
                let id = data.get("id").and_then(Value::as_str);
                let Some(event) = id.and_then(|id| id.strip_prefix('e')?.parse().ok()) else { return };
                for name in data.get("subscriptions").and_then(Value::as_array).into_iter().flatten() {
                    let name = name.as_str().unwrap_or_default().to_owned();
                    self.tell(Told::Event(name, event));
                }
            }
            Some("error") if self.authenticating => {
                // An application that is not who it is to be tries again.
                self.wishes.push_back(Wish::Disconnect(Leave::ForGood));
                for confirmed in self.active.values_mut() {
                    *confirmed = false;
                }
                let ended: Vec<usize> = self.active.keys().copied().collect();
                for interest in ended {
                    let id = self.id(interest);
                    self.tell(Told::Ended(id));
                }
                self.pause(now);
            }
            Some(_) | None => {}
        }
    }

    fn pinged(&mut self, _now: Instant) {}

    fn closed(&mut self, code: u16, now: Instant) {
        if code == POLICY {
            self.phase = Phase::Stopped;
            self.tell(Told::Stopped);
        } else {
            self.pause(now);
        }
    }

    fn stalls(&mut self, until: Instant) {
        if let Phase::Open { ping_at, .. } = &mut self.phase {
            self.stalls_until = Some(until);
            *ping_at = (*ping_at).max(until + AFTER);
        }
    }

    fn toggle(&mut self, interest: usize, now: Instant) {
        if self.stalls_until.is_some_and(|until| now < until + AFTER) {
            return;
        }
        let speaks = |is_greeted| is_greeted || !self.plan.authenticates;
        let is_open = matches!(self.phase, Phase::Open { is_greeted, .. } if speaks(is_greeted));
        let id = self.id(interest);
        if self.active.remove(&interest).is_some() {
            if is_open {
                self.send(json!({ "type": "unsubscribe", "data": [{ "subscriptionId": id }] }));
            }
            self.tell(Told::Ended(id));
        } else if interest < self.plan.interests.len() {
            self.active.insert(interest, false);
            if is_open {
                self.subscribe(&[interest]);
            }
        }
    }

    fn leave(&mut self, back_at: Instant, _now: Instant) {
        if matches!(self.phase, Phase::Stopped) {
            return;
        }
        self.wishes.push_back(Wish::Disconnect(Leave::ForGood));
        for confirmed in self.active.values_mut() {
            *confirmed = false;
        }
        for interest in 0..self.plan.interests.len() {
            let id = self.id(interest);
            self.tell(Told::Ended(id));
        }
        self.phase = Phase::Waiting(back_at);
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Waiting(until) if *until <= now => self.connect(),
            Phase::Open { ping_at, .. } if *ping_at <= now => {
                *ping_at = now + PING_EVERY;
                self.send(json!({ "type": "ping" }));
            }
            Phase::Waiting(_) | Phase::Open { .. } | Phase::Connecting | Phase::Stopped => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Waiting(at) | Phase::Open { ping_at: at, .. } => Some(*at),
            Phase::Connecting | Phase::Stopped => None,
        }
    }

    fn poll(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }
}
