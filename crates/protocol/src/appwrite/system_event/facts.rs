//! What a payload says about whose it is: its ids and permissions, and nothing else of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The top-level keys that are looked at. Appwrite's response models put ids and permissions there.
const KEYS: [&str; 16] = [
    "$id",
    "$sequence",
    "$databaseId",
    "$collectionId",
    "$tableId",
    "$permissions",
    "databaseId",
    "collectionId",
    "tableId",
    "bucketId",
    "functionId",
    "siteId",
    "resourceId",
    "reportId",
    "teamId",
    "userId",
];

/// The ids and the permissions at the top level of a payload.
#[derive(Debug, Default)]
pub(super) struct Facts {
    ids: BTreeMap<&'static str, String>,
    permissions: Option<Vec<String>>,
}

impl Facts {
    /// Looks through the text of a JSON object, reading only what it keeps.
    pub(super) fn of(payload: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(payload)
    }

    /// The id under a key, if it is a string.
    pub(super) fn id(&self, key: &str) -> Option<&str> {
        self.ids.get(key).map(String::as_str)
    }

    /// The resource's own `$permissions`.
    pub(super) fn permissions(&self) -> Option<&[String]> {
        self.permissions.as_deref()
    }
}

impl<'de> Deserialize<'de> for Facts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FactsVisitor)
    }
}

struct FactsVisitor;

impl<'de> Visitor<'de> for FactsVisitor {
    type Value = Facts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Facts, A::Error> {
        let mut facts = Facts::default();
        let mut seen: Vec<&str> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let Some(key) = KEYS.into_iter().find(|known| *known == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen.contains(&key) {
                return Err(A::Error::custom(format!(
                    "`{key}` stands twice, and readers would differ on which counts"
                )));
            }
            seen.push(key);
            let value = map.next_value::<&RawValue>()?.get();
            if key == "$permissions" {
                facts.permissions = serde_json::from_str(value)
                    .map_err(|_| A::Error::custom("`$permissions` must be a list of strings"))?;
            } else if let Ok(id) = serde_json::from_str(value) {
                facts.ids.insert(key, id);
            }
        }
        Ok(facts)
    }
}
