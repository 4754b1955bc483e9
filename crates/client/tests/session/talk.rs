//! A session, a clock, and a server that it talks to.

use std::time::{Duration, Instant};

use realtime_client::effect::Effect;
use realtime_client::request::Request;
use realtime_client::session::{Session, Settings};
use realtime_client::{Close, Endpoint, Error, Event, Interest, State, SubscriptionId};

use crate::server::{Kind, Server, Wire};

pub(crate) struct Talk {
    pub(crate) session: Session,
    pub(crate) server: Server,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) link: Link,
    pub(crate) requests: Vec<(Duration, Request)>,
    pub(crate) states: Vec<State>,
    pub(crate) ready: Vec<SubscriptionId>,
    pub(crate) ended: Vec<(SubscriptionId, Error)>,
    pub(crate) events: Vec<(SubscriptionId, Event)>,
    pub(crate) provided: usize,
    /// The codes with which connections were ended.
    pub(crate) left_with: Vec<u16>,
    /// Whether the server can be reached, and what one hears instead.
    pub(crate) reachable: Result<(), &'static str>,
    /// Nothing gets through any more, and nobody is told.
    pub(crate) stalled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Down,
    Dialling,
    Up,
}

impl Talk {
    pub(crate) fn new(kind: Kind) -> Self {
        Self::with(kind, |_| {})
    }

    pub(crate) fn with(kind: Kind, adjust: impl Fn(&mut Settings)) -> Self {
        let endpoint = Endpoint::parse("http://host/v1").expect("it is one");
        let mut settings = Settings::new(endpoint, "p");
        adjust(&mut settings);
        let start = Instant::now();
        Self {
            session: Session::new(settings, 7, start),
            server: Server::new(kind),
            start,
            now: start,
            link: Link::Down,
            requests: Vec::new(),
            states: Vec::new(),
            ready: Vec::new(),
            ended: Vec::new(),
            events: Vec::new(),
            provided: 0,
            left_with: Vec::new(),
            reachable: Ok(()),
            stalled: false,
        }
    }

    pub(crate) fn subscribe(&mut self, interest: impl Into<Interest>) -> SubscriptionId {
        let id = self.session.subscribe(interest.into(), self.now).expect("it can be subscribed to");
        self.settle();
        id
    }

    pub(crate) fn unsubscribe(&mut self, id: SubscriptionId) {
        self.session.unsubscribe(id, self.now);
        self.settle();
    }

    pub(crate) fn publish(&mut self, channel: &str) {
        self.server.publish(channel);
        self.settle();
    }

    /// The server says something out of order.
    pub(crate) fn hear(&mut self, text: &str) {
        self.session.received(text, self.now);
        self.settle();
    }

    /// The connection ends; what was on its way is lost.
    pub(crate) fn cut(&mut self, code: u16) {
        self.server.hang_up();
        self.left_with.push(code);
        self.link = Link::Down;
        self.session.closed(Close::new(code, ""), self.now);
        self.settle();
    }

    /// Until nothing happens any more without time passing.
    pub(crate) fn settle(&mut self) {
        loop {
            self.carry_out();
            if self.stalled || !self.deliver_one() {
                break;
            }
        }
    }

    /// Hands one message of the server to the session.
    pub(crate) fn deliver_one(&mut self) -> bool {
        match self.server.wire.pop_front() {
            Some(Wire::Text(text)) => self.session.received(&text, self.now),
            Some(Wire::Close(code, reason)) => {
                self.link = Link::Down;
                self.server.hang_up();
                self.left_with.push(code);
                self.session.closed(Close::new(code, reason), self.now);
            }
            None => return false,
        }
        true
    }

    pub(crate) fn carry_out(&mut self) {
        let mut done = 0;
        while let Some(effect) = self.session.poll_effect() {
            done += 1;
            assert!(done < 100_000, "effects have no end");
            self.carry_out_one(effect);
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Connect(request) => {
                assert_eq!(self.link, Link::Down, "one connection at a time");
                self.link = Link::Dialling;
                self.requests.push((self.now - self.start, request.clone()));
                match self.reachable {
                    Ok(()) if self.stalled => {}
                    Ok(()) => {
                        self.link = Link::Up;
                        self.session.opened(self.now);
                        self.server.open(&request);
                    }
                    Err(why) => {
                        self.link = Link::Down;
                        self.session.failed(why, None, self.now);
                    }
                }
            }
            Effect::Disconnect { code } => {
                assert_ne!(self.link, Link::Down, "there is something to end");
                self.link = Link::Down;
                self.server.hang_up();
                self.left_with.push(code);
            }
            Effect::Send(text) => {
                assert_eq!(self.link, Link::Up, "{text} goes nowhere");
                if !self.stalled {
                    self.server.hear(&text);
                }
            }
            Effect::Provide => self.provided += 1,
            Effect::Deliver { subscription, event } => self.events.push((subscription, event)),
            Effect::Ready(subscription) => self.ready.push(subscription),
            Effect::Ended { subscription, why } => self.ended.push((subscription, why)),
            Effect::State(state) => self.states.push(state),
        }
    }

    /// Lets time pass, with a wake-up whenever the session wants one.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.settle();
        let end = self.now + time;
        let mut wakes = 0;
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= end) {
            wakes = if due > self.now { 0 } else { wakes + 1 };
            assert!(wakes < 5, "a busy loop");
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    pub(crate) fn seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// The clock jumps: the machine has slept.
    pub(crate) fn jump(&mut self, time: Duration) {
        self.now += time;
        for _ in 0..5 {
            if self.session.poll_timeout().is_none_or(|due| due > self.now) {
                return;
            }
            self.session.handle_timeout(self.now);
            self.settle();
        }
        panic!("a busy loop after a jump");
    }

    /// The numbers of the events that a subscription got, in order.
    pub(crate) fn numbers(&self, id: SubscriptionId) -> Vec<u64> {
        let number = |event: &Event| {
            let payload: serde_json::Value = serde_json::from_str(event.payload.get()).expect("it is JSON");
            payload["n"].as_u64().expect("it is numbered")
        };
        self.events.iter().filter(|(of, _)| *of == id).map(|(_, event)| number(event)).collect()
    }

    /// Messages of a type that the server heard.
    pub(crate) fn heard(&self, kind: &str) -> usize {
        self.server.heard.iter().filter(|message| message["type"] == kind).count()
    }
}
