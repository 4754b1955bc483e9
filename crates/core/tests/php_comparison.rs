//! Queries compare as PHP does: a table of what PHP itself answered for every pair of some hundred values.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use realtime_core::query::{Filter, Limits, Payload};

/// Operators and the bit that stands for each in the table.
const OPERATORS: [(&str, u32); 5] =
    [("equal", 1), ("lessThan", 2), ("lessThanEqual", 4), ("greaterThan", 8), ("greaterThanEqual", 16)];

#[test]
fn every_pair_of_values_compares_as_in_php() {
    let table = include_str!("php-comparison.txt");
    let rows: Vec<(&str, &str)> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('\t').unwrap())
        .collect();
    assert!(rows.len() > 100, "the table is there");
    let mut wrong = Vec::new();
    for (operator, bit) in OPERATORS {
        let filters: Vec<Filter> = rows.iter().map(|(_, right)| filter(operator, right)).collect();
        for (answers, left) in &rows {
            let payload = Payload::new(Bytes::from(format!(r#"{{"a":{left}}}"#)));
            assert_eq!(answers.len(), rows.len());
            for ((answer, filter), (_, right)) in answers.chars().zip(&filters).zip(&rows) {
                let expected = answer.to_digit(32).unwrap() & bit != 0;
                if filter.matches(&payload) != expected {
                    wrong.push(format!("{left} {operator} {right} is {expected} in PHP"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len().pow(2) * 5, wrong.join("\n"));
}

fn filter(operator: &str, value: &str) -> Filter {
    let query = format!(r#"{{"method":"{operator}","attribute":"a","values":[{value}]}}"#);
    Filter::parse(&[query], &Limits::default()).unwrap()
}
