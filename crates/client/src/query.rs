//! Filters over the payload of events.

use serde_json::{Value, json};

/// A filter over the payload of events, by its top-level attributes. The operators are those of Appwrite's Realtime; the
/// server decides, so an event that does not pass costs no traffic.
///
/// ```
/// use realtime_client::Query;
///
/// let open = Query::equal("status", ["open", "new"]);
/// let urgent = Query::any([Query::greater_than("priority", 5), Query::is_null("due")]);
/// assert_eq!(open.to_string(), r#"{"method":"equal","attribute":"status","values":["open","new"]}"#);
/// assert!(urgent.to_string().starts_with(r#"{"method":"or","values":[{"#));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query(Spelling);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Spelling {
    Built(Value),
    Raw(String),
}

impl Query {
    /// The attribute is one of these values.
    pub fn equal<V: Into<Value>>(attribute: &str, values: impl IntoIterator<Item = V>) -> Self {
        Self::compare("equal", attribute, &values.into_iter().map(Into::into).collect::<Vec<Value>>())
    }

    /// The attribute is there and none of these values.
    pub fn not_equal<V: Into<Value>>(attribute: &str, values: impl IntoIterator<Item = V>) -> Self {
        Self::compare("notEqual", attribute, &values.into_iter().map(Into::into).collect::<Vec<Value>>())
    }

    /// The attribute is less than this.
    pub fn less_than(attribute: &str, value: impl Into<Value>) -> Self {
        Self::compare("lessThan", attribute, &[value.into()])
    }

    /// The attribute is at most this.
    pub fn less_than_or_equal(attribute: &str, value: impl Into<Value>) -> Self {
        Self::compare("lessThanEqual", attribute, &[value.into()])
    }

    /// The attribute is greater than this.
    pub fn greater_than(attribute: &str, value: impl Into<Value>) -> Self {
        Self::compare("greaterThan", attribute, &[value.into()])
    }

    /// The attribute is at least this.
    pub fn greater_than_or_equal(attribute: &str, value: impl Into<Value>) -> Self {
        Self::compare("greaterThanEqual", attribute, &[value.into()])
    }

    /// The attribute is there and null.
    pub fn is_null(attribute: &str) -> Self {
        Self::compare("isNull", attribute, &[])
    }

    /// The attribute is there and not null.
    pub fn is_not_null(attribute: &str) -> Self {
        Self::compare("isNotNull", attribute, &[])
    }

    /// All of these pass.
    pub fn all(queries: impl IntoIterator<Item = Self>) -> Self {
        Self::join("and", queries)
    }

    /// At least one of these passes.
    pub fn any(queries: impl IntoIterator<Item = Self>) -> Self {
        Self::join("or", queries)
    }

    /// A query that is spelled already, as Appwrite's SDKs spell it. The server says if it makes no sense.
    pub fn raw(text: impl Into<String>) -> Self {
        Self(Spelling::Raw(text.into()))
    }

    fn compare(method: &str, attribute: &str, values: &[Value]) -> Self {
        Self(Spelling::Built(json!({ "method": method, "attribute": attribute, "values": values })))
    }

    fn join(method: &str, queries: impl IntoIterator<Item = Self>) -> Self {
        let values: Vec<Value> = queries.into_iter().map(Self::into_value).collect();
        Self(Spelling::Built(json!({ "method": method, "values": values })))
    }

    /// A raw query that is not JSON stays a string, which the server refuses with the reason.
    fn into_value(self) -> Value {
        match self.0 {
            Spelling::Built(value) => value,
            Spelling::Raw(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }

    pub(crate) fn into_text(self) -> String {
        match self.0 {
            Spelling::Built(value) => value.to_string(),
            Spelling::Raw(text) => text,
        }
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Spelling::Built(value) => write!(f, "{value}"),
            Spelling::Raw(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_is_spelled_as_the_protocol_has_it() {
        for (query, spelled) in [
            (Query::not_equal("a", [1]), r#"{"method":"notEqual","attribute":"a","values":[1]}"#),
            (Query::less_than("a", 1.5), r#"{"method":"lessThan","attribute":"a","values":[1.5]}"#),
            (Query::less_than_or_equal("a", 1), r#"{"method":"lessThanEqual","attribute":"a","values":[1]}"#),
            (Query::greater_than("a", "x"), r#"{"method":"greaterThan","attribute":"a","values":["x"]}"#),
            (
                Query::greater_than_or_equal("a", true),
                r#"{"method":"greaterThanEqual","attribute":"a","values":[true]}"#,
            ),
            (Query::is_null("$id"), r#"{"method":"isNull","attribute":"$id","values":[]}"#),
            (Query::is_not_null("a"), r#"{"method":"isNotNull","attribute":"a","values":[]}"#),
            (
                Query::all([Query::is_null("a"), Query::raw(r#"{"method":"isNull","attribute":"b"}"#)]),
                r#"{"method":"and","values":[{"method":"isNull","attribute":"a","values":[]},{"method":"isNull","attribute":"b"}]}"#,
            ),
            (Query::any([Query::raw("nonsense")]), r#"{"method":"or","values":["nonsense"]}"#),
        ] {
            assert_eq!(query.to_string(), spelled);
            assert_eq!(query.into_text(), spelled);
        }
    }
}
