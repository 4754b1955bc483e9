//! Subscriptions made by the opening request: which channels share a slot, and under which queries.

use std::collections::HashMap;

use crate::channel::Channel;
use crate::command::SlotKey;
use crate::query::{Filter, Limits, QueryError};

/// The slot of channels that came without queries (Appwrite's URL dialect numbers slots from here).
const DEFAULT_SLOT: &str = "0";

/// One subscription to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// The client's name for it.
    pub key: SlotKey,
    /// After conversion.
    pub channels: Vec<Channel>,
    /// What the payload must satisfy.
    pub filter: Filter,
}

/// Groups converted channels into slots, in order of first mention.
///
/// A channel's queries stand under its own name with dots as underscores. The first channel that names a slot decides
/// the slot's queries and later ones join it; a channel without queries joins slot 0, which is unfiltered unless an
/// earlier channel gave it queries (Appwrite `constructSubscriptions`).
pub fn slots_of(
    channels: &[Channel],
    queries: &HashMap<String, Vec<(SlotKey, Vec<String>)>>,
    limits: &Limits,
) -> Result<Vec<Slot>, QueryError> {
    let mut slots: Vec<Slot> = Vec::new();
    let mut places: HashMap<SlotKey, usize> = HashMap::new();
    let unfiltered = [(SlotKey(DEFAULT_SLOT.to_owned()), Vec::new())];
    for channel in channels {
        let named = queries.get(&channel.as_str().replace('.', "_"));
        for (key, texts) in named.map_or(unfiltered.as_slice(), Vec::as_slice) {
            match places.get(key).and_then(|place| slots.get_mut(*place)) {
                Some(slot) => slot.channels.push(channel.clone()),
                None => {
                    places.insert(key.clone(), slots.len());
                    slots.push(Slot {
                        key: key.clone(),
                        channels: vec![channel.clone()],
                        filter: Filter::parse(texts, limits)?,
                    });
                }
            }
        }
    }
    Ok(slots)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn equal(value: &str) -> String {
        format!(r#"{{"method":"equal","attribute":"a","values":["{value}"]}}"#)
    }

    /// Parameter name → slots → query texts.
    type Queries<'a> = &'a [(&'a str, &'a [(&'a str, &'a [String])])];

    fn shape(channels: &[&str], queries: Queries<'_>) -> Vec<(String, Vec<String>, usize)> {
        let channels: Vec<Channel> = channels.iter().map(Channel::new).collect();
        let queries = queries
            .iter()
            .map(|(name, slots)| {
                let slots = slots.iter().map(|(key, texts)| (SlotKey((*key).to_owned()), texts.to_vec()));
                ((*name).to_owned(), slots.collect())
            })
            .collect();
        slots_of(&channels, &queries, &Limits::default())
            .unwrap()
            .into_iter()
            .map(|slot| {
                let channels = slot.channels.iter().map(ToString::to_string).collect();
                (slot.key.0, channels, slot.filter.canonical().len())
            })
            .collect()
    }

    #[test]
    fn channels_without_queries_share_the_unfiltered_slot_0() {
        assert_eq!(
            shape(&["documents", "files"], &[]),
            [("0".to_owned(), vec!["documents".to_owned(), "files".to_owned()], 0)]
        );
    }

    #[test]
    fn the_first_channel_to_define_a_slot_decides_its_queries() {
        let queries: Queries<'_> = &[("documents", &[("0", &[equal("x")])])];
        assert_eq!(
            shape(&["documents", "files"], queries),
            [("0".to_owned(), vec!["documents".to_owned(), "files".to_owned()], 1)]
        );
        assert_eq!(
            shape(&["files", "documents"], queries),
            [("0".to_owned(), vec!["files".to_owned(), "documents".to_owned()], 0)]
        );
    }

    #[test]
    fn a_users_own_account_channel_opens_slot_0_beside_the_clients_slots() {
        let queries: Queries<'_> = &[("account", &[("1", &[equal("x"), equal("y")])])];
        assert_eq!(
            shape(&["account", "account.U"], queries),
            [
                ("1".to_owned(), vec!["account".to_owned()], 2),
                ("0".to_owned(), vec!["account.U".to_owned()], 0)
            ]
        );
    }

    #[test]
    fn dots_of_a_channel_are_underscores_in_its_parameter() {
        let queries: Queries<'_> = &[("documents_X", &[("3", &[equal("x")])])];
        assert_eq!(shape(&["documents.X"], queries), [("3".to_owned(), vec!["documents.X".to_owned()], 1)]);
    }
}
