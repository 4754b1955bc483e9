//! Shows the events that pass to operators who watch: nothing while nobody does, and no more than they can read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use memchr::memmem;
use realtime_core::channel::Channel;
use realtime_core::event::Event;
use realtime_core::id::ProjectId;
use realtime_core::limit::{Bucket, Rate};
use tokio::sync::mpsc;

/// Events that one watcher is shown in a second, more than anybody reads.
const SHOWN: Rate = Rate { limit: 50, per: Duration::from_secs(1) };
/// Blocks of payloads that are searched for one watcher in a second: 1,000 small payloads, or 4 MiB of large ones.
const SEARCHED: Rate = Rate { limit: 1_000, per: Duration::from_secs(1) };
/// The bytes of a block; a payload has at least one.
const BLOCK: usize = 4 * 1024;
/// Events that wait for a watcher whose link is slow.
const WAITING: usize = 200;
/// Watchers at a time.
const MAX_WATCHERS: usize = 16;

/// Where events pass. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lookout(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether there is anybody at all: the one thing that each event looks at.
    is_watched: AtomicBool,
    watchers: Mutex<Vec<Watcher>>,
}

/// Which events somebody wants to see: those for which everything that is given holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Of this project.
    pub(crate) project: Option<ProjectId>,
    /// On this channel.
    pub(crate) channel: Option<Channel>,
    /// Whose name has this in it.
    pub(crate) name: Option<String>,
    /// Whose payload has this in it.
    pub(crate) text: Option<String>,
}

#[derive(Debug)]
struct Watcher {
    wanted: Wanted,
    allowance: Bucket,
    searches: Bucket,
    shown: mpsc::Sender<Arc<Event>>,
    left_out: Arc<AtomicU64>,
}

/// What a watcher gets. Dropping it ends the watching.
#[derive(Debug)]
pub(crate) struct View {
    events: mpsc::Receiver<Arc<Event>>,
    left_out: Arc<AtomicU64>,
}

impl Lookout {
    /// Watches from now on; `None` if too many do already.
    pub(crate) fn watch(&self, wanted: Wanted) -> Option<View> {
        let mut watchers = self.watchers();
        watchers.retain(|watcher| !watcher.shown.is_closed());
        if watchers.len() >= MAX_WATCHERS {
            return None;
        }
        let (shown, events) = mpsc::channel(WAITING);
        let left_out = Arc::<AtomicU64>::default();
        watchers.push(Watcher {
            wanted,
            allowance: Bucket::default(),
            searches: Bucket::default(),
            shown,
            left_out: Arc::clone(&left_out),
        });
        self.0.is_watched.store(true, Ordering::Relaxed);
        Some(View { events, left_out })
    }

    /// An event passes.
    pub(crate) fn see(&self, event: &Arc<Event>) {
        if self.0.is_watched.load(Ordering::Relaxed) {
            self.show(event, Instant::now());
        }
    }

    fn show(&self, event: &Arc<Event>, now: Instant) {
        let mut watchers = self.watchers();
        let before = watchers.len();
        watchers.retain_mut(|watcher| watcher.show(event, now));
        if before > 0 && watchers.is_empty() {
            self.0.is_watched.store(false, Ordering::Relaxed);
        }
    }

    fn watchers(&self) -> MutexGuard<'_, Vec<Watcher>> {
        self.0.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// Whether it still watches.
    fn show(&mut self, event: &Arc<Event>, now: Instant) -> bool {
        if self.shown.is_closed() {
            return false;
        }
        // What is cheap to compare comes first.
        if !self.wanted.is_met_by_head(event) {
            return true;
        }
        let is_searched = self.wanted.text.is_none() || self.may_search(event.payload.as_bytes().len(), now);
        if is_searched && !self.wanted.is_met_by_payload(event) {
            return true;
        }
        let is_shown =
            is_searched && self.allowance.take(SHOWN, now) && self.shown.try_send(Arc::clone(event)).is_ok();
        if !is_shown {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    fn may_search(&mut self, bytes: usize, now: Instant) -> bool {
        let blocks = u32::try_from(bytes.div_ceil(BLOCK).max(1)).unwrap_or(u32::MAX);
        self.searches.take_many(blocks, SEARCHED, now)
    }
}

impl Wanted {
    fn is_met_by_head(&self, event: &Event) -> bool {
        self.project.as_ref().is_none_or(|project| event.project == *project)
            && self.channel.as_ref().is_none_or(|channel| event.channels.contains(channel))
            && self
                .name
                .as_deref()
                .is_none_or(|part| event.name.as_deref().is_some_and(|name| name.contains(part)))
    }

    fn is_met_by_payload(&self, event: &Event) -> bool {
        let payload = event.payload.as_bytes();
        self.text.as_deref().is_none_or(|part| {
            // As bytes: a payload need not be text that Rust accepts.
            !part.is_empty() && memmem::find(payload, part.as_bytes()).is_some()
        })
    }
}

impl View {
    /// The next event; waits for it. `None` if the lookout is gone.
    pub(crate) async fn next(&mut self) -> Option<Arc<Event>> {
        self.events.recv().await
    }

    /// How many events were left out since this was asked last, because more came than are shown.
    pub(crate) fn take_left_out(&self) -> u64 {
        self.left_out.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use bytes::Bytes;
    use realtime_core::event::Spellings;
    use realtime_core::query::Payload;

    use super::*;

    fn event(project: &str, channel: &str, name: &str, payload: &'static str) -> Arc<Event> {
        Arc::new(Event {
            id: "e".into(),
            project: project.into(),
            channels: vec![Channel::new(channel)],
            roles: vec![],
            name: Some(name.into()),
            user: None,
            data: Bytes::from_static(b"{}"),
            payload: Payload::new(Bytes::from_static(payload.as_bytes())),
            roles_changed: None,
            spellings: Spellings::default(),
        })
    }

    #[test]
    fn a_watcher_sees_what_it_wants_and_nothing_else() {
        let wanted = Wanted {
            project: Some("p".into()),
            channel: Some(Channel::new("files")),
            name: Some("update".into()),
            text: Some("needle".into()),
        };
        let hay = r#"{"a":"a needle in it"}"#;
        let cases = [
            (event("p", "files", "x.update", hay), true),
            (event("q", "files", "x.update", hay), false),
            (event("p", "documents", "x.update", hay), false),
            (event("p", "files", "x.create", hay), false),
            (event("p", "files", "x.update", "{}"), false),
        ];
        for (event, is_seen) in cases {
            let lookout = Lookout::default();
            let mut view = lookout.watch(wanted.clone()).unwrap();
            lookout.see(&event);
            assert_eq!(view.events.try_recv().is_ok(), is_seen, "{event:?}");
            assert_eq!(view.take_left_out(), 0);
        }
    }

    #[test]
    fn of_a_flood_a_bounded_part_is_shown_and_the_rest_counted() {
        let lookout = Lookout::default();
        let mut view = lookout.watch(Wanted::default()).unwrap();
        let now = Instant::now();
        for _ in 0..10_000 {
            lookout.show(&event("p", "files", "x.y", "{}"), now);
        }
        let shown = std::iter::from_fn(|| view.events.try_recv().ok()).count();
        assert_eq!(shown, SHOWN.limit as usize);
        assert_eq!(view.take_left_out(), 10_000 - shown as u64);
        assert_eq!(view.take_left_out(), 0);
    }

    #[test]
    fn of_a_flood_of_large_payloads_a_bounded_part_is_searched_and_the_rest_counted() {
        let lookout = Lookout::default();
        let mut view = lookout.watch(Wanted { text: Some("needle".into()), ..Wanted::default() }).unwrap();
        let now = Instant::now();
        let hay: &'static str =
            Box::leak(format!("{{\"a\":\"{}\"}}", "x".repeat(100 * BLOCK)).into_boxed_str());
        for _ in 0..20 {
            lookout.show(&event("p", "files", "x.y", hay), now);
        }
        // 101 blocks each, of 1,000.
        assert_eq!(view.take_left_out(), 20 - 9);
        lookout.show(&event("p", "files", "x.y", r#"{"a":"needle"}"#), now);
        assert!(view.events.try_recv().is_ok(), "what is left is enough for a small one");
    }

    #[test]
    fn whoever_has_gone_costs_nothing_any_more() {
        let lookout = Lookout::default();
        let view = lookout.watch(Wanted::default()).unwrap();
        assert!(lookout.0.is_watched.load(Ordering::Relaxed));
        drop(view);
        lookout.see(&event("p", "files", "x.y", "{}"));
        assert!(!lookout.0.is_watched.load(Ordering::Relaxed));
        assert!(lookout.watchers().is_empty());
    }

    #[test]
    fn there_are_only_so_many_watchers() {
        let lookout = Lookout::default();
        let mut views: Vec<View> =
            (0..MAX_WATCHERS).map(|_| lookout.watch(Wanted::default()).unwrap()).collect();
        assert!(lookout.watch(Wanted::default()).is_none());
        views.pop();
        assert!(lookout.watch(Wanted::default()).is_some());
    }
}
