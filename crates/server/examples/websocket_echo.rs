//! A WebSocket server that says back what it hears, to point a conformance suite at.
//!
//! `cargo run -p realtime-server --example websocket_echo -- --port 9001`, then for instance the fuzzing client of
//! the Autobahn|Testsuite against `ws://127.0.0.1:9001`.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use clap::{Command, arg, value_parser};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use realtime_protocol::codec::Message;
use realtime_server::transport::websocket::handshake;
use realtime_server::transport::websocket::socket::{Socket, Turn};
use tokio::net::{TcpListener, TcpStream};

/// How long a goodbye may take.
const GRACE: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let options = Command::new("websocket_echo")
        .about("A WebSocket server that says back what it hears")
        .arg(
            arg!(--port <PORT> "Port to listen on at 127.0.0.1; 0 takes a free one")
                .value_parser(value_parser!(u16))
                .default_value("9001"),
        )
        .arg(
            arg!(--"max-message" <BYTES> "Largest message that is taken")
                .value_parser(value_parser!(usize))
                .default_value("33554432"),
        )
        .get_matches();
    let port = options.get_one("port").copied().unwrap_or_default();
    let limit = options.get_one("max-message").copied().unwrap_or_default();
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    #[expect(clippy::print_stdout, reason = "whoever starts it needs the address")]
    {
        println!("ws://{}", listener.local_addr()?);
    }
    serve(listener, limit).await
}

/// Serves every connection of a listener; ends only when the listener fails.
pub(crate) async fn serve(listener: TcpListener, limit: usize) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service =
                service_fn(move |request| async move { Ok::<_, Infallible>(answer(request, limit)) });
            // A connection that breaks concerns nobody but its client.
            let _ =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

fn answer(mut request: Request<Incoming>, limit: usize) -> Response<Full<Bytes>> {
    match handshake::accept(&request) {
        Ok(response) => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                if let Ok(upgraded) = upgrade.await {
                    echo(upgraded, limit).await;
                }
            });
            response
        }
        Err(refused) => refused.response(),
    }
}

async fn echo(upgraded: Upgraded, limit: usize) {
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        return;
    };
    let mut socket = Socket::new(parts.io.into_inner(), parts.read_buf, limit);
    while let Ok(turn) = socket.turn().await {
        match turn {
            Turn::Text(text) => socket.queue(Message::own(text)),
            Turn::Binary(data) => socket.queue_binary(Message::own(data)),
            Turn::Heard | Turn::Pong(_) | Turn::Drained => {}
        }
        // A client that sends without reading waits here rather than filling the memory.
        if socket.queued_bytes() > limit && socket.flush().await.is_err() {
            return;
        }
    }
    socket.finish(GRACE).await;
}
