//! From the text of queries to conditions, with Appwrite's errors.

use serde_json::{Map, Value};

use super::{Compiled, Condition, Test};

/// How much one filter may ask for. Appwrite has no such limits; these are far above what its SDKs send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Levels of `and` and `or`; a plain query is one level. The JSON parser stops at 127 levels of brackets, so
    /// more than 62 levels have no effect.
    pub depth: usize,
    /// Queries and listed values of one filter, taken together.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 32, nodes: 4096 }
    }
}

/// Why queries were refused. The texts are Appwrite's; a codec may put words of its own before them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Not JSON.
    #[error("Invalid query: Syntax error")]
    Syntax,
    /// A query, or a member of `and` or `or`, that is not an object. Holds PHP's name of what it is.
    #[error("Invalid query. Must be an array, got {0}")]
    NotObject(&'static str),
    /// A method that is not text.
    #[error("Invalid query method. Must be a string, got {0}")]
    MethodNotText(&'static str),
    /// A method that Appwrite does not know at all, or none.
    #[error("Invalid query method: {0}")]
    UnknownMethod(String),
    /// An attribute that is not text.
    #[error("Invalid query attribute. Must be a string, got {0}")]
    AttributeNotText(&'static str),
    /// Values that are not a list.
    #[error("Invalid query values. Must be an array, got {0}")]
    ValuesNotList(&'static str),
    /// A method of Appwrite's databases that makes no sense for events.
    #[error(
        "Query method '{0}' is not supported in Realtime queries. Allowed: equal, notEqual, lessThan, \
         lessThanEqual, greaterThan, greaterThanEqual, isNull, isNotNull, and, or, select"
    )]
    Unsupported(String),
    /// A choice of fields: events come whole.
    #[error(
        "Only select(\"*\") is allowed in Realtime queries. select(\"*\") means \"listen to all events\"."
    )]
    Select,
    /// More levels than [`Limits::depth`].
    #[error("Invalid query: nested deeper than {0} levels. Flatten the and/or groups")]
    TooDeep(usize),
    /// More queries and values than [`Limits::nodes`].
    #[error("Invalid query: more than {0} queries and values. Use several subscriptions")]
    TooMany(usize),
}

/// Methods that Appwrite's databases know (utopia-php/database `Query::isMethod`) and realtime does not.
const DATABASE_METHODS: &[&str] = &[
    "between",
    "contains",
    "containsAll",
    "containsAny",
    "crosses",
    "cursorAfter",
    "cursorBefore",
    "distanceEqual",
    "distanceGreaterThan",
    "distanceLessThan",
    "distanceNotEqual",
    "elemMatch",
    "endsWith",
    "exists",
    "intersects",
    "limit",
    "notBetween",
    "notContains",
    "notCrosses",
    "notEndsWith",
    "notExists",
    "notIntersects",
    "notOverlaps",
    "notSearch",
    "notStartsWith",
    "notTouches",
    "offset",
    "orderAsc",
    "orderDesc",
    "orderRandom",
    "overlaps",
    "search",
    "startsWith",
    "touches",
    "vectorCosine",
    "vectorDot",
    "vectorEuclidean",
];

/// Levels of brackets that the JSON parser follows.
const JSON_DEPTH: usize = 127;

/// Reads all queries, then judges them, the last one first: the order in which Appwrite finds fault.
pub(super) fn compile<S: AsRef<str>>(queries: &[S], limits: &Limits) -> Result<Compiled, QueryError> {
    let mut reader = Reader { limits, nodes: 0 };
    let queries = queries.iter().map(|text| reader.text(text.as_ref())).collect::<Result<Vec<_>, _>>()?;
    let canonical = queries.iter().map(|query| query.canonical().to_string()).collect();
    let mut conditions = conditions(queries)?;
    if conditions.contains(&Condition::SelectAll) {
        conditions.clear();
    }
    Ok(Compiled { conditions, canonical })
}

/// A query that can be read, allowed or not.
struct Query {
    method: String,
    attribute: String,
    values: Vec<Value>,
    /// The values of `and` and `or`, which have no others.
    members: Vec<Query>,
}

struct Reader<'a> {
    limits: &'a Limits,
    nodes: usize,
}

impl Reader<'_> {
    fn text(&mut self, text: &str) -> Result<Query, QueryError> {
        match serde_json::from_str(text) {
            Ok(value) => self.query(value, 1),
            Err(_) if brackets(text) > JSON_DEPTH => Err(QueryError::TooDeep(self.limits.depth)),
            Err(_) => Err(QueryError::Syntax),
        }
    }

    fn query(&mut self, value: Value, level: usize) -> Result<Query, QueryError> {
        let mut fields = match value {
            Value::Object(fields) => fields,
            // To PHP a list is an array that happens to lack the key `method`.
            Value::Array(_) => Map::new(),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                return Err(QueryError::NotObject(php_type(&other)));
            }
        };
        self.count(1)?;
        if level > self.limits.depth {
            return Err(QueryError::TooDeep(self.limits.depth));
        }
        let mut field = |name| fields.remove(name).unwrap_or(Value::Null);
        let method = text(field("method"), QueryError::MethodNotText)?;
        if allowed(&method).is_none() && !DATABASE_METHODS.contains(&method.as_str()) {
            return Err(QueryError::UnknownMethod(method));
        }
        let attribute = text(field("attribute"), QueryError::AttributeNotText)?;
        let values: Vec<Value> = match field("values") {
            Value::Null => Vec::new(),
            Value::Array(values) => values,
            Value::Object(values) => values.into_iter().map(|(_, value)| value).collect(),
            other @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                return Err(QueryError::ValuesNotList(php_type(&other)));
            }
        };
        if matches!(allowed(&method), Some(Method::And | Method::Or)) {
            let members =
                values.into_iter().map(|value| self.query(value, level + 1)).collect::<Result<_, _>>()?;
            return Ok(Query { method, attribute, values: Vec::new(), members });
        }
        self.count(values.len())?;
        Ok(Query { method, attribute, values, members: Vec::new() })
    }

    fn count(&mut self, nodes: usize) -> Result<(), QueryError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > self.limits.nodes { Err(QueryError::TooMany(self.limits.nodes)) } else { Ok(()) }
    }
}

impl Query {
    fn canonical(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("method".into(), self.method.as_str().into());
        if !self.attribute.is_empty() {
            fields.insert("attribute".into(), self.attribute.as_str().into());
        }
        let members = self.members.iter().map(Self::canonical);
        fields.insert("values".into(), self.values.iter().cloned().chain(members).collect());
        Value::Object(fields)
    }
}

#[derive(Clone, Copy)]
enum Method {
    Equal,
    NotEqual,
    LessThan,
    LessThanEqual,
    GreaterThan,
    GreaterThanEqual,
    IsNull,
    IsNotNull,
    And,
    Or,
    Select,
}

fn allowed(method: &str) -> Option<Method> {
    Some(match method {
        "equal" => Method::Equal,
        "notEqual" => Method::NotEqual,
        "lessThan" => Method::LessThan,
        "lessThanEqual" => Method::LessThanEqual,
        "greaterThan" => Method::GreaterThan,
        "greaterThanEqual" => Method::GreaterThanEqual,
        "isNull" => Method::IsNull,
        "isNotNull" => Method::IsNotNull,
        "and" => Method::And,
        "or" => Method::Or,
        "select" => Method::Select,
        _ => return None,
    })
}

fn conditions(queries: Vec<Query>) -> Result<Vec<Condition>, QueryError> {
    let mut conditions = queries.into_iter().rev().map(condition).collect::<Result<Vec<_>, _>>()?;
    conditions.reverse();
    Ok(conditions)
}

fn condition(query: Query) -> Result<Condition, QueryError> {
    let Query { method, attribute: name, values, members } = query;
    let test = match allowed(&method) {
        None => return Err(QueryError::Unsupported(method)),
        Some(Method::And) => return Ok(Condition::All(conditions(members)?)),
        Some(Method::Or) => return Ok(Condition::Any(conditions(members)?)),
        Some(Method::Select) if values == ["*"] => return Ok(Condition::SelectAll),
        Some(Method::Select) => return Err(QueryError::Select),
        Some(Method::Equal) => Test::Equal(values),
        Some(Method::NotEqual) => Test::NotEqual(values),
        Some(Method::LessThan) => Test::LessThan(values),
        Some(Method::LessThanEqual) => Test::LessThanEqual(values),
        Some(Method::GreaterThan) => Test::GreaterThan(values),
        Some(Method::GreaterThanEqual) => Test::GreaterThanEqual(values),
        Some(Method::IsNull) => Test::IsNull,
        Some(Method::IsNotNull) => Test::IsNotNull,
    };
    Ok(Condition::Attribute { name, test })
}

/// A field that is text, or absent, which PHP cannot tell from `null`.
fn text(value: Value, refusal: fn(&'static str) -> QueryError) -> Result<String, QueryError> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(refusal(php_type(&other)))
        }
    }
}

/// The deepest nesting of brackets, those in strings aside; of a text that is not JSON, an estimate.
fn brackets(text: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// What PHP's `gettype` calls it.
fn php_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.as_i64().is_some() => "integer",
        Value::Number(_) => "double",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "array",
    }
}
