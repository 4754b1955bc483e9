//! A WebSocket, from the handshake to the end, in a task of its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response, header};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use crate::close::Close;
use crate::request::Request;

/// The longest message that is taken: far above what servers send, far below what hurts.
const MAX_MESSAGE: usize = 16 << 20;
/// Messages that wait for the session; then the server waits.
const BUFFER: usize = 64;
/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Characters of an answer that is no upgrade, to tell what it is.
const EXCERPT: usize = 60;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Whom to trust.
#[derive(Debug, Clone)]
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    pub(super) fn new(config: Arc<ClientConfig>) -> Self {
        Self(config)
    }
}

/// What comes from a link.
#[derive(Debug)]
pub(super) enum Heard {
    Opened,
    Failed {
        why: String,
        after: Option<Duration>,
    },
    Text(Utf8Bytes),
    /// A ping, a pong, or something else that shows that the server is there.
    SignOfLife,
    Closed(Close),
}

/// One end of a WebSocket. Dropping it ends the connection, with a Close frame without a code if there is one.
#[derive(Debug)]
pub(super) struct Link {
    say: mpsc::UnboundedSender<Message>,
    heard: mpsc::Receiver<Heard>,
    task: JoinHandle<()>,
}

impl Link {
    pub(super) fn open(request: Request, tls: Tls) -> Self {
        let (say, said) = mpsc::unbounded_channel();
        let (hear, heard) = mpsc::channel(BUFFER);
        let task = tokio::spawn(async move {
            tokio::select! {
                connected = connect(&request, tls) => match connected {
                    Ok(socket) => talk(socket, said, hear).await,
                    Err(failed) => drop(hear.send(failed).await),
                },
                () = hear.closed() => {}
            }
        });
        Self { say, heard, task }
    }

    pub(super) fn say(&self, text: String) {
        // A link that has ended says so; what was to be said on it is said again on the next.
        drop(self.say.send(Message::text(text)));
    }

    /// What comes next. Never ends before it has said how.
    pub(super) async fn hear(&mut self) -> Heard {
        self.heard.recv().await.unwrap_or_else(|| Heard::Closed(Close::lost("the connection broke down")))
    }

    /// Ends the connection with a code; the task ends within a few seconds.
    pub(super) fn leave(self, code: u16) -> JoinHandle<()> {
        let frame = CloseFrame { code: code.into(), reason: Utf8Bytes::default() };
        drop(self.say.send(Message::Close(Some(frame))));
        self.task
    }
}

async fn connect(request: &Request, tls: Tls) -> Result<Socket, Heard> {
    let fails = |why: String| Heard::Failed { why, after: None };
    let mut handshake =
        request.url().into_client_request().map_err(|error| fails(format!("{}: {error}", request.url())))?;
    for (name, value) in request.headers() {
        let mut value = HeaderValue::from_str(value).map_err(|error| fails(error.to_string()))?;
        value.set_sensitive(true);
        handshake.headers_mut().insert(name, value);
    }
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let connector = Connector::Rustls(tls.0);
    match connect_async_tls_with_config(handshake, Some(config), true, Some(connector)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(no_upgrade(&response)),
        Err(error) => Err(fails(error.to_string())),
    }
}

/// Something speaks HTTP there, and no WebSocket: a proxy, another service, a wrong path.
fn no_upgrade(response: &Response<Option<Vec<u8>>>) -> Heard {
    let after =
        response.headers().get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default());
    let beginning: String = body.trim().chars().take(EXCERPT).filter(|letter| !letter.is_control()).collect();
    let why = format!(
        "the answer is {}, not that of a WebSocket server; check the endpoint and what is in between: {beginning:?}",
        response.status(),
    );
    Heard::Failed { why, after: after.map(Duration::from_secs) }
}

async fn talk(socket: Socket, said: mpsc::UnboundedReceiver<Message>, hear: mpsc::Sender<Heard>) {
    if hear.send(Heard::Opened).await.is_err() {
        return;
    }
    let (sink, stream) = socket.split();
    tokio::select! {
        () = write(sink, said) => {}
        () = read(stream, &hear) => {}
        () = overdue(&hear) => {}
    }
}

/// Ends after the other end of `said` was dropped; an error is noticed by the reader too.
async fn write(mut sink: SplitSink<Socket, Message>, mut said: mpsc::UnboundedReceiver<Message>) {
    while let Some(message) = said.recv().await {
        if sink.send(message).await.is_err() {
            return std::future::pending().await;
        }
    }
    drop(sink.close().await);
}

/// Nobody listens any more, and what was said last does not get away.
async fn overdue(hear: &mpsc::Sender<Heard>) {
    hear.closed().await;
    sleep(LAST_WORDS).await;
}

async fn read(mut stream: SplitStream<Socket>, hear: &mpsc::Sender<Heard>) {
    loop {
        let heard = match stream.next().await {
            Some(Ok(Message::Text(text))) => Heard::Text(text),
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                Heard::SignOfLife
            }
            Some(Ok(Message::Close(frame))) => Heard::Closed(match frame {
                Some(frame) => Close::new(frame.code.into(), frame.reason.to_string()),
                None => Close::new(crate::close::NO_CODE, ""),
            }),
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { size, .. }))) => {
                Heard::Closed(Close::new(1009, format!("the server sent a message of {size} bytes")))
            }
            Some(Err(error)) => Heard::Closed(Close::lost(error.to_string())),
            None => Heard::Closed(Close::lost("the server went away")),
        };
        let ended = matches!(heard, Heard::Closed(_));
        if hear.send(heard).await.is_err() {
            // Nobody listens: the writer says how it ends.
            return std::future::pending().await;
        }
        if ended {
            // Reading on is what sends the answer to a Close frame.
            drop(timeout(LAST_WORDS, stream.next()).await);
            return;
        }
    }
}
