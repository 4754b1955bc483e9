//! A subscriber's filter over an event's payload.
//!
//! A filter is written as a list of queries, each a JSON object in a string, all of which must hold
//! (Appwrite `RuntimeQuery`):
//!
//! | method | holds if the attribute is there and |
//! |---|---|
//! | `equal` | any value is identical to it |
//! | `notEqual` | no value is identical to it |
//! | `lessThan`, `lessThanEqual`, `greaterThan`, `greaterThanEqual` | any value orders so against it |
//! | `isNull`, `isNotNull` | it is, or is not, `null` |
//!
//! | method | holds if |
//! |---|---|
//! | `and` | all the queries in it hold; also if there are none |
//! | `or` | any of the queries in it holds |
//! | `select` of exactly `["*"]` | always at the top, where it overrules all other queries; never inside `and` or `or` |
//!
//! An attribute is a top-level key of the payload, taken literally. Identity is strict: `1`, `1.0` and `"1"` differ.
//! Order is PHP's loose one, since that is what clients of Appwrite were written against: see `compare.rs`.

use std::sync::Arc;

use serde_json::Value;
use smallvec::SmallVec;

pub(crate) use self::fingerprint::{Fingerprint, Fingerprints};
pub use self::parse::{Limits, QueryError};
pub use self::payload::Payload;

mod compare;
mod fingerprint;
mod parse;
mod payload;

/// A compiled set of queries, all of which must hold. Cheap to clone; the filter that lets everything through
/// allocates nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter(Option<Arc<Compiled>>);

#[derive(Debug, PartialEq)]
struct Compiled {
    /// All must hold; none is everything.
    conditions: Vec<Condition>,
    canonical: Vec<String>,
}

#[derive(Debug, PartialEq)]
enum Condition {
    Attribute {
        name: String,
        test: Test,
    },
    All(Vec<Condition>),
    Any(Vec<Condition>),
    /// `select(["*"])`, which means something at the top only.
    SelectAll,
}

#[derive(Debug, PartialEq)]
enum Test {
    Equal(Vec<Value>),
    NotEqual(Vec<Value>),
    LessThan(Vec<Value>),
    LessThanEqual(Vec<Value>),
    GreaterThan(Vec<Value>),
    GreaterThanEqual(Vec<Value>),
    IsNull,
    IsNotNull,
}

impl Filter {
    /// The filter that every payload passes.
    pub fn everything() -> Self {
        Self(None)
    }

    /// Whether every payload passes without being looked at.
    pub fn is_everything(&self) -> bool {
        self.0.as_ref().is_none_or(|compiled| compiled.conditions.is_empty())
    }

    /// Compiles queries as a client wrote them; none at all is [`Filter::everything`].
    ///
    /// Fails on the first query that cannot be read, else on the last that is not allowed, as Appwrite does.
    pub fn parse<S: AsRef<str>>(queries: &[S], limits: &Limits) -> Result<Self, QueryError> {
        if queries.is_empty() {
            return Ok(Self::everything());
        }
        Ok(Self(Some(Arc::new(parse::compile(queries, limits)?))))
    }

    /// Whether the payload passes. One that is not a JSON object or list passes [`Filter::everything`] only.
    pub fn matches(&self, payload: &Payload) -> bool {
        match &self.0 {
            None => true,
            Some(compiled) if compiled.conditions.is_empty() => true,
            Some(compiled) => {
                payload.is_readable() && compiled.conditions.iter().all(|condition| condition.holds(payload))
            }
        }
    }

    /// Each query by itself beside a payload, for people: it reads them anew.
    pub fn checks(&self, payload: &Payload) -> Vec<Check> {
        let limits = Limits { depth: usize::MAX, nodes: usize::MAX };
        let check = |query: &String| {
            let read: Option<Value> = serde_json::from_str(query).ok();
            let attribute = read.as_ref().and_then(|read| read.get("attribute")?.as_str());
            let actual = attribute.and_then(|name| payload.attribute(name)).cloned();
            let holds =
                Self::parse(std::slice::from_ref(query), &limits).is_ok_and(|alone| alone.matches(payload));
            Check { query: query.clone(), actual, holds }
        };
        self.canonical().iter().map(check).collect()
    }

    /// Whether [`Self::equalities`] has any.
    pub(crate) fn has_equality(&self) -> bool {
        fn any(conditions: &[Condition]) -> bool {
            conditions.iter().any(|condition| match condition {
                Condition::Attribute { test: Test::Equal(values), .. } => {
                    values.iter().all(|value| !value.is_array() && !value.is_object())
                }
                Condition::All(conditions) => any(conditions),
                Condition::Attribute { .. } | Condition::Any(_) | Condition::SelectAll => false,
            })
        }
        self.0.as_ref().is_some_and(|compiled| any(&compiled.conditions))
    }

    /// What cannot but hold if the filter is to let a payload pass: that an attribute equals one of some values, which are
    /// no lists or objects.
    pub(crate) fn equalities(
        &self,
        fingerprints: &Fingerprints,
    ) -> impl Iterator<Item = (&str, SmallVec<[Fingerprint; 2]>)> {
        let mut found = Vec::new();
        if let Some(compiled) = &self.0 {
            put_equalities(&compiled.conditions, fingerprints, &mut found);
        }
        found.into_iter()
    }

    /// What the client asked for, written anew: `{"method":…,"attribute":…,"values":[…]}`, without an empty attribute.
    pub fn canonical(&self) -> &[String] {
        self.0.as_ref().map_or(&[], |compiled| &compiled.canonical)
    }
}

/// One of a filter's queries beside a payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The query, written as [`Filter::canonical`] does.
    pub query: String,
    /// What the payload has under the query's attribute; `None` if it has nothing there, or the query names none.
    pub actual: Option<Value>,
    /// Whether it holds by itself.
    pub holds: bool,
}

/// Recursion is as deep as [`Limits::depth`] let the queries be.
fn put_equalities<'a>(
    conditions: &'a [Condition],
    fingerprints: &Fingerprints,
    found: &mut Vec<(&'a str, SmallVec<[Fingerprint; 2]>)>,
) {
    for condition in conditions {
        match condition {
            Condition::Attribute { name, test: Test::Equal(values) } => {
                let prints: Option<SmallVec<[Fingerprint; 2]>> =
                    values.iter().map(|value| fingerprints.of(value)).collect();
                if let Some(mut prints) = prints {
                    prints.sort_unstable();
                    prints.dedup();
                    found.push((name, prints));
                }
            }
            Condition::All(conditions) => put_equalities(conditions, fingerprints, found),
            Condition::Attribute { .. } | Condition::Any(_) | Condition::SelectAll => {}
        }
    }
}

impl Condition {
    /// Recursion is as deep as [`Limits::depth`] let the queries be.
    fn holds(&self, payload: &Payload) -> bool {
        match self {
            Self::Attribute { name, test } => payload.attribute(name).is_some_and(|value| test.holds(value)),
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(payload)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(payload)),
            Self::SelectAll => false,
        }
    }
}

impl Test {
    fn holds(&self, actual: &Value) -> bool {
        let any = |values: &[Value], test: fn(&Value, &Value) -> bool| {
            values.iter().any(|value| test(actual, value))
        };
        match self {
            Self::Equal(values) => any(values, compare::identical),
            Self::NotEqual(values) => !any(values, compare::identical),
            Self::LessThan(values) => any(values, compare::less),
            Self::LessThanEqual(values) => any(values, compare::less_or_equal),
            Self::GreaterThan(values) => any(values, |actual, value| compare::less(value, actual)),
            Self::GreaterThanEqual(values) => {
                any(values, |actual, value| compare::less_or_equal(value, actual))
            }
            Self::IsNull => actual.is_null(),
            Self::IsNotNull => !actual.is_null(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn parse(queries: &[&str]) -> Result<Filter, QueryError> {
        Filter::parse(queries, &Limits::default())
    }

    fn refused(queries: &[&str]) -> String {
        parse(queries).unwrap_err().to_string()
    }

    fn passes(payload: &str, queries: &[&str]) -> bool {
        parse(queries).unwrap().matches(&Payload::new(Bytes::copy_from_slice(payload.as_bytes())))
    }

    /// A query on the attribute `a`.
    fn query(method: &str, values: &str) -> String {
        format!(r#"{{"method":"{method}","attribute":"a","values":{values}}}"#)
    }

    /// Which of these values for `a` pass a query on it.
    fn passing<'a>(query: &str, values: &[&'a str]) -> Vec<&'a str> {
        values.iter().copied().filter(|value| passes(&format!(r#"{{"a":{value}}}"#), &[query])).collect()
    }

    const VALUES: [&str; 14] = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "1.0",
        r#""""#,
        r#""0""#,
        r#""1""#,
        r#""abc""#,
        "[]",
        "[1]",
        "{}",
        r#"{"x":1}"#,
    ];

    #[test]
    fn no_queries_and_select_all_let_everything_through() {
        let select = r#"{"method":"select","values":["*"]}"#;
        for payload in [r#"{"a":1}"#, "{}", "[]", "1", "not JSON", ""] {
            assert!(passes(payload, &[]), "{payload}");
            assert!(passes(payload, &[select]), "{payload}");
            assert!(passes(payload, &[&query("equal", "[2]"), select]), "{payload}");
        }
        assert!(Filter::everything().is_everything() && parse(&[select]).unwrap().is_everything());
        assert!(!parse(&[&query("equal", "[2]")]).unwrap().is_everything());
        assert_eq!(Filter::default(), Filter::everything());
    }

    #[test]
    fn equal_is_strict_about_types_and_looks_into_nothing() {
        for value in VALUES {
            let same: &[&str] = match value {
                "[]" | "{}" => &["[]", "{}"],
                value => &[value],
            };
            assert_eq!(passing(&query("equal", &format!("[{value}]")), &VALUES), same, "{value}");
        }
    }

    #[test]
    fn equal_takes_any_of_its_values_and_not_equal_none() {
        assert_eq!(passing(&query("equal", r#"[0,"abc",null]"#), &VALUES), ["null", "0", r#""abc""#]);
        assert_eq!(passing(&query("notEqual", r#"[0,"abc",null]"#), &VALUES).len(), VALUES.len() - 3);
        assert_eq!(passing(&query("equal", "[]"), &VALUES).len(), 0);
        assert_eq!(passing(&query("notEqual", "[]"), &VALUES), VALUES);
        for method in ["lessThan", "lessThanEqual", "greaterThan", "greaterThanEqual"] {
            assert_eq!(passing(&query(method, "[]"), &VALUES).len(), 0, "{method}");
        }
        assert_eq!(passing(&query("lessThan", "[0,5]"), &["-1", "4", "5"]), ["-1", "4"]);
        assert_eq!(passing(&query("greaterThan", "[9,5]"), &["5", "6", "10"]), ["6", "10"]);
    }

    #[test]
    fn a_number_is_an_integer_if_it_is_written_as_one_and_fits() {
        let values =
            ["85", "85.0", "8.5e1", "9223372036854775807", "9223372036854775808", "9223372036854775808.0"];
        assert_eq!(passing(&query("equal", "[85]"), &values), ["85"]);
        assert_eq!(passing(&query("equal", "[85.0]"), &values), ["85.0", "8.5e1"]);
        assert_eq!(passing(&query("equal", "[9223372036854775807]"), &values), ["9223372036854775807"]);
        assert_eq!(
            passing(&query("equal", "[9223372036854775808]"), &values),
            ["9223372036854775808", "9223372036854775808.0"]
        );
    }

    #[test]
    fn lists_and_objects_are_equal_with_equal_members_in_equal_order() {
        let values = [
            "[1,2]",
            "[2,1]",
            r#"{"x":1,"y":2}"#,
            r#"{"y":2,"x":1}"#,
            r#"{"0":1,"1":2}"#,
            r#"{"1":2,"0":1}"#,
        ];
        assert_eq!(passing(&query("equal", "[[1,2]]"), &values), ["[1,2]", r#"{"0":1,"1":2}"#]);
        assert_eq!(passing(&query("equal", r#"[{"x":1,"y":2}]"#), &values), [r#"{"x":1,"y":2}"#]);
        assert_eq!(passing(&query("equal", "[1,2]"), &values).len(), 0, "a list does not equal its members");
    }

    #[test]
    fn null_checks_ask_for_the_attribute_and_ignore_values() {
        assert_eq!(passing(&query("isNull", "[1]"), &VALUES), ["null"]);
        assert_eq!(passing(&query("isNotNull", "[null]"), &VALUES).len(), VALUES.len() - 1);
        assert_eq!(passing(r#"{"method":"isNull","attribute":"a"}"#, &VALUES), ["null"]);
    }

    #[test]
    fn nothing_holds_of_an_attribute_that_is_missing() {
        for method in [
            "equal",
            "notEqual",
            "lessThan",
            "lessThanEqual",
            "greaterThan",
            "greaterThanEqual",
            "isNull",
            "isNotNull",
        ] {
            for payload in ["{}", "[]", r#"{"b":1}"#, r#"{"x":{"a":1}}"#] {
                assert!(!passes(payload, &[&query(method, "[1]")]), "{method} {payload}");
            }
        }
    }

    #[test]
    fn an_attribute_is_a_literal_top_level_key() {
        let on = |name: &str| format!(r#"{{"method":"equal","attribute":"{name}","values":[1]}}"#);
        let payload = r#"{"$id":1,"x.y":1,"x":{"z":1},"":1,"é":1}"#;
        for (name, passed) in
            [("$id", true), ("x.y", true), ("x.z", false), ("", true), ("é", true), ("\\u00e9", true)]
        {
            assert_eq!(passes(payload, &[&on(name)]), passed, "{name}");
        }
        assert!(passes(payload, &[r#"{"method":"equal","values":[1]}"#]), "no attribute is the empty one");
    }

    #[test]
    fn order_is_loose() {
        for (left, operator, right) in [
            ("4", "lessThan", "5"),
            ("4.5", "lessThan", "5"),
            ("5", "lessThanEqual", "5.0"),
            (r#""9""#, "lessThan", r#""10""#),
            (r#"" 9""#, "lessThan", r#""1e1 ""#),
            (r#""10""#, "lessThan", r#""9x""#),
            (r#""0x1F""#, "lessThan", r#""2""#),
            (r#""2024-01-01T00:00:00.000+00:00""#, "lessThan", r#""2024-01-02""#),
            ("5", "lessThan", r#""10""#),
            (r#""5""#, "lessThan", "10"),
            ("5", "lessThan", r#""abc""#),
            ("1e25", "lessThan", r#""1.0E+25x""#),
            ("0.00001", "greaterThan", r#""1.0E-4x""#),
            ("1.0", "lessThan", r#""1.x""#),
            ("null", "lessThan", r#""a""#),
            ("null", "lessThanEqual", r#""""#),
            ("null", "lessThan", "5"),
            ("null", "lessThan", "-5"),
            ("false", "lessThan", r#""a""#),
            ("true", "greaterThanEqual", "5"),
            ("true", "greaterThan", "[]"),
            ("[0]", "greaterThan", "null"),
            ("[9]", "lessThan", "[1,1]"),
            ("[1,2]", "lessThan", "[1,3]"),
            (r#"{"x":1,"y":5}"#, "lessThan", r#"{"y":5,"x":2}"#),
            ("[]", "greaterThan", "5"),
            ("{}", "greaterThan", r#""abc""#),
            (r#""abc""#, "lessThan", "[]"),
        ] {
            assert_eq!(
                passing(&query(operator, &format!("[{right}]")), &[left]),
                [left],
                "{left} {operator} {right}"
            );
        }
    }

    #[test]
    fn arrays_of_one_size_with_other_keys_have_no_order() {
        for method in ["lessThan", "lessThanEqual", "greaterThan", "greaterThanEqual"] {
            assert!(passing(&query(method, r#"[{"y":1}]"#), &[r#"{"x":1}"#, "[1]"]).is_empty(), "{method}");
        }
    }

    #[test]
    fn several_queries_must_all_hold() {
        let above = query("greaterThan", "[3]");
        let below = query("lessThan", "[6]");
        let payload = |a: u8| format!(r#"{{"a":{a}}}"#);
        let passed: Vec<u8> = (1..9).filter(|&a| passes(&payload(a), &[&above, &below])).collect();
        assert_eq!(passed, [4, 5]);
    }

    #[test]
    fn and_needs_all_or_needs_one_and_they_nest() {
        let group = |method: &str, members: &[&str]| {
            format!(r#"{{"method":"{method}","values":[{}]}}"#, members.join(","))
        };
        let (one, two) = (query("equal", "[1]"), query("equal", "[2]"));
        let big = query("greaterThanEqual", "[2]");
        let absent = r#"{"method":"equal","attribute":"absent","values":[1]}"#;
        let select = r#"{"method":"select","values":["*"]}"#;
        for (query, passed) in [
            (group("and", &[]), &["1", "2", "3"][..]),
            (group("or", &[]), &[]),
            (group("or", &[&one, &two]), &["1", "2"]),
            (group("and", &[&one, &two]), &[]),
            (group("and", &[&group("or", &[&one, &two]), &big]), &["2"]),
            (group("or", &[absent, &one]), &["1"]),
            (group("and", &[absent, &one]), &[]),
            (group("or", &[select, &one]), &["1"]),
            (group("and", &[select, &one]), &[]),
            (group("or", &[&group("and", &[])]), &["1", "2", "3"]),
        ] {
            assert_eq!(passing(&query, &["1", "2", "3"]), passed, "{query}");
        }
        assert!(passes("{}", &[&group("and", &[])]), "an empty payload is a payload");
    }

    #[test]
    fn a_payload_that_is_no_object_passes_no_condition() {
        let anything = r#"{"method":"and","values":[]}"#;
        for payload in ["1", "null", r#""a""#, "", "{", r#"{"a":1}x"#, "\u{0}"] {
            assert!(!passes(payload, &[anything]), "{payload}");
            assert!(!passes(payload, &[&query("notEqual", "[2]")]), "{payload}");
        }
        let broken = Payload::new(Bytes::from_static(b"{\"a\":\"\xff\"}"));
        assert!(!parse(&[anything]).unwrap().matches(&broken));
    }

    #[test]
    fn the_last_of_duplicate_keys_counts() {
        assert!(passes(r#"{"a":1,"a":2}"#, &[&query("equal", "[2]")]));
        assert!(passes(r#"{"a":2}"#, &[r#"{"method":"equal","attribute":"a","values":[1],"values":[2]}"#]));
    }

    #[test]
    fn an_attribute_nested_without_end_is_not_comparable_and_hides_no_other() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        let payload = format!(r#"{{"deep":{deep},"a":1,"huge":1e999}}"#);
        assert!(passes(&payload, &[&query("equal", "[1]")]));
        for name in ["deep", "huge"] {
            for method in ["equal", "notEqual", "greaterThan", "isNull", "isNotNull"] {
                let query = format!(r#"{{"method":"{method}","attribute":"{name}","values":[1]}}"#);
                assert!(!passes(&payload, &[&query]), "{method} {name}");
            }
        }
    }

    #[test]
    fn unreadable_queries_are_refused_in_appwrites_words() {
        let equal = |fields: &str| format!(r#"{{"method":"equal",{fields}}}"#);
        for (query, text) in [
            ("", "Invalid query: Syntax error"),
            (r#"{"method":"equal""#, "Invalid query: Syntax error"),
            (r#"equal("a", 1)"#, "Invalid query: Syntax error"),
            ("1", "Invalid query. Must be an array, got integer"),
            ("1.5", "Invalid query. Must be an array, got double"),
            ("18446744073709551616", "Invalid query. Must be an array, got double"),
            ("9223372036854775808", "Invalid query. Must be an array, got double"),
            (r#""x""#, "Invalid query. Must be an array, got string"),
            ("true", "Invalid query. Must be an array, got boolean"),
            ("null", "Invalid query. Must be an array, got NULL"),
            ("{}", "Invalid query method: "),
            ("[1]", "Invalid query method: "),
            (r#"{"method":null}"#, "Invalid query method: "),
            (r#"{"method":"regex"}"#, "Invalid query method: regex"),
            (r#"{"method":"Equal"}"#, "Invalid query method: Equal"),
            (r#"{"method":1}"#, "Invalid query method. Must be a string, got integer"),
            (r#"{"method":[]}"#, "Invalid query method. Must be a string, got array"),
            (&equal(r#""attribute":1.5"#), "Invalid query attribute. Must be a string, got double"),
            (&equal(r#""attribute":{}"#), "Invalid query attribute. Must be a string, got array"),
            (&equal(r#""values":"x""#), "Invalid query values. Must be an array, got string"),
            (&equal(r#""values":false"#), "Invalid query values. Must be an array, got boolean"),
            (r#"{"method":"and","values":[1]}"#, "Invalid query. Must be an array, got integer"),
            (r#"{"method":"or","values":[{"method":"nope"}]}"#, "Invalid query method: nope"),
        ] {
            assert_eq!(refused(&[query]), text, "{query}");
        }
        assert!(parse(&[r#"{"method":"equal","attribute":null,"values":null}"#]).is_ok(), "null is absent");
    }

    #[test]
    fn methods_that_only_databases_know_are_refused() {
        for method in
            ["contains", "search", "between", "startsWith", "limit", "orderAsc", "cursorAfter", "exists"]
        {
            assert_eq!(
                refused(&[&query(method, "[1]")]),
                format!(
                    "Query method '{method}' is not supported in Realtime queries. Allowed: equal, notEqual, lessThan, \
                     lessThanEqual, greaterThan, greaterThanEqual, isNull, isNotNull, and, or, select"
                )
            );
        }
    }

    #[test]
    fn only_everything_can_be_selected() {
        for values in ["[]", r#"["a"]"#, r#"["*","*"]"#, "[1]"] {
            for query in [
                format!(r#"{{"method":"select","values":{values}}}"#),
                format!(r#"{{"method":"or","values":[{{"method":"select","values":{values}}}]}}"#),
            ] {
                assert_eq!(
                    refused(&[&query]),
                    "Only select(\"*\") is allowed in Realtime queries. select(\"*\") means \"listen to all events\".",
                    "{query}"
                );
            }
        }
    }

    #[test]
    fn the_first_unreadable_query_is_reported_then_the_last_one_not_allowed() {
        let (search, limit) = (query("search", "[1]"), query("limit", "[1]"));
        assert!(refused(&[&search, r#"{"method":"nope"}"#, "{"]).contains("nope"));
        assert!(refused(&[&search, &limit]).contains("'limit'"));
        let group = format!(r#"{{"method":"and","values":[{search},{limit}]}}"#);
        assert!(refused(&[&query("contains", "[]"), &group]).contains("'limit'"));
        assert!(refused(&[&group, &query("contains", "[]")]).contains("'contains'"));
    }

    #[test]
    fn depth_and_number_of_nodes_are_limited() {
        let nested = |levels: usize| {
            format!(
                "{}{}{}",
                r#"{"method":"or","values":["#.repeat(levels - 1),
                query("isNull", "[]"),
                "]}".repeat(levels - 1)
            )
        };
        assert!(parse(&[&nested(32)]).is_ok());
        for levels in [33, 60, 70, 10_000] {
            assert_eq!(parse(&[&nested(levels)]).unwrap_err(), QueryError::TooDeep(32), "{levels}");
        }
        let listing = |values: usize| query("equal", &format!("[{}]", vec!["1"; values].join(",")));
        assert!(parse(&[&listing(4095)]).is_ok());
        assert_eq!(parse(&[&listing(4096)]).unwrap_err(), QueryError::TooMany(4096));
        assert_eq!(parse(&vec!["{\"method\":\"isNull\"}"; 4097]).unwrap_err(), QueryError::TooMany(4096));
        let deep_value = format!("[{}{}]", "[".repeat(200), "]".repeat(200));
        assert_eq!(parse(&[&query("equal", &deep_value)]).unwrap_err(), QueryError::TooDeep(32));
    }

    #[test]
    fn the_canonical_form_is_method_attribute_values() {
        let cases = [
            (
                r#"{ "values": [1, 1.0, "é/"], "extra": 1, "attribute": "a", "method": "equal" }"#,
                r#"{"method":"equal","attribute":"a","values":[1,1.0,"é/"]}"#,
            ),
            (r#"{"method":"isNull","attribute":"a"}"#, r#"{"method":"isNull","attribute":"a","values":[]}"#),
            (r#"{"method":"select","values":["*"],"attribute":""}"#, r#"{"method":"select","values":["*"]}"#),
            (
                r#"{"method":"or","values":[{"values":[1],"method":"equal","attribute":"a"}]}"#,
                r#"{"method":"or","values":[{"method":"equal","attribute":"a","values":[1]}]}"#,
            ),
        ];
        let (asked, echoed): (Vec<&str>, Vec<&str>) = cases.into_iter().unzip();
        let filter = parse(&asked).unwrap();
        assert_eq!(filter.canonical(), echoed);
        assert_eq!(parse(&echoed).unwrap(), filter, "the canonical form means the same");
        assert!(Filter::everything().canonical().is_empty());
    }

    #[test]
    fn a_filter_is_one_pointer_that_threads_may_share() {
        fn shared<T: Send + Sync + Clone>(_: &T) {}
        shared(&Filter::everything());
        assert_eq!(size_of::<Filter>(), size_of::<usize>());
    }
}
