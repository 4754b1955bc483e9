//! The resource that an event is about, opened only as far as filters ask.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Members that an object mostly has room for without growing: a document has some ten of Appwrite's own.
const USUAL: usize = 16;

/// The resource an event is about: a JSON object kept as bytes. Its keys are found at most once and each attribute
/// is parsed at most once, however many filters ask, and not at all if none does.
#[derive(Debug)]
pub struct Payload {
    text: Bytes,
    /// In the order of their names, which are distinct.
    attributes: OnceLock<Option<Box<[Attribute]>>>,
}

/// Where an attribute is, and its value once asked for: `None` if it nests deeper than the parser follows.
#[derive(Debug)]
struct Attribute {
    name: Name,
    text: Span,
    value: OnceLock<Option<Value>>,
}

/// A part of the text. Names and values are not copied out of it: most events have many that nobody asks for.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
}

#[derive(Debug)]
enum Name {
    Written(Span),
    /// It has escapes, or stands nowhere.
    Spelled(Box<str>),
}

impl Payload {
    /// Wraps the text of a JSON object.
    pub fn new(text: Bytes) -> Self {
        Self { text, attributes: OnceLock::new() }
    }

    /// The text as it came.
    pub fn as_bytes(&self) -> &Bytes {
        &self.text
    }

    /// Whether the text is an object, or a list, which PHP publishers write for an object without keys.
    pub(super) fn is_readable(&self) -> bool {
        self.attributes().is_some()
    }

    /// The value of a top-level key. `None` if there is no such key, or if its value is nested deeper than 127
    /// levels, or if it is a number beyond all floats: nothing can be said of such a value, so no condition on it holds.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Value> {
        let attribute = self.find(name)?;
        let read = || serde_json::from_slice(attribute.text.of(&self.text)).ok();
        attribute.value.get_or_init(read).as_ref()
    }

    fn find(&self, name: &str) -> Option<&Attribute> {
        let attributes = self.attributes()?;
        let place =
            attributes.binary_search_by(|other| other.name.of(&self.text).cmp(name.as_bytes())).ok()?;
        attributes.get(place)
    }

    fn attributes(&self) -> Option<&[Attribute]> {
        self.attributes.get_or_init(|| self.find_attributes()).as_deref()
    }

    /// Raw values are skipped over without recursion, so one that is nested without end hides no other.
    fn find_attributes(&self) -> Option<Box<[Attribute]>> {
        let text = &self.text;
        let mut found = Vec::with_capacity(USUAL);
        let mut put = |name, raw: &RawValue| {
            let span = Span::within(text, raw.get())?;
            found.push(Attribute { name, text: span, value: OnceLock::new() });
            Some(())
        };
        if let Ok(Object(members)) = serde_json::from_slice(text) {
            for (name, raw) in members {
                let name = match name {
                    Cow::Borrowed(name) => Name::Written(Span::within(text, name)?),
                    Cow::Owned(name) => Name::Spelled(name.into()),
                };
                put(name, raw)?;
            }
        } else {
            // PHP cannot tell a list from an object with keys 0, 1, 2….
            let list = serde_json::from_slice::<Vec<&RawValue>>(text).ok()?;
            for (index, raw) in list.into_iter().enumerate() {
                put(Name::Spelled(index.to_string().into()), raw)?;
            }
        }
        // Of those with the same name the last counts.
        found.reverse();
        found.sort_by(|one, other| one.name.of(text).cmp(other.name.of(text)));
        found.dedup_by(|later, kept| later.name.of(text) == kept.name.of(text));
        Some(found.into())
    }
}

impl Span {
    /// Where a part of the text is in it.
    fn within(text: &[u8], part: &str) -> Option<Self> {
        let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        let span = Self { start, end: start + part.len() };
        (span.of(text) == part.as_bytes()).then_some(span)
    }

    fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

impl Name {
    fn of<'a>(&'a self, text: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Written(span) => span.of(text),
            Self::Spelled(name) => name.as_bytes(),
        }
    }
}

/// The members of a JSON object as they stand.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A name that is borrowed from the text unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(USUAL);
                while let Some((Key(name), raw)) = map.next_entry()? {
                    members.push((name, raw));
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_parsed_before_it_is_asked_for() {
        let payload = Payload::new(Bytes::from_static(br#"{"a":1,"b":2}"#));
        assert!(payload.attributes.get().is_none());
        assert_eq!(payload.attribute("a"), Some(&Value::from(1)));
        let unread = |name: &str| payload.find(name).map(|found| found.value.get().is_none());
        assert_eq!((unread("a"), unread("b"), unread("c")), (Some(false), Some(true), None));
    }

    #[test]
    fn the_text_stays_as_it_came() {
        let text = Bytes::from_static(b" { \"a\" : 1.0 }\n");
        let payload = Payload::new(text.clone());
        assert_eq!(payload.attribute("a"), Some(&Value::from(1.0)));
        assert_eq!(payload.as_bytes(), &text);
    }

    #[test]
    fn a_list_has_its_indices_for_keys() {
        let payload = Payload::new(Bytes::from_static(b"[7,8]"));
        assert_eq!(payload.attribute("1"), Some(&Value::from(8)));
        assert_eq!(payload.attribute("01"), None);
    }

    #[test]
    fn names_may_have_escapes_and_the_last_of_several_counts() {
        let payload = Payload::new(Bytes::from_static(br#"{"b":0,"a":1,"\u0061":2,"\"":3,"":4,"b":5}"#));
        for (name, value) in [("a", 2), ("\"", 3), ("", 4), ("b", 5)] {
            assert_eq!(payload.attribute(name), Some(&Value::from(value)), "{name}");
        }
        assert_eq!((payload.attribute("c"), payload.attribute("\\u0061")), (None, None));
    }

    proptest! {
        #[test]
        fn attributes_are_those_that_a_map_has(members in prop::collection::vec(("[ab\\\\\"é]{0,2}", any::<u8>()), 0..40)) {
            let written = members.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())));
            let text = format!("{{{}}}", written.collect::<Vec<_>>().join(","));
            let payload = Payload::new(Bytes::from(text));
            let map: BTreeMap<String, u8> = members.into_iter().collect();
            for (name, value) in &map {
                prop_assert_eq!(payload.attribute(name), Some(&Value::from(*value)));
            }
            prop_assert_eq!(payload.attributes().map(<[_]>::len), Some(map.len()));
        }
    }
}
