//! What `create`, `list` and `remove` have in common for everything in the embedded database.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

use super::{Failure, given, json_arg, say, say_json};
use crate::directory::sqlite::SqliteError;

/// A command with `create`, `list` and `remove` below it.
pub(super) fn command(
    name: &'static str,
    about: &'static str,
    example: &'static str,
    below: impl IntoIterator<Item = Command>,
) -> Command {
    Command::new(name)
        .about(about)
        .after_help(format!("Examples:\n{example}"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(below.into_iter().map(|command| super::database_settings(command).arg(json_arg())))
}

/// `remove ID`, with `--dry-run`.
pub(super) fn remove(what: &'static str) -> Command {
    Command::new("remove")
        .about(format!("Remove a {what} and all that belongs to it"))
        .arg(Arg::new("id").required(true).value_name("ID"))
        .arg(
            Arg::new("dry_run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Remove nothing; only say whether it is there"),
        )
}

/// `--id`.
pub(super) fn id_arg() -> Arg {
    Arg::new("id").long("id").value_name("ID").help("Its id; one is made if you name none")
}

/// `--project`.
pub(super) fn project_arg() -> Arg {
    Arg::new("project").long("project").value_name("ID").default_value("demo").help("Of which project")
}

/// Prints one thing that was made.
pub(super) fn made(matches: &ArgMatches, what: &str, facts: &Value) {
    done(matches, &format!("{what} created"), facts);
}

/// Prints one thing that was changed.
pub(super) fn changed(matches: &ArgMatches, what: &str, facts: &Value) {
    done(matches, &format!("{what} changed"), facts);
}

fn done(matches: &ArgMatches, title: &str, facts: &Value) {
    if given(matches, "json") {
        say_json(facts);
        return;
    }
    say(title);
    for (name, text) in said(facts) {
        say(&format!("  {name}: {text}"));
    }
}

/// Prints a list, a line each.
pub(super) fn list(matches: &ArgMatches, entries: &[Value]) {
    if given(matches, "json") {
        say_json(&Value::from(entries.to_vec()));
        return;
    }
    if entries.is_empty() {
        say("(none)");
    }
    for entry in entries {
        let line: Vec<String> = said(entry).map(|(name, text)| format!("{name}={text}")).collect();
        say(&line.join("  "));
    }
}

/// Removes something that `is_there`, or only says that it would, and prints it.
pub(super) async fn remove_one(
    matches: &ArgMatches,
    what: &'static str,
    id: &str,
    is_there: impl AsyncFnOnce() -> Result<bool, SqliteError>,
    remove: impl AsyncFnOnce() -> Result<(), SqliteError>,
) -> Result<(), Failure> {
    let dry = given(matches, "dry_run");
    if !dry {
        remove().await?;
    } else if !is_there().await? {
        return Err(Failure(format!("there is no {what} {id:?} to remove")));
    }
    match (given(matches, "json"), dry) {
        (true, _) => say_json(&json!({ "id": id, "removed": !dry })),
        (false, true) => say(&format!("would remove {what} {id}")),
        (false, false) => say(&format!("{what} {id} removed")),
    }
    Ok(())
}

/// The facts that say something.
fn said(facts: &Value) -> impl Iterator<Item = (&String, String)> {
    let facts = facts.as_object().into_iter().flatten();
    facts.map(|(name, value)| (name, plain(value))).filter(|(_, text)| !text.is_empty())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}
