//! Every target survives its corpus and mutations of it, on any machine and the same way each time.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic, and says what it was doing when it did"
)]

use std::fs;
use std::path::Path;

use realtime_fuzz::TARGETS;

/// Mutations of each corpus. More than a few seconds' worth belongs to libFuzzer.
const MUTATIONS: usize = 20_000;

#[test]
fn every_target_survives_its_corpus() {
    for (name, target) in TARGETS {
        for (file, seed) in corpus(name) {
            println!("{name}: {file}");
            target(&seed);
        }
    }
}

#[test]
fn every_target_survives_mutations_of_its_corpus() {
    for (name, target) in TARGETS {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let mut inputs: Vec<Vec<u8>> = corpus(name).into_iter().map(|(_, seed)| seed).collect();
        let seeds = inputs.len();
        for round in 0..MUTATIONS {
            let mut input = inputs[random.below(inputs.len())].clone();
            for _ in 0..=random.below(4) {
                let other = inputs[random.below(seeds)].clone();
                mutate(&mut input, &other, &mut random);
            }
            input.truncate(4096);
            // Shown only if the target panics.
            println!("{name} {round}: {:?}", String::from_utf8_lossy(&input));
            target(&input);
            // Some mutations are mutated further.
            if round % 16 == 0 {
                inputs.push(input);
            }
        }
    }
}

#[test]
fn every_corpus_belongs_to_a_target() {
    for entry in fs::read_dir(corpora()).expect("there are corpora") {
        let name = entry.expect("a readable folder").file_name();
        assert!(TARGETS.iter().any(|(target, _)| name == *target), "{name:?} has no target");
    }
}

fn corpora() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
}

/// The seeds of a target, by name, so that the order is the same everywhere.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fs::read_dir(corpora().join(target))
        .unwrap_or_else(|error| panic!("no corpus for {target}: {error}"));
    let mut seeds: Vec<(String, Vec<u8>)> = folder
        .map(|entry| entry.expect("a readable folder"))
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).expect("a readable seed"))
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "the corpus of {target} is empty");
    seeds
}

fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(7) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => {
            input.remove(at);
        }
        2 => input.insert(at, b"\n\"\\{}[]:,.-+eE019@/?#* \x00\xff"[random.below(25)]),
        3 => input.truncate(at),
        4 => {
            let repeated = input[at..].to_vec();
            input.extend(repeated);
        }
        5 => {
            let from = random.below(other.len() + 1);
            let piece = other[from..(from + random.below(40)).min(other.len())].to_vec();
            input.splice(at..at, piece);
        }
        _ => {
            let words: [&[u8]; 8] =
                [b"null", b"1e999", b"-0", b"9223372036854775808", b"\"*\"", b"\"and\"", b"://", b"[::1]:0"];
            input.splice(at..at, words[random.below(words.len())].iter().copied());
        }
    }
}

/// Xorshift (Marsaglia, 2003): the same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
