//! Drives a session: with the clock, a link, and the wishes of the application.

use std::collections::HashMap;
use std::time::{Instant, SystemTime};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tracing::debug;

use super::link::{Heard, Link, Tls};
use super::provider::{Provider, ProviderError};
use super::subscription::{Progress, Subscription};
use crate::close::GOODBYE;
use crate::credential::Credential;
use crate::effect::Effect;
use crate::error::Error;
use crate::event::{Event, Gap};
use crate::interest::Interest;
use crate::presence::Presence;
use crate::session::{Session, Settings};
use crate::state::State;
use crate::subscription::SubscriptionId;

/// What the application wants.
#[derive(Debug)]
pub(super) enum Command {
    Subscribe {
        interest: Interest,
        /// What the subscription will end itself with.
        commands: mpsc::UnboundedSender<Command>,
        reply: oneshot::Sender<Result<Subscription, Error>>,
    },
    Update(SubscriptionId, Interest),
    Unsubscribe(SubscriptionId),
    Authenticate(Option<Credential>),
    Present(Option<Presence>, oneshot::Sender<Result<(), Error>>),
    Hurry,
    Watch(mpsc::Sender<State>),
    Close(oneshot::Sender<()>),
}

type Provided = Result<Credential, ProviderError>;

/// Drives a session.
#[derive(Debug)]
pub(super) struct Driver {
    session: Session,
    buffer: usize,
    tls: Tls,
    provider: Option<Provider>,
    providing: Option<JoinHandle<Provided>>,
    link: Option<Link>,
    commands: mpsc::UnboundedReceiver<Command>,
    readers: HashMap<SubscriptionId, Reader>,
    watchers: Vec<mpsc::Sender<State>>,
}

/// The application's end of a subscription.
#[derive(Debug)]
struct Reader {
    events: mpsc::Sender<Event>,
    progress: watch::Sender<Progress>,
    /// Events were left out since the last that was delivered.
    overrun: bool,
}

impl Driver {
    pub(super) fn new(
        settings: Settings,
        buffer: usize,
        tls: Tls,
        provider: Option<Provider>,
        credential: Option<Credential>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let mut driver = Self {
            session: Session::new(settings, rand::random(), now()),
            buffer,
            tls,
            provider,
            providing: None,
            link: None,
            commands,
            readers: HashMap::new(),
            watchers: Vec::new(),
        };
        if credential.is_some() {
            driver.authenticate(credential);
        }
        driver
    }

    /// Until the application has closed the client or dropped all of it.
    pub(super) async fn run(mut self) {
        let done = loop {
            self.carry_out();
            let wake = self.session.poll_timeout();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Close(done)) => break Some(done),
                    None => break None,
                    Some(command) => {
                        self.obey(command);
                        // What is wished at the same time is told to the server in one message.
                        while let Ok(command) = self.commands.try_recv() {
                            if let Command::Close(done) = command {
                                return self.end(Some(done)).await;
                            }
                            self.obey(command);
                        }
                    }
                },
                heard = hear(&mut self.link) => self.hear(heard),
                provided = provided(&mut self.providing) => self.take_credential(provided),
                () = sleep_until(wake) => self.session.handle_timeout(now()),
            }
        };
        self.end(done).await;
    }

    async fn end(mut self, done: Option<oneshot::Sender<()>>) {
        self.session.close(now());
        let link = self.link.take();
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                Effect::Ended { .. } | Effect::State(_) => self.carry_out_one(effect),
                Effect::Connect(_)
                | Effect::Disconnect { .. }
                | Effect::Send(_)
                | Effect::Provide
                | Effect::Deliver { .. }
                | Effect::Ready(_) => {}
            }
        }
        if let Some(link) = link {
            // Nothing depends on how that went.
            _ = link.leave(GOODBYE).await;
        }
        if let Some(done) = done {
            // Nobody may wait for it any more.
            _ = done.send(());
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Subscribe { interest, commands, reply } => {
                let subscribed = self.session.subscribe(interest, now());
                let subscription = subscribed.map(|id| self.reader(id, commands));
                // Whoever does not wait any more drops the subscription, which unsubscribes.
                drop(reply.send(subscription));
            }
            Command::Update(id, interest) => {
                if let Err(error) = self.session.update(id, interest, now()) {
                    debug!(subscription = %id, %error, "not updated");
                }
            }
            Command::Unsubscribe(id) => {
                self.readers.remove(&id);
                self.session.unsubscribe(id, now());
            }
            Command::Authenticate(credential) => {
                // An answer to a question of before is not used.
                if let Some(asked) = self.providing.take() {
                    asked.abort();
                }
                self.authenticate(credential);
            }
            Command::Present(presence, reply) => {
                // Whoever wished it may not wait for the answer.
                drop(reply.send(self.session.present(presence.as_ref(), now())));
            }
            Command::Hurry => self.session.hurry(now()),
            Command::Watch(watcher) => self.watchers.push(watcher),
            // Looked at before.
            Command::Close(_) => {}
        }
    }

    fn reader(&mut self, id: SubscriptionId, commands: mpsc::UnboundedSender<Command>) -> Subscription {
        let (events, read) = mpsc::channel(self.buffer);
        let (progress, seen) = watch::channel(Progress::Begun);
        self.readers.insert(id, Reader { events, progress, overrun: false });
        Subscription { id, events: read, progress: seen, commands }
    }

    fn authenticate(&mut self, credential: Option<Credential>) {
        let lasts = credential.as_ref().and_then(|credential| credential.lasts(since_1970()));
        self.session.authenticate(credential, lasts, now());
    }

    fn take_credential(&mut self, provided: Result<Provided, JoinError>) {
        self.providing = None;
        match provided {
            Ok(Ok(credential)) => self.authenticate(Some(credential)),
            Ok(Err(why)) => self.session.not_provided(why.to_string(), now()),
            Err(_) => self.session.not_provided("the provider panicked", now()),
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Opened => self.session.opened(now()),
            Heard::Failed { why, after } => {
                self.link = None;
                self.session.failed(why, after, now());
            }
            Heard::Text(text) => self.session.received(&text, now()),
            Heard::SignOfLife => self.session.heard(now()),
            Heard::Closed(close) => {
                self.link = None;
                self.session.closed(close, now());
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.session.poll_effect() {
            self.carry_out_one(effect);
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Connect(request) => self.link = Some(Link::open(request, self.tls.clone())),
            Effect::Disconnect { code } => {
                if let Some(link) = self.link.take() {
                    drop(link.leave(code));
                }
            }
            Effect::Send(text) => {
                if let Some(link) = &self.link {
                    link.say(text);
                }
            }
            Effect::Provide => {
                if let Some(provider) = self.provider.clone() {
                    // A fault of the application's, also before its first await, is its own.
                    let asked = tokio::spawn(async move { provider.provide().await });
                    if let Some(overdue) = self.providing.replace(asked) {
                        overdue.abort();
                    }
                }
            }
            Effect::Deliver { subscription, event } => self.deliver(subscription, event),
            Effect::Ready(subscription) => self.progress(subscription, Progress::Ready),
            Effect::Ended { subscription, why } => {
                self.progress(subscription, Progress::Ended(why));
                self.readers.remove(&subscription);
            }
            Effect::State(state) => self.tell(&state),
        }
    }

    fn progress(&self, subscription: SubscriptionId, progress: Progress) {
        if let Some(reader) = self.readers.get(&subscription) {
            reader.progress.send_replace(progress);
        }
    }

    /// Nobody waits for a slow reader: what does not fit is left out, and that is told.
    fn deliver(&mut self, subscription: SubscriptionId, mut event: Event) {
        let Some(reader) = self.readers.get_mut(&subscription) else { return };
        if reader.overrun {
            event.gap = Some(Gap::Overrun);
        }
        match reader.events.try_send(event) {
            Ok(()) => reader.overrun = false,
            Err(TrySendError::Full(_)) => {
                if !std::mem::replace(&mut reader.overrun, true) {
                    self.tell(&State::Gap { subscription, gap: Gap::Overrun });
                }
            }
            // It was dropped; its word about that is on the way.
            Err(TrySendError::Closed(_)) => {}
        }
    }

    fn tell(&mut self, state: &State) {
        debug!(?state);
        self.watchers.retain(|watcher| match watcher.try_send(state.clone()) {
            Ok(()) | Err(TrySendError::Full(_)) => true,
            Err(TrySendError::Closed(_)) => false,
        });
    }
}

/// The runtime's clock, which a test may stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a token lasts is counted from today, outside of the session"
)]
fn since_1970() -> std::time::Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

async fn hear(link: &mut Option<Link>) -> Heard {
    match link {
        Some(link) => link.hear().await,
        None => std::future::pending().await,
    }
}

async fn provided(providing: &mut Option<JoinHandle<Provided>>) -> Result<Provided, JoinError> {
    match providing {
        Some(providing) => providing.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}
