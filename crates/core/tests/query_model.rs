//! Filters against a naive model that follows the table of operators row by row, over values whose meaning the model
//! looks up instead of computing it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::cmp::Ordering;

use bytes::Bytes;
use proptest::prelude::*;
use realtime_core::query::{Filter, Limits, Payload};

/// JSON as PHP holds it: a map with keys 0, 1, 2… is a list.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(&'static str),
    List(Vec<Json>),
    Map(Vec<(&'static str, Json)>),
}

use Json::{Bool, Float, Integer, List, Map, Null, Text};

#[derive(Debug, Clone)]
enum Query {
    Leaf(&'static str, &'static str, Vec<Json>),
    And(Vec<Query>),
    Or(Vec<Query>),
    SelectAll,
}

/// Texts, and their value if they are numeric strings.
const TEXTS: [(&str, Option<f64>); 16] = [
    ("", None),
    (" ", None),
    ("0", Some(0.0)),
    ("-0.0", Some(0.0)),
    ("1", Some(1.0)),
    (" 1", Some(1.0)),
    ("1 ", Some(1.0)),
    ("01.0", Some(1.0)),
    ("1e1", Some(10.0)),
    ("10", Some(10.0)),
    ("9", Some(9.0)),
    ("-.5", Some(-0.5)),
    ("0x1", None),
    ("1x", None),
    ("abc", None),
    ("1.0E+25", Some(1e25)),
];

/// Floats, and how PHP prints them.
const FLOATS: [(f64, &str); 7] = [
    (0.0, "0"),
    (1.0, "1"),
    (-0.5, "-0.5"),
    (10.0, "10"),
    (1e25, "1.0E+25"),
    (0.00001, "1.0E-5"),
    (0.1, "0.1"),
];

const KEYS: [&str; 5] = ["0", "1", "a", "b", "$id"];

fn is_true(value: &Json) -> bool {
    match value {
        Null => false,
        Bool(value) => *value,
        Integer(value) => *value != 0,
        Float(value) => *value != 0.0,
        Text(text) => !text.is_empty() && *text != "0",
        List(members) => !members.is_empty(),
        Map(_) => true,
    }
}

#[expect(clippy::cast_precision_loss, reason = "the integers are small")]
fn numeric(value: &Json) -> Option<f64> {
    match value {
        Integer(value) => Some(*value as f64),
        Float(value) => Some(*value),
        Text(text) => TEXTS.iter().find(|(known, _)| known == text).and_then(|(_, value)| *value),
        Null | Bool(_) | List(_) | Map(_) => None,
    }
}

fn printed(value: &Json) -> String {
    match value {
        Integer(value) => value.to_string(),
        Float(value) => FLOATS.iter().find(|(known, _)| known == value).unwrap().1.to_owned(),
        Text(text) => (*text).to_owned(),
        Null => String::new(),
        Bool(_) | List(_) | Map(_) => unreachable!("not printed"),
    }
}

fn members(value: &Json) -> Option<Vec<(String, Json)>> {
    match value {
        List(members) => {
            Some(members.iter().enumerate().map(|(key, value)| (key.to_string(), value.clone())).collect())
        }
        Map(members) => Some(members.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()),
        Null | Bool(_) | Integer(_) | Float(_) | Text(_) => None,
    }
}

/// The table of orders; `None` is uncomparable.
fn order(left: &Json, right: &Json) -> Option<Ordering> {
    match (left, right) {
        (Null, Text(_)) | (Text(_), Null) => Some(printed(left).cmp(&printed(right))),
        (Null | Bool(_), _) | (_, Null | Bool(_)) => Some(is_true(left).cmp(&is_true(right))),
        _ => match (members(left), members(right)) {
            (Some(left), Some(right)) => {
                if left.len() != right.len() {
                    return Some(left.len().cmp(&right.len()));
                }
                for (key, value) in &left {
                    let (_, other) = right.iter().find(|(other, _)| other == key)?;
                    match order(value, other) {
                        Some(Ordering::Equal) => {}
                        decided => return decided,
                    }
                }
                Some(Ordering::Equal)
            }
            (Some(_), None) => Some(Ordering::Greater),
            (None, Some(_)) => Some(Ordering::Less),
            (None, None) => match (numeric(left), numeric(right)) {
                (Some(left), Some(right)) => left.partial_cmp(&right),
                _ => Some(printed(left).cmp(&printed(right))),
            },
        },
    }
}

fn holds(query: &Query, payload: &[(&'static str, Json)]) -> bool {
    match query {
        Query::SelectAll => false,
        Query::And(members) => members.iter().all(|member| holds(member, payload)),
        Query::Or(members) => members.iter().any(|member| holds(member, payload)),
        Query::Leaf(method, attribute, values) => {
            let Some((_, actual)) = payload.iter().find(|(key, _)| key == attribute) else { return false };
            let less = Some(Ordering::Less);
            let some = |test: &dyn Fn(&Json) -> bool| values.iter().any(test);
            match *method {
                "equal" => some(&|value| actual == value),
                "notEqual" => !some(&|value| actual == value),
                "lessThan" => some(&|value| order(actual, value) == less),
                "lessThanEqual" => some(&|value| order(actual, value).is_some_and(Ordering::is_le)),
                "greaterThan" => some(&|value| order(value, actual) == less),
                "greaterThanEqual" => some(&|value| order(value, actual).is_some_and(Ordering::is_le)),
                "isNull" => *actual == Null,
                "isNotNull" => *actual != Null,
                other => unreachable!("no method {other}"),
            }
        }
    }
}

fn passes(queries: &[Query], payload: &[(&'static str, Json)]) -> bool {
    queries.is_empty()
        || queries.iter().any(|query| matches!(query, Query::SelectAll))
        || queries.iter().all(|query| holds(query, payload))
}

fn json(value: &Json) -> String {
    match value {
        Null => "null".into(),
        Bool(value) => value.to_string(),
        Integer(value) => value.to_string(),
        Float(value) => format!("{value:?}"),
        Text(text) => format!("{text:?}"),
        List(members) => format!("[{}]", members.iter().map(json).collect::<Vec<_>>().join(",")),
        Map(members) => object(members),
    }
}

fn object(members: &[(&'static str, Json)]) -> String {
    let members: Vec<String> =
        members.iter().map(|(key, value)| format!("{key:?}:{}", json(value))).collect();
    format!("{{{}}}", members.join(","))
}

fn text(query: &Query) -> String {
    let group = |method: &str, members: &[Query]| {
        format!(
            r#"{{"method":"{method}","values":[{}]}}"#,
            members.iter().map(text).collect::<Vec<_>>().join(",")
        )
    };
    match query {
        Query::SelectAll => r#"{"method":"select","values":["*"]}"#.into(),
        Query::And(members) => group("and", members),
        Query::Or(members) => group("or", members),
        Query::Leaf(method, attribute, values) => {
            format!(
                r#"{{"method":"{method}","attribute":"{attribute}","values":{}}}"#,
                json(&List(values.clone()))
            )
        }
    }
}

fn any_map(member: impl Strategy<Value = Json>) -> impl Strategy<Value = Vec<(&'static str, Json)>> {
    prop::collection::vec((prop::sample::select(&KEYS[..]), member), 0..4).prop_map(|members| {
        let mut unique: Vec<(&'static str, Json)> = Vec::new();
        for (key, value) in members {
            if !unique.iter().any(|(known, _)| *known == key) {
                unique.push((key, value));
            }
        }
        unique
    })
}

fn any_json() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        Just(Null),
        any::<bool>().prop_map(Bool),
        (-2_i64..12).prop_map(Integer),
        prop::sample::select(&FLOATS[..]).prop_map(|(value, _)| Float(value)),
        prop::sample::select(&TEXTS[..]).prop_map(|(text, _)| Text(text)),
    ];
    scalar.prop_recursive(3, 12, 3, |member| {
        prop_oneof![
            prop::collection::vec(member.clone(), 0..3).prop_map(List),
            any_map(member).prop_map(|members| {
                let is_list = members.iter().enumerate().all(|(index, (key, _))| *key == index.to_string());
                if is_list {
                    List(members.into_iter().map(|(_, value)| value).collect())
                } else {
                    Map(members)
                }
            }),
        ]
    })
}

fn any_query() -> impl Strategy<Value = Query> {
    const METHODS: [&str; 8] = [
        "equal",
        "notEqual",
        "lessThan",
        "lessThanEqual",
        "greaterThan",
        "greaterThanEqual",
        "isNull",
        "isNotNull",
    ];
    let values = prop::collection::vec(any_json(), 0..3);
    let leaf = (prop::sample::select(&METHODS[..]), prop::sample::select(&KEYS[..]), values)
        .prop_map(|(method, attribute, values)| Query::Leaf(method, attribute, values));
    prop_oneof![9 => leaf, 1 => Just(Query::SelectAll)].prop_recursive(3, 8, 3, |member| {
        prop_oneof![
            prop::collection::vec(member.clone(), 0..3).prop_map(Query::And),
            prop::collection::vec(member, 0..3).prop_map(Query::Or),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn filters_decide_as_the_model_does(
        queries in prop::collection::vec(any_query(), 0..3), payload in any_map(any_json()),
    ) {
        let texts: Vec<String> = queries.iter().map(text).collect();
        let filter = Filter::parse(&texts, &Limits::default()).unwrap();
        let expected = passes(&queries, &payload);
        prop_assert_eq!(filter.matches(&Payload::new(Bytes::from(object(&payload)))), expected, "{:?}", texts);
        let again = Filter::parse(filter.canonical(), &Limits::default()).unwrap();
        prop_assert_eq!(again, filter, "the canonical form means the same");
    }

    #[test]
    fn comparisons_decide_as_the_model_does(left in any_json(), right in any_json(), less in any::<bool>()) {
        let method = if less { "lessThan" } else { "greaterThanEqual" };
        let query = Query::Leaf(method, "a", vec![right]);
        let payload = [("a", left)];
        let filter = Filter::parse(&[text(&query)], &Limits::default()).unwrap();
        let matched = filter.matches(&Payload::new(Bytes::from(object(&payload))));
        prop_assert_eq!(matched, holds(&query, &payload), "{:?}", query);
    }

    #[test]
    fn no_text_panics(query in "\\PC{0,60}|[\\[\\]{}\",:a0-9]{0,40}", payload in "\\PC{0,60}|[\\[\\]{}\",:a0-9]{0,40}") {
        if let Ok(filter) = Filter::parse(&[query], &Limits::default()) {
            let _ = filter.matches(&Payload::new(Bytes::from(payload)));
        }
    }
}
