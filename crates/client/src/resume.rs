//! Going on where a lost connection left off: everything that this asks of the wire is here.
//!
//! Each item of the `subscribe` message that follows a reconnect carries the `subscriptionId` it had before and, as
//! `since`, the id of the last event that this subscription has seen; of one that has seen none the server remembers
//! where it began. The `response` says for each subscription whether the server sends all that was missed (`recovered`),
//! and if not, why (`reason`); what was missed comes next, before anything new. A server that cannot resume says
//! nothing; then nobody vouches for the time in between.
//!
//! With `gaps=1` in its URL a connection is told in a message of type `gap` when the server itself may have missed events.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::event::Gap;

/// How many ids a subscription remembers. A server repeats only what it had sent and the client may not have taken in, so
/// this many messages may have been on their way.
const REMEMBERED: usize = 512;

/// What asks a server in the URL to tell of gaps.
pub(crate) const TELL_GAPS: &str = "&gaps=1";

/// What a subscription has seen: where to go on, and what to drop if it comes again.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    order: VecDeque<Arc<str>>,
    ids: BTreeSet<Arc<str>>,
}

impl Seen {
    /// Whether an event is new. One without an id always is.
    pub(crate) fn is_new(&mut self, id: Option<&Arc<str>>) -> bool {
        let Some(id) = id else { return true };
        if !self.ids.insert(Arc::clone(id)) {
            return false;
        }
        self.order.push_back(Arc::clone(id));
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }

    /// Says in an item of a `subscribe` message where to go on.
    pub(crate) fn ask(&self, item: &mut Map<String, Value>) {
        if let Some(last) = self.order.back() {
            item.insert("since".to_owned(), last.as_ref().into());
        }
    }
}

/// What the server says about a subscription that was there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// It has sent or will send all that was missed.
    Complete,
    /// It has not.
    Incomplete(Gap),
}

impl Recovery {
    /// Reads an item of the `response` to `subscribe`. What is not there or not as it should be vouches for nothing.
    pub(crate) fn read(item: Option<&Value>) -> Self {
        let field = |name: &str| item.and_then(|item| item.get(name));
        match field("recovered").and_then(Value::as_bool) {
            Some(true) => Self::Complete,
            Some(false) => {
                let reason = field("reason").and_then(Value::as_str).unwrap_or("the server gives no reason");
                Self::Incomplete(Gap::Unrecovered(reason.to_owned()))
            }
            None => Self::Incomplete(Gap::Unvouched),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id(number: usize) -> Arc<str> {
        number.to_string().into()
    }

    #[test]
    fn an_event_is_new_once() {
        let mut seen = Seen::default();
        assert!(seen.is_new(Some(&id(1))) && seen.is_new(Some(&id(2))) && !seen.is_new(Some(&id(1))));
        assert!(seen.is_new(None) && seen.is_new(None), "without an id nobody can tell");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_latest() {
        let mut seen = Seen::default();
        for number in 0..10 * REMEMBERED {
            assert!(seen.is_new(Some(&id(number))));
        }
        assert_eq!((seen.order.len(), seen.ids.len()), (REMEMBERED, REMEMBERED));
        for number in 9 * REMEMBERED..10 * REMEMBERED {
            assert!(!seen.is_new(Some(&id(number))), "{number} is remembered");
        }
    }

    #[test]
    fn it_goes_on_after_the_last_event_and_not_after_a_repeated_one() {
        let mut seen = Seen::default();
        let asked = |seen: &Seen| {
            let mut item = Map::new();
            seen.ask(&mut item);
            Value::Object(item)
        };
        assert_eq!(asked(&seen), json!({}));
        for number in [1, 2, 3, 1] {
            seen.is_new(Some(&id(number)));
        }
        assert_eq!(asked(&seen), json!({ "since": "3" }));
    }

    #[test]
    fn only_a_clear_yes_vouches() {
        let gap = |reason: &str| Recovery::Incomplete(Gap::Unrecovered(reason.to_owned()));
        let unvouched = Recovery::Incomplete(Gap::Unvouched);
        for (item, recovery) in [
            (json!({ "recovered": true }), Recovery::Complete),
            (json!({ "recovered": false, "reason": "too long ago" }), gap("too long ago")),
            (json!({ "recovered": false, "reason": 7 }), gap("the server gives no reason")),
            (json!({ "recovered": "true" }), unvouched.clone()),
            (json!({ "recovered": 1 }), unvouched.clone()),
            (json!({}), unvouched.clone()),
            (json!([true]), unvouched.clone()),
        ] {
            assert_eq!(Recovery::read(Some(&item)), recovery, "{item}");
        }
        assert_eq!(Recovery::read(None), unvouched);
    }
}
