//! Identity and order of JSON values as PHP 8 has them, after `json_decode` to associative arrays.
//!
//! | left and right | order |
//! |---|---|
//! | numbers | numeric |
//! | strings | numeric if both are numeric strings, else by bytes |
//! | number and numeric string | numeric |
//! | number and other string | the number as PHP prints it, then by bytes |
//! | null and string | null is the empty string |
//! | null or boolean and anything else | both as booleans |
//! | lists and objects | by count, then value by value under the left one's keys |
//! | list or object and number or string | the list is greater |
//!
//! Two arrays of one size with different keys have no order: each is greater than the other, so that neither
//! is less. PHP asks `a > b` as `b < a`, hence only [`less`] and [`less_or_equal`] here.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

/// PHP's `===`.
pub(super) fn identical(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::String(left), Value::String(right)) => left == right,
        (Value::Number(left), Value::Number(right)) => match (number(left), number(right)) {
            (Numeric::Integer(left), Numeric::Integer(right)) => left == right,
            (Numeric::Float(left), Numeric::Float(right)) => left == right,
            (Numeric::Integer(_), Numeric::Float(_)) | (Numeric::Float(_), Numeric::Integer(_)) => false,
        },
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| identical(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| left.0 == right.0 && identical(left.1, right.1))
        }
        (Value::Array(list), Value::Object(object)) | (Value::Object(object), Value::Array(list)) => {
            list.len() == object.len()
                && list.iter().zip(object).enumerate().all(|(index, (value, (key, other)))| {
                    *key == index.to_string() && identical(value, other)
                })
        }
        _ => false,
    }
}

/// PHP's `<`.
pub(super) fn less(left: &Value, right: &Value) -> bool {
    order(left, right) == Ordering::Less
}

/// PHP's `<=`.
pub(super) fn less_or_equal(left: &Value, right: &Value) -> bool {
    order(left, right) != Ordering::Greater
}

/// PHP's `<=>`, in which values without an order are `Greater` both ways.
fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => order_numbers(number(left), number(right)),
        (Value::String(left), Value::String(right)) => order_strings(left, right),
        (Value::Number(left), Value::String(right)) => order_number_string(number(left), right),
        (Value::String(left), Value::Number(right)) => order_number_string(number(right), left).reverse(),
        (Value::Null, Value::String(right)) => "".cmp(right),
        (Value::String(left), Value::Null) => left.as_str().cmp(""),
        (Value::Null | Value::Bool(_), _) | (_, Value::Null | Value::Bool(_)) => {
            truth(left).cmp(&truth(right))
        }
        (Value::Array(_) | Value::Object(_), Value::Array(_) | Value::Object(_)) => order_arrays(left, right),
        (Value::Array(_) | Value::Object(_), Value::Number(_) | Value::String(_)) => Ordering::Greater,
        (Value::Number(_) | Value::String(_), Value::Array(_) | Value::Object(_)) => Ordering::Less,
    }
}

/// PHP's cast to boolean.
fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(value) => value.as_f64() != Some(0.0),
        Value::String(value) => !matches!(value.as_str(), "" | "0"),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

fn order_arrays(left: &Value, right: &Value) -> Ordering {
    let by_count = count(left).cmp(&count(right));
    if by_count.is_ne() {
        return by_count;
    }
    let under = |key: &str, value: &Value| match member(right, key) {
        Some(other) => order(value, other),
        None => Ordering::Greater,
    };
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            first_difference(left.iter().zip(right).map(|(left, right)| order(left, right)))
        }
        (Value::Array(left), _) => {
            first_difference(left.iter().enumerate().map(|(index, value)| under(&index.to_string(), value)))
        }
        (Value::Object(left), _) => first_difference(left.iter().map(|(key, value)| under(key, value))),
        _ => Ordering::Equal,
    }
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn count(array: &Value) -> usize {
    array.as_array().map(Vec::len).or_else(|| array.as_object().map(Map::len)).unwrap_or(0)
}

fn member<'a>(array: &'a Value, key: &str) -> Option<&'a Value> {
    match array {
        Value::Object(object) => object.get(key),
        Value::Array(list) => {
            let index: usize = key.parse().ok()?;
            // `01` and `+1` are not keys of a list.
            if index.to_string() == key { list.get(index) } else { None }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// A number as PHP holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Numeric {
    Integer(i64),
    Float(f64),
}

impl Numeric {
    #[expect(clippy::cast_precision_loss, reason = "PHP compares an integer with a float as floats")]
    fn as_float(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

/// Integers beyond 64 bits with a sign are floats to PHP. The one difference: the parser makes a float of the token
/// `-0`, which PHP reads as the integer 0.
pub(super) fn number(number: &Number) -> Numeric {
    match number.as_i64() {
        Some(value) => Numeric::Integer(value),
        None => Numeric::Float(number.as_f64().unwrap_or(f64::NAN)),
    }
}

fn order_numbers(left: Numeric, right: Numeric) -> Ordering {
    match (left, right) {
        (Numeric::Integer(left), Numeric::Integer(right)) => left.cmp(&right),
        _ => left.as_float().partial_cmp(&right.as_float()).unwrap_or(Ordering::Greater),
    }
}

fn order_number_string(left: Numeric, right: &str) -> Ordering {
    match numeric_string(right) {
        Some(right) => order_numbers(left, right.value),
        None => print(left).as_str().cmp(right),
    }
}

/// Where PHP would lose digits of two huge integers it compares their bytes instead.
fn order_strings(left: &str, right: &str) -> Ordering {
    let (Some(a), Some(b)) = (numeric_string(left), numeric_string(right)) else {
        return left.cmp(right);
    };
    match (a.value, b.value) {
        (Numeric::Float(x), Numeric::Float(y)) if x == y && (x.is_infinite() || a.huge && b.huge) => {
            left.cmp(right)
        }
        (Numeric::Integer(_), Numeric::Float(y)) if b.huge => 0.0_f64.total_cmp(&y),
        (Numeric::Float(x), Numeric::Integer(_)) if a.huge => x.total_cmp(&0.0),
        (x, y) => order_numbers(x, y),
    }
}

/// A string that PHP takes for a number.
struct NumericString {
    value: Numeric,
    /// Written as an integer, but too large for one.
    huge: bool,
}

/// Reads an optional sign, digits with an optional point, and an optional exponent, with white space around
/// (PHP RFC "Saner numeric strings"). Hexadecimal and names of infinity are no numbers.
fn numeric_string(text: &str) -> Option<NumericString> {
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let numeric = digits(whole)
        && fraction.is_none_or(digits)
        && !(whole.is_empty() && fraction.is_none_or(str::is_empty))
        && exponent.is_none_or(|exponent| {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent)
        });
    if !numeric {
        return None;
    }
    let integral = fraction.is_none() && exponent.is_none();
    if integral && let Ok(value) = text.parse() {
        return Some(NumericString { value: Numeric::Integer(value), huge: false });
    }
    Some(NumericString { value: Numeric::Float(text.parse().ok()?), huge: integral })
}

/// Significant digits of a float cast to a string (PHP's `precision`, whose default nobody changes).
const PRECISION: i32 = 14;

/// A number cast to a string: `1`, `0.5`, `1.0E+25`.
fn print(number: Numeric) -> String {
    let value = match number {
        Numeric::Integer(value) => return value.to_string(),
        Numeric::Float(value) => value,
    };
    let scientific = format!("{value:.*e}", (PRECISION - 1) as usize);
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return if value.is_sign_negative() { "-INF".into() } else { "INF".into() };
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let digits = mantissa.replace('.', "");
    let digits = digits.trim_end_matches('0');
    if value == 0.0 {
        return format!("{sign}0");
    }
    if (-4..PRECISION).contains(&exponent) {
        return format!("{sign}{}", plain(digits, exponent));
    }
    let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, ""));
    let rest = if rest.is_empty() { "0" } else { rest };
    format!("{sign}{first}.{rest}E{exponent:+}")
}

/// Digits with the point `exponent` places behind the first one.
fn plain(digits: &str, exponent: i32) -> String {
    let Ok(exponent) = usize::try_from(exponent) else {
        let zeros = exponent.unsigned_abs() as usize - 1;
        return format!("0.{}{digits}", "0".repeat(zeros));
    };
    match digits.split_at_checked(exponent + 1) {
        Some((whole, "")) => whole.to_owned(),
        Some((whole, fraction)) => format!("{whole}.{fraction}"),
        None => format!("{digits:0<width$}", width = exponent + 1),
    }
}
