//! An event as it is said on the command line, to publish it or to have it explained.

use clap::{Arg, ArgAction, ArgMatches};
use serde_json::{Map, Value, json};

use super::{Failure, text, texts};

/// The flags that say what happened and who may hear of it.
pub(super) fn args() -> [Arg; 6] {
    [
        Arg::new("event").long("event").value_name("NAME").help("Its name, such as users.alice.update"),
        Arg::new("payload").long("payload").value_name("JSON").help("What it is about: a JSON object"),
        several(
            "param",
            "NAME=VALUE",
            "An id for a placeholder in the name: `users.[userId].update`, for ids with dots",
        ),
        several("permission", "PERMISSION", "Who may read it, such as read(\"user:alice\")"),
        several("channel", "CHANNEL", "A channel to be heard on, with --role"),
        several("role", "ROLE", "Who may hear it, with --channel"),
    ]
}

/// A flag that may be given more than once.
pub(super) fn several(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .action(ArgAction::Append)
        .help(format!("{help}; may be given several times"))
}

/// The event in the form in which it is published.
pub(super) fn event(matches: &ArgMatches) -> Result<Value, Failure> {
    let payload: Map<String, Value> = serde_json::from_str(text(matches, "payload").unwrap_or("{}"))
        .map_err(|error| Failure(format!("--payload must be a JSON object: {error}")))?;
    let mut event = Map::from_iter([("payload".to_owned(), Value::Object(payload))]);
    if let Some(name) = text(matches, "event") {
        event.insert("event".to_owned(), json!(name));
    }
    let params = params(matches)?;
    if !params.is_empty() {
        event.insert("params".to_owned(), Value::Object(params));
    }
    for (flag, field) in [("permission", "permissions"), ("channel", "channels"), ("role", "roles")] {
        let values = texts(matches, flag);
        if !values.is_empty() {
            event.insert(field.to_owned(), json!(values));
        }
    }
    Ok(Value::Object(event))
}

fn params(matches: &ArgMatches) -> Result<Map<String, Value>, Failure> {
    let pair = |param: &String| match param.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), json!(value))),
        None => Err(Failure(format!("--param must be NAME=VALUE, such as userId=john.doe, not {param:?}"))),
    };
    texts(matches, "param").iter().map(pair).collect()
}
