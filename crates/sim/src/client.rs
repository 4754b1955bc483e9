//! Clients of three sorts, each as a state machine that wants things done.

mod sdk;
mod session;
mod url;

use std::fmt::Debug;
use std::time::Instant;

use realtime_core::leave::Leave;

use crate::model::Told;
use crate::workload::{ClientPlan, Kind, PROJECTS};

/// The head of a request.
#[derive(Debug, Clone)]
pub struct Head {
    /// Path and query.
    pub uri: String,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
}

/// What a client wants done.
#[derive(Debug)]
pub enum Wish {
    /// Open a link.
    Connect(Head),
    /// Take leave and end the link.
    Disconnect(Leave),
    /// Send a text message.
    Send(String),
    /// Tell the application.
    Tell(Told),
    /// A subscription goes by this name from now on.
    Name(String, usize),
}

/// One sort of client. Facts in, wishes out.
pub trait Driver: Debug {
    /// The application starts.
    fn start(&mut self, now: Instant);
    /// The link is there.
    fn opened(&mut self, now: Instant);
    /// There is no link to be had.
    fn failed(&mut self, now: Instant);
    /// The server sent a text message.
    fn heard(&mut self, text: &str, now: Instant);
    /// The server sent a Ping.
    fn pinged(&mut self, now: Instant);
    /// The link has ended, with this code; 1006 is without a word.
    fn closed(&mut self, code: u16, now: Instant);
    /// It reads nothing until then. Official SDKs run in pages, which do one thing at a time: they say nothing either.
    fn stalls(&mut self, _until: Instant) {}
    /// The application ends a subscription, or makes it anew.
    fn toggle(&mut self, interest: usize, now: Instant);
    /// The application says goodbye and starts again at some time.
    fn leave(&mut self, back_at: Instant, now: Instant);
    /// It is that late.
    fn handle_timeout(&mut self, now: Instant);
    /// When the next thing is due.
    fn poll_timeout(&self) -> Option<Instant>;
    /// The next thing to do.
    fn poll(&mut self) -> Option<Wish>;
}

/// A client of a sort.
pub fn driver(number: usize, plan: &ClientPlan, seed: u64, now: Instant) -> Box<dyn Driver> {
    match plan.kind {
        Kind::Session => Box::new(session::SessionClient::new(plan, seed, now)),
        Kind::Sdk => Box::new(sdk::SdkClient::new(number, plan)),
        Kind::Url => Box::new(url::UrlClient::new(plan)),
    }
}

fn project_of(plan: &ClientPlan) -> &'static str {
    PROJECTS.get(plan.project).copied().unwrap_or_default()
}

/// The queries of an interest.
fn queries_of(interest: &crate::workload::Interest) -> Vec<String> {
    let above = interest.above.map(|above| {
        serde_json::json!({ "method": "greaterThan", "attribute": "n", "values": [above] }).to_string()
    });
    above.into_iter().collect()
}
