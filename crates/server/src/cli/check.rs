//! `realtime check`: what configuration holds, where it comes from, and whether a server could start with it.

use std::fmt::Write as _;
use std::io;
use std::net::TcpListener;
use std::path::Path;

use clap::{ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::{Failure, complain, given, json_arg, layers, runtime, say, say_json, settings};
use crate::bus::nats::Nats;
use crate::bus::redis::Redis;
use crate::config::Config;
use crate::config::layer::{Layers, shown, unknown_variables};
use crate::config::setting::SETTINGS;
use crate::embedded::{Embedded, write_private};
use crate::installation;

pub(super) fn command() -> Command {
    settings(
        Command::new("check")
            .about("Show the configuration and whether a server could start with it")
            .after_help("Examples:\n  realtime check\n  realtime check --config realtime.toml --json"),
    )
    .arg(json_arg())
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let layers = layers(matches)?;
    let config = Config::resolve(&layers)?;
    let problems = runtime()?.block_on(problems(&config));
    let warnings = warnings();
    if given(matches, "json") {
        say_json(&json!({ "settings": settings_json(&layers), "problems": problems, "warnings": warnings }));
    } else {
        say(&table(&layers));
        warnings.iter().for_each(|warning| complain(&format!("warning: {warning}")));
    }
    match problems.as_slice() {
        [] => {
            say_unless_json(matches, "A server can start with this.");
            Ok(())
        }
        problems => Err(Failure(problems.join("\n"))),
    }
}

/// What would keep a server from starting.
async fn problems(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    match &config.database {
        Some(database) => {
            let found = installation::check(config, database).await;
            problems.extend(found.err().map(|error| error.to_string()));
        }
        None => problems.extend(embedded_problems(config).await),
    }
    let redis = config.redis.as_ref().map(Redis::new);
    problems.extend(redis.and_then(Result::err).map(|error| error.to_string()));
    let nats = config.nats.as_ref().map(Nats::new);
    problems.extend(nats.and_then(Result::err).map(|error| error.to_string()));
    if let Err(error) = TcpListener::bind(config.listen) {
        let address = config.listen;
        problems.push(format!("cannot listen on {address}: {error}; choose another address with --listen"));
    }
    problems
}

async fn embedded_problems(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    match Embedded::open(config).await {
        Ok(embedded) => {
            if let Err(error) = try_to_write(&config.data_dir) {
                let folder = config.data_dir.display();
                problems.push(format!(
                    "cannot write in {folder}: {error}; mend its permissions, or name another with --data-dir"
                ));
            }
            problems.extend(embedded.directory(config).err().map(|error| error.to_string()));
            embedded.database.close().await;
        }
        Err(error) => problems.push(error.to_string()),
    }
    problems
}

fn try_to_write(folder: &Path) -> io::Result<()> {
    let probe = folder.join(format!("check-{:016x}", rand::random::<u64>()));
    write_private(&probe, "")?;
    std::fs::remove_file(&probe)
}

/// What a server would start with, but is hardly meant.
fn warnings() -> Vec<String> {
    let names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    unknown_variables(names.iter().map(String::as_str))
        .into_iter()
        .map(|(name, meant)| format!("the variable {name} means nothing; did you mean {meant}?"))
        .collect()
}

fn say_unless_json(matches: &ArgMatches, line: &str) {
    if !given(matches, "json") {
        say(line);
    }
}

fn settings_json(layers: &Layers) -> Value {
    let facts: Map<String, Value> = SETTINGS
        .iter()
        .map(|setting| {
            let (value, source) = layers.get(setting.key);
            (setting.key.to_owned(), json!({ "value": shown(setting, value), "source": source.to_string() }))
        })
        .collect();
    Value::Object(facts)
}

fn table(layers: &Layers) -> String {
    let width = SETTINGS.iter().map(|setting| setting.key.len()).max().unwrap_or_default();
    let mut table = String::new();
    for setting in SETTINGS {
        let (value, source) = layers.get(setting.key);
        let value = match shown(setting, value) {
            "" => "(none)",
            value => value,
        };
        // Writing to a text cannot fail.
        let _ = writeln!(table, "{:width$}  {value}  ({source})", setting.key);
    }
    table
}
