//! The command line: what can be said, and what is printed. One subcommand a file.

mod check;
mod dev;
mod entity;
mod event;
mod explain;
mod health;
mod key;
mod listen;
mod platform;
mod project;
mod publish;
mod serve;
mod session;
mod team;
mod token;
mod user;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use crate::config::layer::Layers;
use crate::config::setting::{self, Kind, SETTINGS};
use crate::config::{Config, ConfigError};
use crate::embedded::{Embedded, EmbeddedError};

/// Why a command did not succeed, in words for whoever typed it.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// One subcommand.
struct Subcommand {
    command: fn() -> Command,
    run: fn(&ArgMatches) -> Result<(), Failure>,
}

/// Every subcommand, in the order of `--help`.
const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand { command: dev::command, run: dev::run },
    Subcommand { command: serve::command, run: serve::run },
    Subcommand { command: publish::command, run: publish::run },
    Subcommand { command: listen::command, run: listen::run },
    Subcommand { command: explain::command, run: explain::run },
    Subcommand { command: check::command, run: check::run },
    Subcommand { command: health::command, run: health::run },
    Subcommand { command: project::command, run: project::run },
    Subcommand { command: user::command, run: user::run },
    Subcommand { command: team::command, run: team::run },
    Subcommand { command: session::command, run: session::run },
    Subcommand { command: key::command, run: key::run },
    Subcommand { command: platform::command, run: platform::run },
    Subcommand { command: token::command, run: token::run },
];

/// Does what the command line says.
pub fn run() -> ExitCode {
    let matches = match std::env::args_os().len() {
        // Appwrite's compose file names the program alone.
        0 | 1 if is_beside_appwrite() => command().get_matches_from(["realtime", "serve"]),
        _ => command().get_matches(),
    };
    let Some((name, matches)) = matches.subcommand() else { return ExitCode::from(2) };
    let Some(subcommand) = SUBCOMMANDS.iter().find(|subcommand| (subcommand.command)().get_name() == name)
    else {
        return ExitCode::from(2);
    };
    match (subcommand.run)(matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(reason)) => {
            complain(&format!("realtime {name}: {reason}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether the environment is that of a service of an Appwrite installation.
fn is_beside_appwrite() -> bool {
    ["_APP_DB_HOST", "_APP_REDIS_HOST"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// The whole command line.
pub fn command() -> Command {
    Command::new("realtime")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Delivers backend events to connected clients in realtime, and to nobody else")
        .after_help(
            "Start here:\n  realtime dev                   a server with a demo project and a page that shows events\n  \
             realtime listen documents      see events arrive\n  realtime publish --help        send one\n\n\
             Settings stand in a file (--config), in the environment, or on the command line; `realtime check` shows them.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(SUBCOMMANDS.iter().map(|subcommand| (subcommand.command)()))
}

/// `--config` and a flag for each setting.
fn settings(command: Command) -> Command {
    let flags = SETTINGS.iter().map(|setting| {
        let default = match setting.default {
            "" => String::new(),
            default => format!("default: {default}; "),
        };
        let arg = Arg::new(setting.key)
            .long(setting.flag())
            .help(format!("{} [{default}variable: {}]", setting.help, setting.env.join(", ")))
            .help_heading("Settings")
            .value_name("VALUE");
        match setting.kind {
            Kind::Secret => {
                arg.help(format!("{} [better in the variable {}]", setting.help, setting.env.join(", ")))
            }
            Kind::Switch => arg.num_args(0..=1).default_missing_value("true"),
            Kind::Text | Kind::List | Kind::Number | Kind::Duration | Kind::Choice(_) => arg,
        }
    });
    command.arg(config_arg()).args(flags)
}

/// Only the settings that find the embedded database.
fn database_settings(command: Command) -> Command {
    let data_dir = Arg::new("data_dir")
        .long("data-dir")
        .value_name("FOLDER")
        .help("Folder of the embedded database [variable: REALTIME_DATA_DIR]");
    command.arg(config_arg()).arg(data_dir)
}

fn config_arg() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("Read settings from this TOML file [variable: REALTIME_CONFIG]")
        .value_parser(clap::value_parser!(PathBuf))
}

/// `--json`.
fn json_arg() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON, for machines")
}

/// What was written, in the file, the environment and the flags.
fn layers(matches: &ArgMatches) -> Result<Layers, ConfigError> {
    let mut layers = Layers::defaults();
    let file = matches.get_one::<PathBuf>("config").cloned();
    if let Some(path) = file.or_else(|| std::env::var_os("REALTIME_CONFIG").map(PathBuf::from)) {
        layers = layers.with_file(Path::new(&path))?;
    }
    layers = layers.with_environment(|name| std::env::var(name).ok());
    for setting in SETTINGS {
        if let Ok(Some(value)) = matches.try_get_one::<String>(setting.key)
            && let Some(setting) = setting::find(setting.key)
        {
            layers = layers.with_flag(setting, value);
        }
    }
    Ok(layers)
}

fn config(matches: &ArgMatches) -> Result<Config, Failure> {
    Ok(Config::resolve(&layers(matches)?)?)
}

/// A runtime for commands that wait for something.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Opens the embedded database and does something with it. A folder without one is most likely the wrong folder.
fn with_database<T, E: Into<Failure>>(
    matches: &ArgMatches,
    work: impl AsyncFnOnce(Embedded) -> Result<T, E>,
) -> Result<T, Failure> {
    let folder = config(matches)?.data_dir;
    if !Embedded::is_in(&folder) {
        return Err(Failure(format!(
            "there is no database in {}; name its folder with --data-dir, or make one with `realtime dev` or \
             `realtime project create`",
            folder.display()
        )));
    }
    with_database_made(matches, work)
}

/// The same, making the database if there is none.
fn with_database_made<T, E: Into<Failure>>(
    matches: &ArgMatches,
    work: impl AsyncFnOnce(Embedded) -> Result<T, E>,
) -> Result<T, Failure> {
    let config = config(matches)?;
    runtime()?.block_on(async {
        let embedded = Embedded::open(&config).await.map_err(|error: EmbeddedError| Failure::from(error))?;
        let database = embedded.database.clone();
        let result = work(embedded).await.map_err(Into::into);
        database.close().await;
        result
    })
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.try_get_one::<String>(name).ok().flatten().map(String::as_str)
}

fn texts(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches
        .try_get_many::<String>(name)
        .ok()
        .flatten()
        .map_or_else(Vec::new, |values| values.cloned().collect())
}

/// Whether a switch of the command itself was given.
fn given(matches: &ArgMatches, name: &str) -> bool {
    matches.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or_default()
}

/// A result, on standard output. A reader that went away is not an error.
fn say(line: &str) {
    let _ = try_say(line);
}

/// The same, for those that would go on without end after the reader went away.
fn try_say(line: &str) -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{line}")
}

/// JSON on one line.
fn say_json(value: &Value) {
    say(&value.to_string());
}

/// Trouble, on standard error.
fn complain(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn every_subcommand_teaches_by_example() {
        for subcommand in SUBCOMMANDS {
            let command = (subcommand.command)();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("realtime "), "{} has no example", command.get_name());
        }
    }
}
