//! What was aimed at and what came of it: a line for each target, with the floor that its figure is to be seen against.

use serde_json::{Value, json};

use crate::report::{Report, Table};

/// One target and the figure that was measured for it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// What is measured, and what it is to be.
    pub(crate) subject: String,
    pub(crate) wanted: String,
    /// The benchmark that measures it.
    pub(crate) bench: &'static str,
    pub(crate) figure: String,
    pub(crate) floor: String,
    pub(crate) ratio: String,
    pub(crate) verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// And why.
    NotMeasured(String),
}

impl Verdict {
    pub(crate) fn of(met: bool) -> Self {
        if met { Self::Met } else { Self::Missed }
    }

    fn text(&self) -> String {
        match self {
            Self::Met => "met".to_owned(),
            Self::Missed => "**missed**".to_owned(),
            Self::NotMeasured(why) => format!("not measured: {why}"),
        }
    }
}

/// The table of all targets.
pub(crate) fn report(targets: &[Target], notes: Vec<String>) -> Report {
    let mut table = Table::new(&["target", "wanted", "bench", "figure", "floor", "ratio", ""]);
    let mut rows: Vec<Value> = Vec::new();
    for target in targets {
        table.row([
            target.subject.clone(),
            target.wanted.clone(),
            format!("`{}`", target.bench),
            target.figure.clone(),
            target.floor.clone(),
            target.ratio.clone(),
            target.verdict.text(),
        ]);
        rows.push(json!({
            "target": target.subject,
            "wanted": target.wanted,
            "bench": target.bench,
            "figure": target.figure,
            "floor": target.floor,
            "ratio": target.ratio,
            "verdict": target.verdict.text().trim_matches('*'),
        }));
    }
    Report { table, notes, json: json!({ "bench": "targets", "rows": rows }), targets: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_says_that_it_was_missed_and_one_without_a_figure_says_why() {
        let target = |verdict| Target {
            subject: "fan-out".to_owned(),
            wanted: "≤ 1.3 × floor".to_owned(),
            bench: "fanout",
            figure: "9 µs".to_owned(),
            floor: "6 µs".to_owned(),
            ratio: "1.5".to_owned(),
            verdict,
        };
        let text = report(
            &[target(Verdict::Missed), target(Verdict::NotMeasured("no Redis".to_owned()))],
            Vec::new(),
        )
        .markdown();
        assert!(text.contains("**missed**") && text.contains("not measured: no Redis"), "{text}");
    }
}
