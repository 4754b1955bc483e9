//! `realtime listen`: prints events of a running server as they come.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::publish::{endpoint_arg, project_arg};
use super::{Failure, complain, given, json_arg, runtime, say, text, texts};

/// The first pause before connecting again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// RFC 6455 §7.4.1: connecting again will fail the same way.
const POLICY_VIOLATION: u16 = 1008;

pub(super) fn command() -> Command {
    Command::new("listen")
        .about("Print events of a running server as they come")
        .after_help(
            "Examples:\n  realtime listen documents files\n  realtime listen account --session $TOKEN\n  \
             realtime listen documents --query '{\"method\":\"equal\",\"attribute\":\"status\",\"values\":[\"open\"]}'\n  \
             realtime listen documents --count 1 --json",
        )
        .args([
            Arg::new("channel").value_name("CHANNEL").num_args(1..).required(true).help("Channels to listen to"),
            endpoint_arg(),
            project_arg(),
            Arg::new("session")
                .long("session")
                .value_name("TOKEN")
                .env("REALTIME_SESSION")
                .hide_env_values(true)
                .help("A session token"),
            Arg::new("jwt")
                .long("jwt")
                .value_name("JWT")
                .env("REALTIME_JWT")
                .hide_env_values(true)
                .conflicts_with("session")
                .help("A JSON Web Token"),
            Arg::new("query")
                .long("query")
                .value_name("JSON")
                .action(ArgAction::Append)
                .help("Only events whose payload matches; may be given several times, all must"),
            Arg::new("count")
                .long("count")
                .value_name("N")
                .value_parser(clap::value_parser!(u64))
                .help("End after this many events"),
            json_arg(),
        ])
}

/// How a connection ended.
enum End {
    /// As many events came as were wanted.
    Enough,
    /// The server says that trying again is of no use.
    Final(String),
    /// Try again.
    Lost(String),
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let mut left = matches.get_one::<u64>("count").copied();
    runtime()?.block_on(async {
        let mut pause = FIRST_PAUSE;
        loop {
            let before = left;
            match listen(matches, &mut left).await? {
                End::Enough => return Ok(()),
                End::Final(reason) => return Err(Failure(reason)),
                End::Lost(reason) => {
                    if left != before {
                        pause = FIRST_PAUSE;
                    }
                    complain(&format!("connection lost ({reason}); connecting again in {pause:?}"));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))) => {}
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    })
}

/// One connection, until it ends.
async fn listen(matches: &ArgMatches, left: &mut Option<u64>) -> Result<End, Failure> {
    let endpoint =
        text(matches, "endpoint").unwrap_or_default().trim_end_matches('/').replacen("http", "ws", 1);
    let mut request = format!("{endpoint}/realtime").into_client_request()?;
    let mut header = |name: &'static str, value: Option<&str>| -> Result<(), Failure> {
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse()?);
        }
        Ok(())
    };
    header("x-appwrite-project", text(matches, "project"))?;
    header("x-appwrite-session", text(matches, "session"))?;
    header("x-appwrite-jwt", text(matches, "jwt"))?;
    let (mut socket, _) = match connect_async(request).await {
        Ok(connected) => connected,
        Err(error) => return Ok(End::Lost(error.to_string())),
    };
    let subscribe = json!({
        "type": "subscribe",
        "data": [{ "channels": texts(matches, "channel"), "queries": texts(matches, "query") }],
    });
    let mut last_error = None;
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            _ = tokio::signal::ctrl_c() => return Ok(End::Enough),
        };
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == POLICY_VIOLATION => {
                return Ok(End::Final(frame.reason.to_string()));
            }
            Some(Ok(Message::Close(frame))) => {
                let reason = frame.map_or_else(String::new, |frame| frame.to_string());
                return Ok(End::Lost(last_error.unwrap_or(reason)));
            }
            Some(Ok(_)) => continue,
            Some(Err(error)) => return Ok(End::Lost(error.to_string())),
            None => return Ok(End::Lost("the server went away".to_owned())),
        };
        let message: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        match message.get("type").and_then(Value::as_str) {
            Some("connected") => socket.send(Message::text(subscribe.to_string())).await?,
            Some("error") => {
                let text = message.pointer("/data/message").and_then(Value::as_str).unwrap_or_default();
                complain(&format!("the server says: {text}"));
                last_error = Some(text.to_owned());
                if text.contains("query") || text.contains("Query") {
                    return Ok(End::Final(text.to_owned()));
                }
            }
            Some("response") if !given(matches, "json") => {
                complain(&format!("listening to {}", texts(matches, "channel").join(", ")));
            }
            Some("event") => {
                print(matches, &text, &message);
                if let Some(left) = left {
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        drop(socket.close(None).await);
                        return Ok(End::Enough);
                    }
                }
            }
            Some(_) | None => {}
        }
    }
}

fn print(matches: &ArgMatches, text: &str, message: &Value) {
    if given(matches, "json") {
        say(text);
        return;
    }
    let part = |pointer: &str| message.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
    let payload = message.pointer("/data/payload").map(ToString::to_string).unwrap_or_default();
    say(&format!("{}  {}  {payload}", part("/data/timestamp"), part("/data/event")));
}
