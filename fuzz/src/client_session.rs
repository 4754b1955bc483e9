//! A client's session under any order of events, with a server that says anything.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use realtime_client::effect::Effect;
use realtime_client::session::{Session, Settings};
use realtime_client::{Close, Credential, Endpoint, SubscriptionId};

/// Each line is a step, its first byte says which: there is one connection at a time, nothing is said on none, nothing
/// comes twice or for a subscription that is over, and a session that is woken does not want to be woken at once for ever.
pub fn client_session(data: &[u8]) {
    let mut settings = Settings::new(Endpoint::parse("http://h/v1").expect("it is one"), "p");
    settings.provides_credentials = data.first().is_some_and(|first| first & 0x80 != 0);
    let now = Instant::now();
    let mut world = World {
        session: Session::new(settings, 7, now),
        now,
        up: false,
        ids: Vec::new(),
        seen: HashSet::new(),
    };
    for line in data.split(|byte| *byte == b'\n') {
        let Some((step, rest)) = line.split_first() else { continue };
        world.step(*step, &String::from_utf8_lossy(rest));
        world.carry_out();
    }
}

struct World {
    session: Session,
    now: Instant,
    up: bool,
    ids: Vec<SubscriptionId>,
    seen: HashSet<(SubscriptionId, String)>,
}

impl World {
    fn step(&mut self, step: u8, text: &str) {
        let (session, now) = (&mut self.session, self.now);
        let number = text.trim().parse::<u64>().unwrap_or_default();
        let picked = self.ids.get(usize::try_from(number).unwrap_or_default()).copied();
        match step {
            b'+' => self.ids.extend(session.subscribe(text.split(' ').into(), now)),
            b'-' => picked.into_iter().for_each(|id| session.unsubscribe(id, now)),
            b'=' => {
                if let Some(id) = picked {
                    // What cannot be listened to leaves things as they are.
                    _ = session.update(id, text.split(' ').into(), now);
                }
            }
            b'a' => session.authenticate(Credential::jwt(text).ok(), Some(Duration::from_secs(number)), now),
            b'n' => session.not_provided(text, now),
            b'o' => session.opened(now),
            b'f' if self.up => {
                self.up = false;
                session.failed(text, Some(Duration::from_secs(number % 1_000)), now);
                // A session that was open already takes no notice of that.
                session.closed(Close::lost(text), now);
            }
            b'c' if self.up => {
                self.up = false;
                session.closed(Close::new((number % 5_000) as u16, text), now);
            }
            b'h' => session.hurry(now),
            b't' => self.wait(Duration::from_secs(number % 100_000)),
            // Messages speak of subscriptions by numbers, since nobody could guess their names.
            _ => {
                let mut text = text.to_owned();
                for (number, id) in self.ids.iter().enumerate() {
                    text = text.replace(&format!("${number}"), &id.to_string());
                }
                session.received(&text, now);
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        for _ in 0..5 {
            if self.session.poll_timeout().is_none_or(|due| due > self.now) {
                return;
            }
            self.session.handle_timeout(self.now);
            self.carry_out();
        }
        panic!("it wants to be woken for ever");
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                Effect::Connect(request) => {
                    assert!(!self.up, "there is one connection at a time");
                    assert!(request.url().starts_with("ws://h/v1/realtime?project=p"));
                    self.up = true;
                }
                Effect::Disconnect { .. } => {
                    assert!(self.up, "there is something to end");
                    self.up = false;
                }
                Effect::Send(text) => {
                    assert!(self.up && text.len() < 64_000);
                    serde_json::from_str::<serde_json::Value>(&text).expect("it says JSON");
                }
                Effect::Deliver { subscription, event } => {
                    assert!(self.ids.contains(&subscription), "nobody listens");
                    if let Some(id) = event.id.filter(|_| self.seen.len() < 500) {
                        assert!(self.seen.insert((subscription, id.to_string())), "{id} came twice");
                    }
                }
                Effect::Ready(subscription) => assert!(self.ids.contains(&subscription)),
                Effect::Ended { subscription, .. } => assert!(self.ids.contains(&subscription)),
                Effect::Provide | Effect::State(_) => {}
            }
        }
    }
}
