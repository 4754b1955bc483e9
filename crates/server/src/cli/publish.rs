//! `realtime publish`: sends events to a running server over HTTP.

use std::io::Read;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use serde_json::Value;

use super::{Failure, event, given, json_arg, say, text};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn command() -> Command {
    Command::new("publish")
        .about("Publish events to a running server")
        .after_help(
            "Examples:\n  realtime publish --key $KEY --channel documents --role any --payload '{\"hello\":\"world\"}'\n  \
             realtime publish --key $KEY --event users.alice.update --payload '{\"$id\":\"alice\"}'\n  \
             realtime publish --key $KEY --event 'users.[userId].update' --param userId=john.doe --payload '{}'\n  \
             realtime publish --key $KEY --stdin < batch.json\n\n\
             With --event alone the server works out channels and roles, as Appwrite would.",
        )
        .args(event::args())
        .args([
            endpoint_arg(),
            project_arg(),
            Arg::new("key")
                .long("key")
                .value_name("SECRET")
                .env("REALTIME_API_KEY")
                .hide_env_values(true)
                .required(true)
                .help("An API key of the project"),
            Arg::new("idempotency_key")
                .long("idempotency-key")
                .value_name("TEXT")
                .help("Sending again with the same text publishes nothing twice"),
            Arg::new("stdin")
                .long("stdin")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["event", "payload", "param", "permission", "channel", "role"])
                .help("Read an event or a batch, as JSON, from standard input"),
            Arg::new("dry_run").long("dry-run").action(ArgAction::SetTrue).help("Only show what would be sent"),
            json_arg(),
        ])
        .group(ArgGroup::new("what").args(["event", "channel", "stdin"]).required(true).multiple(true))
}

/// `--endpoint`.
pub(super) fn endpoint_arg() -> Arg {
    Arg::new("endpoint")
        .long("endpoint")
        .value_name("URL")
        .env("REALTIME_ENDPOINT")
        .default_value("http://127.0.0.1:8080/v1")
        .help("Where the server is")
}

/// `--project`.
pub(super) fn project_arg() -> Arg {
    Arg::new("project")
        .long("project")
        .value_name("ID")
        .env("REALTIME_PROJECT")
        .default_value("demo")
        .help("In which project")
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let body = body(matches)?;
    if given(matches, "dry_run") {
        say(&body);
        return Ok(());
    }
    let endpoint = text(matches, "endpoint").unwrap_or_default().trim_end_matches('/');
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let mut request = agent
        .post(format!("{endpoint}/realtime/events"))
        .header("Content-Type", "application/json")
        .header("X-Appwrite-Project", text(matches, "project").unwrap_or_default())
        .header("X-Appwrite-Key", text(matches, "key").unwrap_or_default());
    if let Some(key) = text(matches, "idempotency_key") {
        request = request.header("Idempotency-Key", key);
    }
    let mut response = request.send(body.as_bytes()).map_err(|error| {
        Failure(format!("cannot reach {endpoint}: {error}; is the server running there?"))
    })?;
    let answer = response.body_mut().read_to_string()?;
    let status = response.status();
    let answer: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
    if !status.is_success() {
        let detail = answer.get("detail").and_then(Value::as_str).unwrap_or("it does not say why");
        return Err(Failure(format!("the server answered {status}: {detail}")));
    }
    if given(matches, "json") {
        say(&answer.to_string());
        return Ok(());
    }
    for event in answer.get("events").and_then(Value::as_array).into_iter().flatten() {
        let id = event.get("id").and_then(Value::as_str).unwrap_or_default();
        match event.get("reason").and_then(Value::as_str) {
            Some(reason) => say(&format!("{id} not published: {reason}")),
            None => say(&format!("{id} published")),
        }
    }
    Ok(())
}

/// The request's body.
fn body(matches: &ArgMatches) -> Result<String, Failure> {
    if given(matches, "stdin") {
        let mut body = String::new();
        std::io::stdin().read_to_string(&mut body)?;
        return Ok(body);
    }
    Ok(event::event(matches)?.to_string())
}
