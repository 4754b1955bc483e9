//! A list of steps, run one after another, each with its time.

use std::time::{Duration, Instant};

/// One thing that must hold.
pub(crate) struct Step {
    name: &'static str,
    work: Box<dyn Fn() -> Result<(), String>>,
}

impl Step {
    /// A step by name.
    pub(crate) fn new(name: &'static str, work: impl Fn() -> Result<(), String> + 'static) -> Self {
        Self { name, work: Box::new(work) }
    }
}

/// Runs every step, the failed ones notwithstanding, so that one run tells all there is to mend. Fails if any did.
pub(crate) fn run(steps: &[Step]) -> Result<(), String> {
    let begun = Instant::now();
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        println!("\n── {}/{} {}", number + 1, steps.len(), step.name);
        let started = Instant::now();
        let outcome = (step.work)();
        let time = seconds(started.elapsed());
        match outcome {
            Ok(()) => {
                println!("── {} passed in {time}", step.name);
                lines.push(format!("  ok    {time:>8}  {}", step.name));
            }
            Err(error) => {
                println!("{error}\n── {} FAILED after {time}", step.name);
                lines.push(format!("  FAIL  {time:>8}  {}", step.name));
                failed.push(step.name);
            }
        }
    }
    println!("\n{}", lines.join("\n"));
    let total = seconds(begun.elapsed());
    if failed.is_empty() {
        println!("\nPASSED: all {} steps in {total}", steps.len());
        Ok(())
    } else {
        let text =
            format!("FAILED: {} of {} steps in {total}: {}", failed.len(), steps.len(), failed.join(", "));
        println!("\n{text}");
        Err(text)
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn a_failed_step_fails_the_run_and_lets_the_later_ones_run() {
        let ran = Rc::new(Cell::new(0));
        let count = |outcome: Result<(), String>| {
            let ran = Rc::clone(&ran);
            move || {
                ran.set(ran.get() + 1);
                outcome.clone()
            }
        };
        let steps = [Step::new("first", count(Err("broken".to_owned()))), Step::new("second", count(Ok(())))];
        let outcome = run(&steps);
        assert_eq!(ran.get(), 2);
        assert!(outcome.is_err_and(|text| text.contains("1 of 2") && text.contains("first")));
    }
}
