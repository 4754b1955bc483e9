//! Runs seeds for a while, or one of them again, and tells how little it takes to break what broke.
#![expect(clippy::print_stdout, reason = "this program talks to the person who runs it")]

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use realtime_sim::shrink;
use realtime_sim::workload::Plan;
use realtime_sim::world;

const HELP: &str = "\
Runs many nodes, clients and faults under one virtual clock, seed after seed.

Usage: cargo xtask sim [--seed N [--keep LIST] [--aloud]] [--seconds N] [--brief]

  --seed N      This seed alone; with --seconds also those that follow it. A fresh one unless given.
  --seconds N   Seeds for so long; 30 s unless a seed is given.
  --keep LIST   Only these actions of the seed, by their numbers: 3,17,40.
  --aloud       Print all that happens.
  --brief       Do not find out how little it takes to break what broke.
";

/// How long it is tried to leave actions out.
const SHRINKING: Duration = Duration::from_secs(60);
/// How often the progress is told.
const TELL_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Wanted {
    seed: Option<u64>,
    seconds: Option<u64>,
    keep: Option<Vec<usize>>,
    aloud: bool,
    brief: bool,
}

fn main() -> ExitCode {
    let wanted = match read(std::env::args().skip(1)) {
        Ok(Some(wanted)) => wanted,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(word) => {
            println!("sim: cannot make sense of '{word}'\n\n{HELP}");
            return ExitCode::FAILURE;
        }
    };
    let done = match (wanted.seed, wanted.seconds) {
        (Some(seed), None) => one(seed, &wanted),
        (seed, seconds) => {
            let time = Duration::from_secs(seconds.unwrap_or(30));
            many(seed.unwrap_or_else(fresh), time, wanted.brief)
        }
    };
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Wanted>, String> {
    let mut wanted = Wanted::default();
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().unwrap_or_default();
            value.parse::<u64>().map_err(|_| format!("{word} {value}"))
        };
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--seed" => wanted.seed = Some(number()?),
            "--seconds" => wanted.seconds = Some(number()?),
            "--aloud" => wanted.aloud = true,
            "--brief" => wanted.brief = true,
            "--keep" => {
                let list = words.next().unwrap_or_default();
                let numbers = list.split(',').filter(|one| !one.is_empty()).map(str::parse);
                wanted.keep = Some(numbers.collect::<Result<_, _>>().map_err(|_| list.clone())?);
            }
            _ => return Err(word),
        }
    }
    Ok(Some(wanted))
}

/// A seed that nobody has chosen.
fn fresh() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ (since.as_secs() << 16)
}

fn one(seed: u64, wanted: &Wanted) -> bool {
    let mut plan = Plan::of(seed);
    if let Some(keep) = &wanted.keep {
        plan.keep(keep);
    }
    let outcome = if wanted.aloud { world::run_aloud(&plan) } else { world::run(&plan) };
    println!("seed {seed}, {:?}: {} actions, {:?}", plan.theme, plan.actions.len(), outcome.figures);
    match outcome.failure {
        Some(failure) => {
            println!("FAILED: {failure}");
            if wanted.keep.is_none() && !wanted.aloud && !wanted.brief {
                explain(seed, &plan);
            }
            false
        }
        None => {
            println!("every promise held");
            true
        }
    }
}

fn many(first: u64, time: Duration, brief: bool) -> bool {
    let begun = Instant::now();
    println!("seeds from {first} on for {} s", time.as_secs());
    let mut told = begun;
    let mut count = 0;
    let mut events = 0;
    let mut read = 0;
    while begun.elapsed() < time {
        let seed = first.wrapping_add(count);
        let plan = Plan::of(seed);
        let outcome = world::run(&plan);
        count += 1;
        events += outcome.figures.events;
        read += outcome.figures.read;
        if let Some(failure) = outcome.failure {
            println!(
                "seed {seed}, {:?}, number {count}, after {:.1} s",
                plan.theme,
                begun.elapsed().as_secs_f64()
            );
            println!("FAILED: {failure}");
            if !brief {
                explain(seed, &plan);
            }
            return false;
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            println!("{:5} s: {count} seeds, {events} events, {read} read", begun.elapsed().as_secs());
        }
    }
    println!(
        "every promise held: {count} seeds in {:.1} s, {events} events, {read} read",
        begun.elapsed().as_secs_f64()
    );
    true
}

/// Tells how little it takes.
fn explain(seed: u64, plan: &Plan) {
    let smaller = shrink::shrink(plan, SHRINKING);
    let kept = shrink::kept(plan, &smaller);
    println!("{} of {} actions suffice, under {:?}", smaller.actions.len(), plan.actions.len(), plan.setting);
    for (number, (at, action)) in kept.iter().zip(&smaller.actions) {
        println!("  {number:5} {:8.3} s  {action:?}", at.as_secs_f64());
    }
    if let Some(failure) = world::run(&smaller).failure {
        println!("they break {failure}");
    }
    let list: Vec<String> = kept.iter().map(ToString::to_string).collect();
    println!("again: cargo xtask sim --seed {seed}");
    println!("alone: cargo xtask sim --seed {seed} --keep {} --aloud", list.join(","));
}
