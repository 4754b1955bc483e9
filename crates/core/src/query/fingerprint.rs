//! A number for a value, the same for identical values, to find the queries that ask for it.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;
use serde_json::Value;

use super::compare::{Numeric, number};

/// What stands for a value. Two values may share one, so it finds candidates and decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Fingerprint(u64);

/// Makes fingerprints; the seed guards against chosen values.
#[derive(Debug, Clone)]
pub(crate) struct Fingerprints(FixedState);

impl Fingerprints {
    pub(crate) fn new(hasher: FixedState) -> Self {
        Self(hasher)
    }

    /// Of a value that is identical only to values of its own kind, as PHP's `===` has it; `None` for lists and objects.
    pub(crate) fn of(&self, value: &Value) -> Option<Fingerprint> {
        let mut hasher = self.0.build_hasher();
        match value {
            Value::Null => hasher.write_u8(0),
            Value::Bool(value) => hasher.write_u8(1 + u8::from(*value)),
            Value::Number(value) => match number(value) {
                Numeric::Integer(value) => {
                    hasher.write_u8(3);
                    hasher.write_i64(value);
                }
                Numeric::Float(value) => {
                    hasher.write_u8(4);
                    // Zero with and without a sign are identical.
                    hasher.write_u64(if value == 0.0 { 0 } else { value.to_bits() });
                }
            },
            Value::String(value) => {
                hasher.write_u8(5);
                hasher.write(value.as_bytes());
            }
            Value::Array(_) | Value::Object(_) => return None,
        }
        Some(Fingerprint(hasher.finish()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::compare::identical;
    use super::*;

    fn scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-2i64..3).prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            prop_oneof![Just(0.0), Just(-0.0), Just(1.0), any::<f64>()].prop_map(Value::from),
            "[01]{0,2}".prop_map(Value::from),
        ]
    }

    proptest! {
        #[test]
        fn identical_values_have_one_fingerprint(left in scalar(), right in scalar(), seed: u64) {
            let fingerprints = Fingerprints::new(FixedState::with_seed(seed));
            let same = fingerprints.of(&left) == fingerprints.of(&right);
            prop_assert_eq!(same, identical(&left, &right), "{} and {}", left, right);
        }
    }

    #[test]
    fn lists_and_objects_have_none() {
        let fingerprints = Fingerprints::new(FixedState::with_seed(1));
        assert_eq!(fingerprints.of(&json!([])), None);
        assert_eq!(fingerprints.of(&json!({})), None);
    }
}
