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

pub use self::parse::{Limits, QueryError};
pub use self::payload::Payload;

mod compare;
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

    /// What the client asked for, written anew: `{"method":…,"attribute":…,"values":[…]}`, without an empty attribute.
    pub fn canonical(&self) -> &[String] {
        self.0.as_ref().map_or(&[], |compiled| &compiled.canonical)
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
