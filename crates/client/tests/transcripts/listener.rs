//! A client of a transcript, played by a session.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use realtime_client::effect::Effect;
use realtime_client::session::{Session, Settings};
use realtime_client::{Close, Endpoint, Interest, Query, SubscriptionId};
use serde_json::{Value, json};

/// A client of a transcript, played by a session. It says of the transcript's messages what it would say itself.
pub(crate) struct Listener {
    session: Session,
    now: Instant,
    /// What the transcript calls a subscription.
    names: BTreeMap<String, SubscriptionId>,
    /// Subscriptions of the last `subscribe` message, in its order.
    asked: Vec<SubscriptionId>,
    connected: bool,
    sent: Vec<Value>,
    delivered: Vec<SubscriptionId>,
}

impl Listener {
    /// Connects. A session names no channels in its URL, so those of the transcript are others' to it.
    pub(crate) fn open() -> Self {
        let mut settings = Settings::new(Endpoint::parse("ws://host").expect("it is one"), "P");
        // Time is not what this is about.
        settings.patience = Duration::from_secs(1_000_000);
        settings.ping_every = Duration::from_secs(1_000_000);
        let now = Instant::now();
        let mut session = Session::new(settings, 7, now);
        let own = session.subscribe(["its own"].into(), now).expect("it can be subscribed to");
        let mut listener = Self {
            session,
            now,
            names: BTreeMap::new(),
            asked: vec![own],
            connected: false,
            sent: Vec::new(),
            delivered: Vec::new(),
        };
        listener.carry_out();
        listener.session.opened(now);
        listener
    }

    /// The transcript's client says something: if it changes subscriptions, so does the session.
    pub(crate) fn say(&mut self, text: &str) {
        let Ok(said) = serde_json::from_str::<Value>(text) else { return };
        let items = said["data"].as_array().cloned().unwrap_or_default();
        match said["type"].as_str() {
            Some("subscribe") if !items.is_empty() => {
                let interests: Option<Vec<Interest>> = items.iter().map(interest).collect();
                let Some(interests) = interests else { return };
                self.subscribe(&items, interests);
            }
            Some("unsubscribe") => {
                for item in items {
                    let name = item["subscriptionId"].as_str().unwrap_or_default();
                    if let Some(id) = self.names.remove(name) {
                        self.session.unsubscribe(id, self.now);
                    }
                }
                self.carry_out();
            }
            _ => {}
        }
    }

    fn subscribe(&mut self, items: &[Value], interests: Vec<Interest>) {
        self.asked.clear();
        self.sent.clear();
        for (item, interest) in items.iter().zip(interests) {
            let name = item["subscriptionId"].as_str().map(str::to_owned);
            let known = name.as_ref().and_then(|name| self.names.get(name)).copied();
            let id = match known {
                Some(id) => self.session.update(id, interest, self.now).map(|()| id),
                None => self.session.subscribe(interest, self.now),
            };
            let Ok(id) = id else { return };
            self.names.extend(name.map(|name| (name, id)));
            self.asked.push(id);
        }
        self.carry_out();
        let Some(sent) = self.sent.last() else { return };
        let ids: BTreeSet<SubscriptionId> = self.asked.iter().copied().collect();
        assert_eq!(
            sent["data"].as_array().map(Vec::len),
            Some(ids.len()),
            "all of it is said in one message"
        );
        for item in items.iter().filter(|_| ids.len() == items.len()) {
            let same = |other: &Value| {
                other["channels"] == item["channels"]
                    && (item["queries"].is_null() || other["queries"] == item["queries"])
            };
            assert!(sent["data"].as_array().is_some_and(|sent| sent.iter().any(same)), "{item} as {sent}");
        }
    }

    /// The server says something; how many deliveries were as they should be.
    pub(crate) fn hear(&mut self, mut message: Value, place: &str) -> usize {
        let first = message["type"] == "connected" && !self.connected;
        self.connected |= first;
        self.rename(&mut message);
        self.delivered.clear();
        self.session.received(&message.to_string(), self.now);
        self.carry_out();
        if first && self.sent.pop().is_some_and(|sent| sent["type"] == "subscribe") {
            // What the transcript knows nothing of.
            let answer = json!({ "type": "response", "data": { "to": "subscribe", "subscriptions": [] } });
            self.session.received(&answer.to_string(), self.now);
            self.carry_out();
        }
        let Some(named) = message["data"]["subscriptions"].as_array().filter(|_| message["type"] == "event")
        else {
            return 0;
        };
        let named = named.iter().filter_map(Value::as_str);
        let ours: BTreeSet<SubscriptionId> = self
            .names
            .values()
            .copied()
            .filter(|id| named.clone().any(|name| name == id.to_string()))
            .collect();
        let delivered: BTreeSet<SubscriptionId> = self.delivered.iter().copied().collect();
        assert!(ours.is_subset(&delivered), "{place}: {message} is for {ours:?} and reached {delivered:?}");
        assert_eq!(delivered.len(), self.delivered.len(), "{place}: each once");
        ours.len()
    }

    /// Writes the session's names of subscriptions in place of the transcript's.
    fn rename(&mut self, message: &mut Value) {
        if message["data"]["to"] == "subscribe" {
            let items = message["data"]["subscriptions"].as_array().cloned().unwrap_or_default();
            for (item, id) in items.iter().zip(&self.asked) {
                let name = item["subscriptionId"].as_str().unwrap_or_default().to_owned();
                self.names.entry(name).or_insert(*id);
            }
        }
        let Some(items) = message["data"]["subscriptions"].as_array_mut() else { return };
        for item in items {
            let place = if item.is_string() { item } else { &mut item["subscriptionId"] };
            if let Some(id) = place.as_str().and_then(|name| self.names.get(name)) {
                *place = Value::from(id.to_string());
            }
        }
    }

    /// The server closes: the session stops or comes back as the code advises.
    pub(crate) fn closed(&mut self, detail: &str, place: &str) {
        let (code, reason) = detail.split_once(' ').unwrap_or((detail, ""));
        let code: u16 = code.parse().unwrap_or_else(|_| panic!("{place}: {code:?} is no code"));
        let before = self.session.stopped().is_some();
        self.session.closed(Close::new(code, reason), self.now);
        self.carry_out();
        let stopped = self.session.stopped().is_some();
        assert!(!before && stopped == matches!(code, 1008 | 3000), "{place}: stopped is {stopped}");
        assert_eq!(self.session.poll_timeout().is_some(), !stopped, "{place}: it comes back unless it stops");
    }

    fn carry_out(&mut self) {
        self.now += Duration::from_secs(60);
        self.session.handle_timeout(self.now);
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                Effect::Send(text) => self.sent.push(serde_json::from_str(&text).expect("it says JSON")),
                Effect::Deliver { subscription, .. } => self.delivered.push(subscription),
                _ => {}
            }
        }
    }
}

/// What an item of a `subscribe` message asks for, unless it is one that no session would send.
fn interest(item: &Value) -> Option<Interest> {
    let texts = |value: &Value| -> Option<Vec<String>> {
        value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let channels = texts(&item["channels"]).filter(|channels| !channels.is_empty())?;
    let queries = if item["queries"].is_null() { Vec::new() } else { texts(&item["queries"])? };
    Some(queries.into_iter().map(Query::raw).fold(Interest::new(channels), Interest::query))
}
