//! The resource that an event is about, opened only as far as filters ask.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

/// The resource an event is about: a JSON object kept as bytes. Its keys are found at most once and each attribute
/// is parsed at most once, however many filters ask, and not at all if none does.
#[derive(Debug)]
pub struct Payload {
    text: Bytes,
    attributes: OnceLock<Option<BTreeMap<String, Attribute>>>,
}

/// The text of one attribute, and its value once asked for: `None` if it nests deeper than the parser follows.
#[derive(Debug)]
struct Attribute {
    text: Bytes,
    value: OnceLock<Option<Value>>,
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
        let attribute = self.attributes()?.get(name)?;
        attribute.value.get_or_init(|| serde_json::from_slice(&attribute.text).ok()).as_ref()
    }

    fn attributes(&self) -> Option<&BTreeMap<String, Attribute>> {
        self.attributes.get_or_init(|| self.find_attributes()).as_ref()
    }

    /// Raw values are skipped over without recursion, so one that is nested without end hides no other.
    fn find_attributes(&self) -> Option<BTreeMap<String, Attribute>> {
        let attribute = |raw: &RawValue| Attribute {
            text: self.text.slice_ref(raw.get().as_bytes()),
            value: OnceLock::new(),
        };
        if let Ok(object) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(&self.text) {
            return Some(object.into_iter().map(|(name, raw)| (name, attribute(raw))).collect());
        }
        // PHP cannot tell a list from an object with keys 0, 1, 2….
        let list = serde_json::from_slice::<Vec<&RawValue>>(&self.text).ok()?;
        Some(list.into_iter().enumerate().map(|(index, raw)| (index.to_string(), attribute(raw))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_parsed_before_it_is_asked_for() {
        let payload = Payload::new(Bytes::from_static(br#"{"a":1,"b":2}"#));
        assert!(payload.attributes.get().is_none());
        assert_eq!(payload.attribute("a"), Some(&Value::from(1)));
        let unread =
            |name: &str| payload.attributes().and_then(|all| all.get(name)).map(|b| b.value.get().is_none());
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
}
