//! Replays `conformance/*.txt` from the client's side: what servers say there is understood, and means what it should.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "a test says what it was doing when it failed")]
#![expect(clippy::disallowed_methods, reason = "a transcript's clock must begin somewhere")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks for one thing among all")]

#[path = "transcripts/listener.rs"]
mod listener;
#[path = "../../protocol/tests/transcripts/script.rs"]
mod script;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use listener::Listener;
use realtime_client::Advice;
use realtime_client::message::Message;
use script::{Script, Step};
use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn scripts() -> Vec<Script> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(repository().join("conformance"))
        .expect("the folder conformance/ is there")
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    paths.iter().flat_map(|path| Script::read_all(path)).collect()
}

/// Every step, with `repeat` written out.
fn steps(script: &Script) -> Vec<Step> {
    let mut steps = Vec::new();
    for step in &script.steps {
        let repeated = step.text.strip_prefix("repeat ").and_then(|rest| rest.split_once(' '));
        let range = repeated.and_then(|(range, text)| Some((range.split_once('-')?, text)));
        let Some(((first, last), text)) = range else {
            steps.push(Step { place: step.place.clone(), text: step.text.clone() });
            continue;
        };
        let number = |text: &str| text.parse::<u32>().expect("a number");
        steps.extend(
            (number(first)..=number(last)).map(|number| Step {
                place: step.place.clone(),
                text: text.replace('#', &number.to_string()),
            }),
        );
    }
    steps
}

/// A message as a server might have said it that fits the pattern; names like `<minted>` stand for themselves.
fn message(pattern: &str) -> Value {
    fn fit(pattern: &Value) -> Value {
        let marker = |value: &Value| {
            value
                .as_str()
                .is_some_and(|text| matches!(text, "..." | "in any order") || text.ends_with(" in all"))
        };
        match pattern {
            Value::Array(items) => items.iter().filter(|item| !marker(item)).map(fit).collect(),
            Value::Object(fields) => fields
                .iter()
                .filter(|(key, _)| *key != "...")
                .map(|(key, value)| (key.clone(), fit(value)))
                .collect(),
            Value::String(any) if any == "*" => Value::from("anything"),
            other => other.clone(),
        }
    }
    let mut message = fit(&serde_json::from_str(pattern).expect("a pattern is JSON"));
    if message["type"] == "event" && message["data"]["payload"].is_null() {
        message["data"]["payload"] = Value::Object(serde_json::Map::new());
    }
    message
}

#[test]
fn every_message_of_a_server_is_understood() {
    let mut understood: BTreeMap<String, usize> = BTreeMap::new();
    for step in scripts().iter().flat_map(steps) {
        let Some((clients, pattern)) = step.text.split_once([' ', '\n']) else { continue };
        if !clients.ends_with('<') {
            continue;
        }
        let said = message(pattern).to_string();
        let kind = match Message::read(&said) {
            Ok(Message::Connected { .. }) => "connected",
            Ok(Message::Event { .. }) => "event",
            Ok(Message::Response { .. }) => "response",
            Ok(Message::Gap { .. }) => "gap",
            Ok(Message::Pong) => "pong",
            Ok(Message::Error { .. }) => "error",
            other => panic!("{}: {other:?} is how {said} is read", step.place),
        };
        assert_eq!(message(pattern)["type"], kind, "{}", step.place);
        *understood.entry(kind.to_owned()).or_default() += 1;
    }
    assert!(understood.len() == 6 && understood.values().all(|count| *count > 0), "{understood:?}");
}

#[test]
fn sessions_have_the_conversations_of_the_transcripts() {
    let mut delivered = 0;
    let mut closed = 0;
    for script in &scripts() {
        println!("{}", script.title);
        let mut listeners: BTreeMap<String, Listener> = BTreeMap::new();
        for step in steps(script) {
            let (word, rest) = step.text.split_once([' ', '\n']).unwrap_or((&step.text, ""));
            if word == "open" {
                let names = rest.split(' ').next().unwrap_or_default();
                listeners.extend(names.split(',').map(|name| (name.to_owned(), Listener::open())));
                continue;
            }
            for name in word.trim_end_matches(['<', '>']).split(',') {
                let Some(listener) = listeners.get_mut(name) else { continue };
                match word.chars().last() {
                    Some('>') => listener.say(rest),
                    Some('<') => delivered += listener.hear(message(rest), &step.place),
                    _ if rest.starts_with("closed") => {
                        closed += 1;
                        listener.closed(rest.trim_start_matches("closed").trim(), &step.place);
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(delivered > 100 && closed > 20, "{delivered} deliveries and {closed} closes were compared");
}

#[test]
fn advice_follows_the_page_of_close_codes() {
    let page = std::fs::read_to_string(repository().join("docs/errors.md")).expect("the page is there");
    let mut rows = 0;
    let table = page.split("\n## ").find(|section| section.starts_with("What to do after a close"));
    for line in table.expect("the page says what to do").lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, code, _, advice, _] = cells.as_slice() else { continue };
        let Ok(code) = code.parse::<u16>() else { continue };
        let expected = match *advice {
            "**stop**" => Advice::Stop,
            "connect again" => Advice::Retry,
            fresh if fresh.contains("fresh token") => Advice::Reauthenticate,
            // Mending the client, sending less and trying later all take a while.
            _ => Advice::Later,
        };
        assert_eq!(Advice::of(code), expected, "{line}");
        rows += 1;
    }
    assert!(rows >= 9, "{rows} codes were compared");
}
