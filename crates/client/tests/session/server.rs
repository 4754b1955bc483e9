//! A server as a client sees it, with a memory of events and moods.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use realtime_client::request::Request;
use serde_json::{Value, json};

/// What kind of server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Takes `subscribe` messages and resumes.
    Resuming,
    /// Takes `subscribe` messages, and knows nothing of the time before a connection.
    Forgetful,
    /// Takes channels in the URL only, and refuses a connection without any.
    UrlOnly,
    /// Takes channels in the URL, allows connections without, and knows no `subscribe` message.
    UrlMostly,
    /// Like [`Kind::UrlOnly`], and does not say whom an event is for.
    Ancient,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    /// Channel of each event; its place is its id.
    events: Vec<String>,
    /// Subscriptions of the connection, by id.
    live: BTreeMap<String, Vec<String>>,
    /// Where subscriptions of former connections began.
    begun: BTreeMap<String, usize>,
    /// What is on its way to the client.
    pub(crate) wire: VecDeque<Wire>,
    /// A query that it refuses.
    pub(crate) refuses: &'static str,
    pub(crate) user: Value,
    /// What the user of the connection lets others know.
    pub(crate) presence: Option<Value>,
    /// Messages that clients have sent.
    pub(crate) heard: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wire {
    Text(String),
    Close(u16, &'static str),
}

impl Server {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            events: vec!["the beginning".to_owned()],
            live: BTreeMap::new(),
            begun: BTreeMap::new(),
            wire: VecDeque::new(),
            refuses: "nope",
            user: Value::Null,
            presence: None,
            heard: Vec::new(),
        }
    }

    pub(crate) fn open(&mut self, request: &Request) {
        self.hang_up();
        let in_url = self.read_url(request.url());
        let says_channels = request.url().contains("channels[]=");
        if matches!(self.kind, Kind::UrlOnly | Kind::Ancient) && !says_channels {
            self.say(&json!({ "type": "error", "data": { "code": 1008, "message": "Missing channels" } }));
            // As PHP does: no Close frame.
            self.wire.push_back(Wire::Close(1006, ""));
            return;
        }
        let mut slots = serde_json::Map::new();
        for (slot, channels) in in_url {
            let id = format!("slot-{slot}");
            slots.insert(slot.to_string(), id.clone().into());
            self.live.insert(id, channels);
        }
        let data = json!({ "channels": [], "subscriptions": slots, "user": self.user });
        self.say(&json!({ "type": "connected", "data": data }));
    }

    pub(crate) fn hang_up(&mut self) {
        self.live.clear();
        self.presence = None;
        self.wire.clear();
    }

    pub(crate) fn publish(&mut self, channel: &str) {
        self.events.push(channel.to_owned());
        let ids: BTreeSet<String> = self.listening(channel);
        if !ids.is_empty() {
            self.send_event(self.events.len() - 1, &ids);
        }
    }

    pub(crate) fn hear(&mut self, text: &str) {
        let message: Value = serde_json::from_str(text).expect("clients say JSON");
        assert!(text.len() < 64_000, "{} bytes are too many", text.len());
        let items = message["data"].as_array().cloned().unwrap_or_default();
        self.heard.push(message.clone());
        match message["type"].as_str().expect("a type") {
            "ping" => self.say(&json!({ "type": "pong" })),
            "subscribe" if self.kind == Kind::UrlMostly => {
                self.refuse(1003, "Message type is not valid.");
            }
            "subscribe" if items.iter().any(|item| item["queries"].to_string().contains(self.refuses)) => {
                self.refuse(1003, "Invalid query: Invalid query method: nope");
            }
            "subscribe" => self.subscribe(&items),
            "unsubscribe" => {
                let removed = |item: &Value| self.live.remove(item["subscriptionId"].as_str()?);
                let count = items.iter().filter_map(removed).count();
                self.answer("unsubscribe", &json!(vec![json!({ "removed": true }); count]));
            }
            "authentication" => {
                self.user = json!({ "$id": "alice" });
                self.answer("authentication", &Value::Null);
            }
            "presence" if !matches!(self.kind, Kind::Resuming | Kind::Forgetful) => {
                self.refuse(1003, "Message type is not valid.");
            }
            "presence" if self.user.is_null() => self.refuse(401, "User must be authorized"),
            "presence" if message["data"]["status"] == "" => {
                self.refuse(1003, "Payload is not valid. Status is required");
            }
            "presence" => {
                self.presence = Some(message["data"].clone());
                self.say(
                    &json!({ "type": "response", "data": { "to": "presence", "presence": message["data"] } }),
                );
            }
            other => panic!("no client says {other}"),
        }
    }

    fn subscribe(&mut self, items: &[Value]) {
        let mut answers = Vec::new();
        let mut replays = Vec::new();
        for item in items {
            let id = item["subscriptionId"].as_str().expect("an id").to_owned();
            let channels: Vec<String> =
                serde_json::from_value(item["channels"].clone()).expect("channels are strings");
            let mut answer = json!({ "subscriptionId": id, "channels": channels, "queries": [] });
            if self.kind == Kind::Resuming {
                let since = item["since"].as_str().map(|since| since.parse::<usize>().expect("one of ours"));
                let since = since.or(self.begun.get(&id).copied()).filter(|_| !self.live.contains_key(&id));
                let missed = since.map_or(0..0, |since| since + 1..self.events.len());
                let missed = missed.filter(|at| channels.contains(&self.events[*at]));
                replays.extend(missed.map(|at| (at, id.clone())));
                if since.is_some() {
                    answer["recovered"] = true.into();
                }
                self.begun.entry(id.clone()).or_insert(self.events.len() - 1);
            }
            self.live.insert(id, channels);
            answers.push(answer);
        }
        self.answer("subscribe", &answers.into());
        replays.sort();
        for (at, id) in replays {
            self.send_event(at, &BTreeSet::from([id]));
        }
    }

    fn send_event(&mut self, at: usize, ids: &BTreeSet<String>) {
        let channel = &self.events[at];
        let mut data = json!({
            "events": [format!("{channel}.happened")], "channels": [channel], "timestamp": "2026-01-01T00:00:00.000+00:00",
            "payload": { "n": at },
        });
        if self.kind != Kind::Ancient {
            data["subscriptions"] = json!(ids);
        }
        if matches!(self.kind, Kind::Resuming | Kind::Forgetful) {
            data["id"] = at.to_string().into();
        }
        self.say(&json!({ "type": "event", "data": data }));
    }

    fn listening(&self, channel: &str) -> BTreeSet<String> {
        let listens = |channels: &Vec<String>| channels.iter().any(|one| one == channel);
        self.live.iter().filter(|(_, channels)| listens(channels)).map(|(id, _)| id.clone()).collect()
    }

    fn refuse(&mut self, code: i64, message: &str) {
        self.say(&json!({ "type": "error", "data": { "code": code, "message": message } }));
    }

    fn answer(&mut self, to: &str, subscriptions: &Value) {
        let data = json!({ "to": to, "success": true, "subscriptions": subscriptions });
        self.say(&json!({ "type": "response", "data": data }));
    }

    pub(crate) fn say(&mut self, message: &Value) {
        self.wire.push_back(Wire::Text(message.to_string()));
    }

    /// Channels by slot, as `a_b[0][]=query` says them.
    fn read_url(&self, url: &str) -> BTreeMap<usize, Vec<String>> {
        let mut slots: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let pairs: Vec<(&str, &str)> =
            url.split(['?', '&']).filter_map(|pair| pair.split_once('=')).collect();
        for (_, channel) in pairs.iter().filter(|(name, _)| *name == "channels[]") {
            for (name, _) in &pairs {
                let slot = name.strip_prefix(&channel.replace('.', "_"));
                let slot = slot.and_then(|rest| rest.strip_prefix('[')?.strip_suffix("][]"));
                if let Some(slot) = slot.and_then(|slot| slot.parse().ok()) {
                    let channels = slots.entry(slot).or_default();
                    if !channels.iter().any(|one| one == channel) {
                        channels.push((*channel).to_owned());
                    }
                }
            }
        }
        slots
    }
}
