//! `realtime listen`: prints events of a running server as they come.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::publish::{endpoint_arg, project_arg};
use super::{Failure, complain, given, json_arg, runtime, text, texts, try_say};

/// The first pause before connecting again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Servers say something every 25 s unless told otherwise. After this long without a word one is asked, and after as long
/// again it counts as gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Codes of errors and closes after which connecting again fails the same way: Appwrite's for a broken policy and for a
/// message that means nothing, and the registry's for bad and for insufficient credentials.
const FINAL: &[u64] = &[1003, 1008, 3000, 3003];

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

/// How a connection ended.
enum End {
    /// As many events came as were wanted, or nobody reads them any more.
    Enough,
    /// The server says that trying again is of no use.
    Final(String),
    /// Try again.
    Lost(String),
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let request = request(matches)?;
    let mut listener = Listener {
        channels: texts(matches, "channel"),
        queries: texts(matches, "query"),
        json: given(matches, "json"),
        left: matches.get_one::<u64>("count").copied(),
        subscribed: false,
        last_error: None,
    };
    runtime()?.block_on(async {
        tokio::select! {
            ended = listener.run(&request) => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}

/// The request that opens a connection.
fn request(matches: &ArgMatches) -> Result<Request, Failure> {
    let endpoint = text(matches, "endpoint").unwrap_or_default().trim_end_matches('/');
    let mut request =
        format!("{}/realtime", endpoint.replacen("http", "ws", 1)).into_client_request().map_err(|_| {
            Failure(format!("{endpoint:?} is no place of a server; say it as http://127.0.0.1:8080/v1"))
        })?;
    for (name, value) in [
        ("x-appwrite-project", text(matches, "project")),
        ("x-appwrite-session", text(matches, "session")),
        ("x-appwrite-jwt", text(matches, "jwt")),
    ] {
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse()?);
        }
    }
    Ok(request)
}

/// What is listened to, and how much of it is still wanted.
struct Listener {
    channels: Vec<String>,
    queries: Vec<String>,
    json: bool,
    left: Option<u64>,
    /// Whether this connection got as far as that.
    subscribed: bool,
    last_error: Option<String>,
}

impl Listener {
    /// Connects again and again, with longer and longer pauses while nothing comes of it.
    async fn run(&mut self, request: &Request) -> Result<(), Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            let reason = match self.listen(request).await {
                End::Enough => return Ok(()),
                End::Final(reason) => return Err(Failure(reason)),
                End::Lost(reason) => reason,
            };
            if self.subscribed {
                pause = FIRST_PAUSE;
            }
            let jittered = pause.mul_f64(rand::random_range(0.5..1.0));
            complain(&format!("connection lost ({reason}); connecting again in {} ms", jittered.as_millis()));
            tokio::time::sleep(jittered).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One connection, until it ends.
    async fn listen(&mut self, request: &Request) -> End {
        self.subscribed = false;
        self.last_error = None;
        let mut socket = match timeout(PATIENCE, connect_async(request.clone())).await {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(error @ (Error::Url(_) | Error::Tls(_) | Error::HttpFormat(_)))) => {
                return End::Final(format!("cannot connect to {}: {error}", request.uri()));
            }
            Ok(Err(error)) => return End::Lost(error.to_string()),
            Err(_) => return End::Lost("the server does not answer".to_owned()),
        };
        loop {
            let text = match self.next(&mut socket).await {
                Ok(text) => text,
                Err(end) => return end,
            };
            match self.heed(&mut socket, &text).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(end)) => {
                    drop(socket.close(None).await);
                    return end;
                }
                Err(error) => return End::Lost(error.to_string()),
            }
        }
    }

    /// The server's next message.
    async fn next(&mut self, socket: &mut Socket) -> Result<Utf8Bytes, End> {
        let mut asked = false;
        loop {
            let Ok(said) = timeout(SILENCE, socket.next()).await else {
                let ping = Message::text(r#"{"type":"ping"}"#);
                if asked || socket.send(ping).await.is_err() {
                    return Err(End::Lost("the server has gone silent".to_owned()));
                }
                asked = true;
                continue;
            };
            asked = false;
            match said {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.as_ref().map_or(0, |frame| u64::from(u16::from(frame.code)));
                    let reason = frame.map_or_else(String::new, |frame| frame.reason.to_string());
                    let reason = self.last_error.take().unwrap_or(reason);
                    return Err(if FINAL.contains(&code) { End::Final(reason) } else { End::Lost(reason) });
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(End::Lost(error.to_string())),
                None => return Err(End::Lost("the server went away".to_owned())),
            }
        }
    }

    /// Does what a message calls for.
    async fn heed(&mut self, socket: &mut Socket, text: &str) -> Result<ControlFlow<End>, Error> {
        let message: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        match message.get("type").and_then(Value::as_str) {
            Some("connected") => {
                let subscription = json!({ "channels": self.channels, "queries": self.queries });
                let subscribe = json!({ "type": "subscribe", "data": [subscription] });
                socket.send(Message::text(subscribe.to_string())).await?;
            }
            Some("error") => {
                let code = message.pointer("/data/code").and_then(Value::as_u64).unwrap_or_default();
                let text = message.pointer("/data/message").and_then(Value::as_str).unwrap_or_default();
                if FINAL.contains(&code) || (400..500).contains(&code) {
                    return Ok(ControlFlow::Break(End::Final(format!("the server refuses: {text}"))));
                }
                self.last_error = Some(text.to_owned());
            }
            Some("response") => {
                self.subscribed = true;
                if !self.json {
                    complain(&format!("listening to {}", self.channels.join(", ")));
                }
            }
            Some("event") => {
                if self.print(text, &message).is_err() {
                    return Ok(ControlFlow::Break(End::Enough));
                }
                self.left = self.left.map(|left| left.saturating_sub(1));
                if self.left == Some(0) {
                    return Ok(ControlFlow::Break(End::Enough));
                }
            }
            Some(_) | None => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn print(&self, text: &str, message: &Value) -> io::Result<()> {
        if self.json {
            return try_say(text);
        }
        let part = |pointer: &str| message.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
        let payload = message.pointer("/data/payload").map(ToString::to_string).unwrap_or_default();
        try_say(&format!("{}  {}  {payload}", part("/data/timestamp"), part("/data/event")))
    }
}
