//! P2: every event that a client is entitled to arrives, in its turn, or the client is told that nobody vouches for the
//! time in which it happened.

use std::collections::{BTreeMap, BTreeSet};

use realtime_core::outbox;

use super::Property;
use crate::model::{LinkId, Model, Number, Seen, ShardId, Told};
use crate::workload::Kind;

/// What each subscription is owed.
#[derive(Debug, Default)]
pub(super) struct Complete {
    books: BTreeMap<(usize, String), Book>,
    /// The link of each client that has one.
    links: BTreeMap<usize, LinkId>,
}

/// What one subscription is owed.
#[derive(Debug, Default)]
struct Book {
    /// Whether it listens, so that what happens is owed.
    listens: bool,
    /// What has not come.
    owed: BTreeSet<Number>,
    got: BTreeSet<Number>,
}

impl Complete {
    /// A client that cannot be told of a gap at once is owed nothing that its engine was not given until then.
    fn forgive(&mut self, shard: ShardId, truth: &Model) {
        for (client, link) in &self.links {
            let Some(visit) = truth.visits.get(*link).filter(|visit| visit.shard == shard) else { continue };
            if truth.kind_of(*client) == Kind::Session {
                continue;
            }
            let feed = truth.feeds.get(&shard);
            let was_given = |event: &Number| feed.is_some_and(|feed| feed.place(*event).is_some());
            let opened = visit.opened_at;
            let is_old = |event: &Number| {
                let lead = std::time::Duration::from_secs(30);
                truth.events.get(*event).is_some_and(|event| event.at + lead < opened)
            };
            for (_, book) in
                self.books.range_mut((*client, String::new())..).take_while(|((of, _), _)| of == client)
            {
                book.owed.retain(|event| was_given(event) || is_old(event));
            }
        }
    }

    /// What came before an event on the engine behind the client's link had to come before it here.
    fn look_back(&mut self, client: usize, name: &str, event: Number, truth: &Model) -> Result<(), String> {
        let Some(visit) = self.links.get(&client).and_then(|link| truth.visits.get(*link)) else {
            return Ok(());
        };
        let Some(feed) = truth.feeds.get(&visit.shard) else { return Ok(()) };
        let Some(book) = self.books.get_mut(&(client, name.to_owned())) else { return Ok(()) };
        if truth.setting.slow != outbox::Slow::Close {
            return Ok(());
        }
        let Some(place) = feed.place(event) else { return Ok(()) };
        let missing: Vec<Number> = book
            .owed
            .iter()
            .copied()
            .filter(|owed| feed.place(*owed).is_some_and(|before| before < place))
            .collect();
        for owed in missing {
            if truth.is_entitled(client, owed) {
                return Err(format!(
                    "client {client} got e{event} for {name} but not e{owed}, which came before"
                ));
            }
            book.owed.remove(&owed);
        }
        Ok(())
    }

    fn told(&mut self, client: usize, told: &Told, truth: &Model) -> Result<(), String> {
        match told {
            Told::Listens(name) | Told::Doubt(name) => {
                let book = self.books.entry((client, name.clone())).or_default();
                book.listens = true;
                book.owed.clear();
            }
            Told::Ended(name) => {
                let book = self.books.entry((client, name.clone())).or_default();
                book.listens = false;
                book.owed.clear();
            }
            Told::Event(name, event) => {
                self.look_back(client, name, *event, truth)?;
                let book = self.books.entry((client, name.clone())).or_default();
                book.owed.remove(event);
                book.got.insert(*event);
            }
            Told::Recovered(name) => {
                // Who came back twice where nobody knew it, and lost the first answer, which said so: what came since that
                // answer is owed.
                let known = (client, name.clone());
                let Some(book) = self.books.get_mut(&known) else { return Ok(()) };
                match truth.mistaken.get(&known) {
                    Some(at) => {
                        let is_since =
                            |event: &Number| truth.events.get(*event).is_some_and(|event| event.at > *at);
                        book.owed.retain(is_since);
                    }
                    // Likewise, but the other node asked while the note was under way, which came to nothing.
                    None => {
                        let here = self.links.get(&client).and_then(|link| truth.visits.get(*link));
                        let here = here.map(|visit| visit.shard.0);
                        if truth.unshared.get(&known).is_some_and(|there| here != Some(*there)) {
                            book.owed.clear();
                        }
                    }
                }
            }
            Told::Stopped => {}
        }
        Ok(())
    }

    fn publish(&mut self, event: Number, truth: &Model) {
        for ((client, name), book) in &mut self.books {
            let interest = truth.interest(*client, name);
            if book.listens && interest.is_some_and(|interest| truth.concerns(*client, interest, event)) {
                book.owed.insert(event);
            }
        }
    }
}

/// Whether nobody owes this client anything: it cannot say what it has got, or is spared and not told.
fn is_unvouched(client: usize, truth: &Model) -> bool {
    let Some(plan) = truth.setting.clients.get(client) else { return true };
    !plan.answers || (plan.kind == Kind::Url && truth.setting.slow == outbox::Slow::Drop)
}

impl Property for Complete {
    fn name(&self) -> &'static str {
        "complete"
    }

    fn see(&mut self, seen: &Seen<'_>, truth: &Model) -> Result<(), String> {
        match seen {
            Seen::Published(event) => self.publish(*event, truth),
            Seen::Gapped(shard) => self.forgive(*shard, truth),
            Seen::Opened(link) => {
                if let Some(visit) = truth.visits.get(*link) {
                    self.links.insert(visit.client, *link);
                }
            }
            Seen::Left(link) => self.links.retain(|_, held| held != link),
            Seen::Told(client, told) if !is_unvouched(*client, truth) => self.told(*client, told, truth)?,
            Seen::Told(..)
            | Seen::Took(..)
            | Seen::Heard(..)
            | Seen::Acknowledged(_)
            | Seen::Cut(_)
            | Seen::Stalled(..)
            | Seen::Resumed(_)
            | Seen::Drains(..)
            | Seen::Trouble(_)
            | Seen::Keeps(..) => {}
        }
        Ok(())
    }

    fn settle(&mut self, truth: &Model) -> Result<(), String> {
        for ((client, name), book) in &self.books {
            for event in &book.owed {
                let subject = truth.events.get(*event).map(|event| &event.subject);
                let stands_for = |later: &Number| {
                    *later > *event && truth.events.get(*later).map(|event| &event.subject) == subject
                };
                let is_conflated =
                    truth.setting.slow == outbox::Slow::Conflate && book.got.iter().any(stands_for);
                if truth.is_entitled(*client, *event) && !is_conflated {
                    return Err(format!(
                        "client {client} never got e{event} for {name}, and was told nothing"
                    ));
                }
            }
        }
        Ok(())
    }
}
