//! What was aimed at for finding receivers.

use super::{Case, Figure};
use crate::appwrite;
use crate::floor::Writes;
use crate::report::{Spread, nanoseconds, ratio};
use crate::target::{Target, Verdict};

/// How much more one receiver may take among the most connections than among the fewest and still count as flat.
const FLAT: f64 = 1.2;
/// Connections of Appwrite's server for which an event for one user was measured, and how many times less it is to be here.
const ONE_USER_AMONG: usize = 100_000;
const ONE_USER: f64 = 10_000.0;

pub(super) fn of(figures: &[Figure]) -> Vec<Target> {
    let of_case = |case: Case| figures.iter().filter(move |figure| figure.case == case);
    let mut targets = Vec::new();
    if let Some(most) = of_case(Case::One).next_back() {
        targets.push(within(most, "1 receiver"));
    }
    if let (Some(fewest), Some(most)) = (of_case(Case::One).next(), of_case(Case::One).next_back()) {
        let growth = median(most) / median(fewest);
        let floor = Spread::of(&most.floor).median / Spread::of(&fewest.floor).median;
        targets.push(Target {
            subject: format!("matching: 1 receiver, flat from {} to {} connections", fewest.size, most.size),
            wanted: format!("≤ {FLAT} ×"),
            bench: "match",
            figure: format!("{} ×", ratio(growth)),
            floor: format!("bare look-ups grow {} ×", ratio(floor)),
            ratio: ratio(growth / floor),
            verdict: Verdict::of(growth <= FLAT),
        });
    }
    for (case, subject) in
        [(Case::Any, "10,000 receivers, `any`"), (Case::Team, "10,000 receivers, one team")]
    {
        targets.extend(of_case(case).next_back().map(|figure| within(figure, subject)));
    }
    targets
        .extend(of_case(Case::One).find(|figure| figure.size == ONE_USER_AMONG).and_then(against_appwrite));
    targets
}

fn median(figure: &Figure) -> f64 {
    Spread::of(&figure.index).median
}

fn within(figure: &Figure, subject: &str) -> Target {
    let (index, target) = (Spread::of(&figure.index), figure.case.target());
    Target {
        subject: format!("matching: {subject} among {} connections", figure.size),
        wanted: format!("< {}", nanoseconds(target)),
        bench: "match",
        figure: format!(
            "{} ({}–{})",
            nanoseconds(index.median),
            nanoseconds(index.min),
            nanoseconds(index.max)
        ),
        floor: format!("{} of bare look-ups", nanoseconds(Spread::of(&figure.floor).median)),
        ratio: ratio(Spread::of_ratios(&figure.index, &figure.floor).median),
        verdict: Verdict::of(index.median < target),
    }
}

/// `None` if no floor can be had.
fn against_appwrite(figure: &Figure) -> Option<Target> {
    let floor = Writes::open(500).and_then(|writes| writes.measure(700, 40, 0)).ok()?;
    let over = appwrite::ONE_USER.over(median(figure), floor);
    Some(Target {
        subject: format!("event for one user among {ONE_USER_AMONG}, matching in this process"),
        wanted: format!("{ONE_USER:.0} × less than Appwrite"),
        bench: "match",
        figure: nanoseconds(median(figure)),
        floor: format!("{:.1} µs a `writev`; {}", floor / 1e3, appwrite::ONE_USER.text()),
        ratio: ratio(over),
        verdict: Verdict::of(over >= ONE_USER),
    })
}
