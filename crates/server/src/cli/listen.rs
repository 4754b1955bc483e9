//! `realtime listen`: prints events of a running server as they come.

use std::io;

use clap::{Arg, ArgAction, ArgMatches, Command};
use futures_util::StreamExt;
use realtime_client::client::States;
use realtime_client::{Client, Credential, Error, Event, Gap, Interest, Query, State, Subscription};

use super::publish::{endpoint_arg, project_arg};
use super::{Failure, complain, given, json_arg, runtime, text, texts, try_say};

pub(super) fn command() -> Command {
    Command::new("listen")
        .about("Print events of a running server as they come")
        .after_help(
            "Examples:\n  realtime listen documents files\n  realtime listen account --session $TOKEN\n  \
             realtime listen documents --query '{\"method\":\"equal\",\"attribute\":\"status\",\"values\":[\"open\"]}'\n  \
             realtime listen documents --count 1 --json\n\n\
             A lost connection is made again. It ends when the server says that this is of no use.",
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
                .value_parser(clap::value_parser!(u64).range(1..))
                .help("End after this many events"),
            json_arg(),
        ])
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let client = client(matches)?;
        let ended = tokio::select! {
            ended = listen(&client, matches) => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        client.close().await;
        ended
    })
}

fn client(matches: &ArgMatches) -> Result<Client, Error> {
    let mut client = Client::builder(text(matches, "endpoint").unwrap_or_default());
    if let Some(project) = text(matches, "project") {
        client = client.project(project);
    }
    if let Some(session) = text(matches, "session") {
        client = client.credential(Credential::session(session)?);
    }
    if let Some(jwt) = text(matches, "jwt") {
        client = client.credential(Credential::jwt(jwt)?);
    }
    client.build()
}

/// Until as many events came as were wanted, nobody reads them any more, or the server refuses.
async fn listen(client: &Client, matches: &ArgMatches) -> Result<(), Failure> {
    let channels = texts(matches, "channel");
    let json = given(matches, "json");
    let mut left = matches.get_one::<u64>("count").copied();
    let queries = texts(matches, "query").into_iter().map(Query::raw);
    let interest = queries.fold(Interest::new(channels.clone()), Interest::query);
    let mut states = client.states();
    let mut events = client.subscribe(interest).await?;
    confirmed(&mut events, &mut states).await?;
    if !json {
        complain(&format!("listening to {}", channels.join(", ")));
    }
    while left != Some(0) {
        tokio::select! {
            Some(state) = states.next() => heed(&state)?,
            event = events.next() => match event {
                Some(event) if print(&event, json).is_err() => break,
                Some(_) => left = left.map(|left| left.saturating_sub(1)),
                None => return Err(events.error().unwrap_or(Error::Closed).into()),
            },
        }
    }
    Ok(())
}

async fn confirmed(events: &mut Subscription, states: &mut States) -> Result<(), Failure> {
    loop {
        tokio::select! {
            ready = events.ready() => return Ok(ready?),
            Some(state) = states.next() => heed(&state)?,
        }
    }
}

/// Says what becomes of the connection. What trying again does not mend in the sight of whoever typed the command is an error.
fn heed(state: &State) -> Result<(), Failure> {
    match state {
        // IANA's WebSocket close codes: Forbidden.
        State::Disconnected { close, again_in: Some(_), .. } if close.code == 3003 => {
            return Err(Failure(format!("the server refuses: {close}")));
        }
        State::NotAuthenticated { message, .. } => {
            return Err(Failure(format!("the server refuses: {message}")));
        }
        State::Disconnected { close, again_in: Some(pause), .. } => {
            complain(&format!("connection lost ({close}); connecting again in {} ms", pause.as_millis()));
        }
        State::Recovered { .. } => complain("connected again; nothing was missed"),
        State::Gap { gap: Gap::Unvouched, .. } => {
            complain("connected again; what happened in between may be missing");
        }
        State::Gap { gap: Gap::Unrecovered(why), .. } => {
            complain(&format!("connected again; what happened in between is missing: {why}"));
        }
        State::Gap { gap: Gap::Overrun, .. } => {
            complain("events came faster than they are read; some are missing");
        }
        // A final end is told by the subscription; the others are no trouble.
        State::Disconnected { .. }
        | State::Connecting { .. }
        | State::Connected { .. }
        | State::Present { .. }
        | State::NotPresent { .. }
        | State::NoCredential { .. }
        | State::Unreadable { .. } => {}
    }
    Ok(())
}

fn print(event: &Event, json: bool) -> io::Result<()> {
    if json {
        return try_say(event.message());
    }
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    try_say(&format!("{}  {}  {}", or_dash(&event.timestamp), or_dash(&event.event), event.payload.get()))
}
