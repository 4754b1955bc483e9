//! How little of a plan it takes to break a promise: actions are left out for as long as the same one breaks.

use std::time::{Duration, Instant};

use crate::workload::{Action, Plan};
use crate::world;

/// The plan with as few of its actions as were found to suffice, in the time that there is for it.
pub fn shrink(plan: &Plan, time: Duration) -> Plan {
    let until = Instant::now() + time;
    let Some(broken) = world::run(plan).failure.map(|failure| failure.property) else { return plan.clone() };
    let breaks = |actions: &[(Duration, Action)]| {
        let smaller = Plan { actions: actions.to_vec(), ..plan.clone() };
        world::run(&smaller).failure.is_some_and(|failure| failure.property == broken)
    };
    let mut actions = plan.actions.clone();
    let mut size = actions.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        let mut found = false;
        while from < actions.len() && Instant::now() < until {
            let to = (from + size).min(actions.len());
            let without: Vec<(Duration, Action)> = actions
                .iter()
                .enumerate()
                .filter(|(index, _)| !(from..to).contains(index))
                .map(|(_, action)| *action)
                .collect();
            if breaks(&without) {
                actions = without;
                found = true;
            } else {
                from = to;
            }
        }
        if !found || size > 1 {
            size /= 2;
        }
        if Instant::now() >= until {
            break;
        }
    }
    Plan { actions, ..plan.clone() }
}

/// Which of a plan's actions are in a smaller one, by their numbers.
pub fn kept(plan: &Plan, smaller: &Plan) -> Vec<usize> {
    let mut left = smaller.actions.iter().peekable();
    let is_next = |action: &(Duration, Action)| left.next_if(|next| **next == *action).is_some();
    let numbered = plan.actions.iter().enumerate();
    let mut is_next = is_next;
    numbered.filter(|(_, action)| is_next(action)).map(|(number, _)| number).collect()
}
