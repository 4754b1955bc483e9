//! Compares a message with what a transcript expects of it.

use std::collections::BTreeMap;

use serde_json::Value;

/// Stands for any value.
const ANY: &str = "*";
/// As the last entry of a list: any more entries. As a key of an object: any other members.
const MORE: &str = "...";
/// As the first entry of a list: the rest may come in any order.
const ANY_ORDER: &str = "in any order";
/// As the first entry of a list, after a number: how long the list is.
const IN_ALL: &str = " in all";

/// Values that a transcript gave a name, as `<name>` where the value stands.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<String, String>);

impl Names {
    /// A message to send, with names replaced by what they stand for.
    pub(crate) fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name.as_str(), value))
    }

    /// Meets a name: the first time it takes the value, later it must be the same. Different names stand for different
    /// values.
    fn meet(&mut self, name: &str, found: &str) -> Result<(), String> {
        match self.0.get(name) {
            Some(known) if known == found => Ok(()),
            Some(known) => Err(format!("{found:?}, and {name} is {known:?}")),
            None if found.is_empty() => Err(format!("empty, so {name} stands for nothing")),
            None => match self.0.iter().find(|(_, known)| *known == found) {
                Some((other, _)) => Err(format!("{found:?}, which is {other} and not {name}")),
                None => {
                    self.0.insert(name.to_owned(), found.to_owned());
                    Ok(())
                }
            },
        }
    }
}

/// The first difference, with the path to it.
pub(crate) fn difference(expected: &Value, found: &Value, names: &mut Names) -> Option<String> {
    differ(expected, found, "$", names)
}

fn differ(expected: &Value, found: &Value, path: &str, names: &mut Names) -> Option<String> {
    match (expected, found) {
        (Value::String(any), _) if any == ANY => None,
        (Value::String(name), Value::String(found)) if name.starts_with('<') && name.ends_with('>') => {
            names.meet(name, found).err().map(|problem| format!("{path} is {problem}"))
        }
        (Value::Object(expected), Value::Object(found)) => {
            let missing = expected.keys().find(|key| *key != MORE && !found.contains_key(*key));
            if let Some(key) = missing {
                return Some(format!("{path}.{key} is missing"));
            }
            let extra = found.keys().find(|key| !expected.contains_key(*key));
            if let (Some(key), false) = (extra, expected.contains_key(MORE)) {
                return Some(format!("{path}.{key} is not expected"));
            }
            expected
                .iter()
                .filter(|(key, _)| *key != MORE)
                .find_map(|(key, value)| differ(value, found.get(key)?, &format!("{path}.{key}"), names))
        }
        (Value::Array(expected), Value::Array(found)) => differ_list(expected, found, path, names),
        (expected, found) if expected == found => None,
        (expected, found) => Some(format!("{path} is {found}, expected {expected}")),
    }
}

fn differ_list(expected: &[Value], found: &[Value], path: &str, names: &mut Names) -> Option<String> {
    let mut expected = expected;
    let mut any_order = false;
    while let [Value::String(word), rest @ ..] = expected {
        if word == ANY_ORDER {
            any_order = true;
        } else if let Some(count) = word.strip_suffix(IN_ALL) {
            if count != found.len().to_string() {
                return Some(format!("{path} has {} entries: {}", found.len(), Value::from(found)));
            }
        } else {
            break;
        }
        expected = rest;
    }
    let open = expected.last().is_some_and(|last| last == MORE);
    let expected = if open { &expected[..expected.len() - 1] } else { expected };
    if found.len() < expected.len() || (!open && found.len() > expected.len()) {
        return Some(format!("{path} has {} entries: {}", found.len(), Value::from(found)));
    }
    if !any_order {
        let mut pairs = expected.iter().zip(found).enumerate();
        return pairs
            .find_map(|(at, (expected, found))| differ(expected, found, &format!("{path}[{at}]"), names));
    }
    let mut left: Vec<&Value> = found.iter().collect();
    for entry in expected {
        match left.iter().position(|found| differ(entry, found, path, names).is_none()) {
            Some(at) => left.remove(at),
            None => return Some(format!("{path} lacks {entry}: {}", Value::from(found))),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn same(expected: Value, found: Value) -> bool {
        difference(&expected, &found, &mut Names::default()).is_none()
    }

    #[test]
    fn objects_and_lists_are_closed_unless_they_say_otherwise() {
        assert!(!same(json!({"a": 1}), json!({"a": 1, "b": 2})));
        assert!(same(json!({"a": 1, "...": "..."}), json!({"a": 1, "b": 2})));
        assert!(!same(json!({"a": 1, "...": "..."}), json!({"b": 2})));
        assert!(!same(json!([1]), json!([1, 2])));
        assert!(same(json!([1, "..."]), json!([1, 2])));
        assert!(!same(json!([2, "..."]), json!([1, 2])));
        assert!(same(json!(["*"]), json!([null])));
    }

    #[test]
    fn a_list_may_be_counted_and_may_come_in_any_order() {
        assert!(same(json!(["in any order", 1, 2]), json!([2, 1])));
        assert!(!same(json!(["in any order", 1, 1]), json!([2, 1])));
        assert!(!same(json!(["in any order", 1]), json!([2, 1])));
        assert!(same(json!(["in any order", 1, "..."]), json!([2, 1])));
        assert!(same(json!(["2 in all", "..."]), json!([2, 1])));
        assert!(!same(json!(["3 in all", "..."]), json!([2, 1])));
        assert!(!same(json!(["2 in all", "in any order", 3, "..."]), json!([2, 1])));
    }

    #[test]
    fn a_name_stands_for_one_value_and_no_other_name_for_the_same() {
        let mut names = Names::default();
        assert_eq!(difference(&json!(["<a>", "<b>", "<a>"]), &json!(["1", "2", "1"]), &mut names), None);
        assert!(difference(&json!("<a>"), &json!("2"), &mut names).is_some());
        assert!(difference(&json!("<c>"), &json!("2"), &mut names).is_some());
        assert!(difference(&json!("<c>"), &json!(""), &mut names).is_some());
        assert_eq!(names.fill(r#"["<b>"]"#), r#"["2"]"#);
    }
}
