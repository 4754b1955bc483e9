//! Figures for people and for programs: a table with notes, or JSON.

use serde_json::{Value, json};

use crate::target::{self, Target};

/// The middle of several measurements and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of no measurements at all it is not a number.
    pub(crate) fn of(measured: &[f64]) -> Self {
        let mut sorted = measured.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        Self { median: at(sorted.len() / 2), min: at(0), max: at(sorted.len().saturating_sub(1)) }
    }

    /// What was measured, each by what was measured at the same time of the other.
    pub(crate) fn of_ratios(measured: &[f64], others: &[f64]) -> Self {
        Self::of(&measured.iter().zip(others).map(|(one, other)| one / other).collect::<Vec<f64>>())
    }

    pub(crate) fn to_json(self) -> Value {
        json!({ "median": self.median, "min": self.min, "max": self.max })
    }
}

/// Rows of words in columns as wide as they need be, written as Markdown.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|word| (*word).to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn markdown(&self) -> String {
        self.lines().into_iter().map(|line| line + "\n").collect()
    }

    fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |cells: &[String]| {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
            format!("|{}", padded.collect::<String>())
        };
        let rule = widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))).collect::<String>();
        let mut lines: Vec<String> = self.rows.iter().map(|row| line(row)).collect();
        lines.insert(1.min(lines.len()), format!("|{rule}"));
        lines
    }
}

/// What a benchmark has to say.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) table: Table,
    pub(crate) notes: Vec<String>,
    pub(crate) json: Value,
    /// Those that it measures.
    pub(crate) targets: Vec<Target>,
}

impl Report {
    #[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            println!("{:#}", self.json);
            return;
        }
        println!("{}", self.markdown());
        if !self.targets.is_empty() {
            println!("{}", target::report(&self.targets, Vec::new()).markdown());
        }
    }

    /// The table and the notes.
    pub(crate) fn markdown(&self) -> String {
        let notes = self.notes.iter().map(|note| format!("\n{note}\n"));
        std::iter::once(self.table.markdown()).chain(notes).collect()
    }
}

/// A time in the unit that reads best.
pub(crate) fn nanoseconds(time: f64) -> String {
    match time {
        time if time < 1e4 => format!("{time:.0} ns"),
        time if time < 1e6 => format!("{:.1} µs", time / 1e3),
        time if time < 1e9 => format!("{:.1} ms", time / 1e6),
        time => format!("{:.2} s", time / 1e9),
    }
}

/// A spread of nanoseconds as microseconds, with the least and the most.
pub(crate) fn micros(spread: Spread) -> String {
    format!("{:.2} ({:.2}–{:.2})", spread.median / 1e3, spread.min / 1e3, spread.max / 1e3)
}

/// A spread of ratios, with the least and the most.
pub(crate) fn ratios(spread: Spread) -> String {
    format!("{} ({}–{})", ratio(spread.median), ratio(spread.min), ratio(spread.max))
}

/// How many times as much.
pub(crate) fn ratio(times: f64) -> String {
    if times < 100.0 { format!("{times:.2}") } else { format!("{times:.0}") }
}

/// An amount of memory.
pub(crate) fn bytes(amount: f64) -> String {
    if amount < 10_240.0 { format!("{amount:.0} B") } else { format!("{:.1} KiB", amount / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_names_the_middle_and_the_ends() {
        assert_eq!(Spread::of(&[3.0, 1.0, 9.0, 2.0, 4.0]), Spread { median: 3.0, min: 1.0, max: 9.0 });
        assert!(Spread::of(&[]).median.is_nan());
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["a", "µs"]);
        table.row(["long".to_owned(), "1".to_owned()]);
        assert_eq!(table.lines(), ["| a    | µs |", "|------|----|", "| long | 1  |"]);
    }
}
