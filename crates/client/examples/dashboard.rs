//! A live dashboard in the terminal: what happens in a project, counted by kind, with the latest events below.
//!
//! ```sh
//! realtime dev                                                           # in one terminal
//! cargo run --example dashboard -- http://127.0.0.1:8080/v1 demo documents files
//! realtime publish --channel documents --role any --payload '{"n":1}'    # in another
//! ```
//!
//! `--events N` ends it after so many events.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::io::{self, Write};

use futures_util::StreamExt;
use realtime_client::{Client, Event, State};

/// Events that are shown.
const LATEST: usize = 10;
/// Moves to the top left corner and clears what is below (ECMA-48: CUP, ED).
const REDRAW: &str = "\u{1b}[H\u{1b}[J";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run(std::env::args().skip(1), &mut io::stdout()).await
}

/// Draws on `screen` until as many events came as were wanted, or the server refuses.
pub(crate) async fn run(
    mut arguments: impl Iterator<Item = String>,
    screen: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    let usage = "dashboard ENDPOINT PROJECT CHANNEL... [--events N]";
    let endpoint = arguments.next().ok_or(usage)?;
    let project = arguments.next().ok_or(usage)?;
    let mut channels: Vec<String> = arguments.collect();
    let mut wanted = None;
    if let Some(at) = channels.iter().position(|word| word == "--events") {
        wanted = Some(channels.split_off(at).get(1).ok_or(usage)?.parse::<usize>()?);
    }

    let client = Client::builder(endpoint).project(project).build()?;
    let mut states = client.states();
    let mut events = client.subscribe(channels).await?;
    let mut dashboard = Dashboard::default();
    while wanted != Some(dashboard.total) {
        write!(screen, "{REDRAW}{}", dashboard.draw())?;
        screen.flush()?;
        tokio::select! {
            Some(state) = states.next() => dashboard.connection_is(&state),
            event = events.next() => match event {
                Some(event) => dashboard.take(&event),
                // Refused, or sent away: the reason is an error like any other.
                None => return Err(events.error().map_or_else(|| "the stream ended".into(), Into::into)),
            },
        }
    }
    write!(screen, "{REDRAW}{}", dashboard.draw())?;
    client.close().await;
    Ok(())
}

#[derive(Default)]
struct Dashboard {
    connection: String,
    total: usize,
    kinds: BTreeMap<String, usize>,
    latest: VecDeque<String>,
}

impl Dashboard {
    fn connection_is(&mut self, state: &State) {
        self.connection = match state {
            State::Connected { user: Some(user) } => format!("connected as {user}"),
            State::Connected { user: None } => "connected as a guest".to_owned(),
            State::Connecting { .. } => "connecting …".to_owned(),
            State::Disconnected { close, .. } => format!("disconnected: {close}"),
            State::Gap { .. } => "connected; some events may be missing".to_owned(),
            State::Recovered { .. } => "connected; nothing was missed".to_owned(),
            State::NotAuthenticated { message, .. } => format!("connected; {message}"),
            State::Present { .. } => "present".to_owned(),
            State::NotPresent { code, message } => format!("not present: {message} ({code})"),
            State::NoCredential { why } => format!("no credential: {why}"),
            State::Unreadable { beginning } => format!("connected; the server said {beginning:?}"),
        };
    }

    fn take(&mut self, event: &Event) {
        self.total += 1;
        *self.kinds.entry(kind(event)).or_default() += 1;
        let time = event.timestamp.as_deref().and_then(|time| time.get(11..19)).unwrap_or("--:--:--");
        self.latest.push_front(format!("{time}  {}", event.payload.get()));
        self.latest.truncate(LATEST);
    }

    fn draw(&self) -> String {
        let most = self.kinds.values().max().copied().unwrap_or(1);
        let bars = self.kinds.iter().map(|(kind, count)| {
            let bar = "█".repeat((count * 30).div_ceil(most));
            format!("{count:>8}  {kind:<32}  {bar}\n")
        });
        let latest = self.latest.iter().map(|line| format!("{line}\n"));
        let heading = format!("{}  ·  {} events\n\n", self.connection, self.total);
        [heading].into_iter().chain(bars).chain(["\n".to_owned()]).chain(latest).collect()
    }
}

/// What an event is about without the ids in its name: `databases.*.tables.*.rows.*.update`, or its channel if it has
/// no name.
fn kind(event: &Event) -> String {
    let shortest =
        event.events.iter().filter(|name| name.contains('*')).max_by_key(|name| name.matches('*').count());
    shortest.or(event.channels.first()).cloned().unwrap_or_else(|| "nameless".to_owned())
}
