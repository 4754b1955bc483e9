//! Where clients arrive: accepts connections and hands each to the shard with the fewest.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::shard::ShardInbox;

/// Connections that the kernel may keep for us while we are busy.
const BACKLOG: u32 = 4_096;
/// Silence after which the kernel asks whether the peer is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// How often it asks then.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
/// How long sent bytes may stay unacknowledged before the peer counts as gone (`TCP_USER_TIMEOUT`).
const UNACKNOWLEDGED: Duration = Duration::from_secs(45);
/// How long to wait when the process has no file descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Whether the kernel gives a client's socket what was set on the one it came to (Linux clones it), so that it need not be
/// set for each client.
const INHERITS: bool = cfg!(target_os = "linux");

/// Opens the port.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    if INHERITS && let Err(error) = set_up(&SockRef::from(&socket)) {
        warn!(%error, "could not set up the sockets of clients: small messages may be late, and dead clients unnoticed for longer");
    }
    socket.listen(BACKLOG)
}

/// Accepts clients until told to stop.
pub(crate) async fn run(listener: TcpListener, shards: Arc<[ShardInbox]>, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let Some(stream) = prepare(stream, address) else { continue };
                let Some(shard) = shards.iter().min_by_key(|shard| shard.load()) else { return };
                shard.accept(stream, address).await;
            }
            Err(error) if is_about_one_client(&error) => {
                debug!(%error, "a client left before it was accepted");
            }
            Err(error) => {
                warn!(%error, "cannot accept clients; raise the limit of open files if this goes on");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
}

/// Takes a client off this runtime, for its shard's.
fn prepare(stream: TcpStream, address: SocketAddr) -> Option<std::net::TcpStream> {
    if !INHERITS && let Err(error) = set_up(&SockRef::from(&stream)) {
        debug!(%address, %error, "could not set up a client's socket");
    }
    stream
        .into_std()
        .inspect_err(|error| debug!(%address, %error, "a client was lost on its way to a shard"))
        .ok()
}

/// Sets a socket up for small messages and dead peers, as far as that goes.
fn set_up(socket: &SockRef<'_>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let set = [socket.set_tcp_nodelay(true), socket.set_tcp_keepalive(&keepalive), set_user_timeout(socket)];
    set.into_iter().collect()
}

#[cfg(target_os = "linux")]
fn set_user_timeout(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

#[cfg(not(target_os = "linux"))]
fn set_user_timeout(_: &SockRef<'_>) -> io::Result<()> {
    let _ = UNACKNOWLEDGED;
    Ok(())
}

fn is_about_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(all(test, target_os = "linux"))]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_has_what_was_set_on_the_socket_that_it_came_to() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, address) = listener.accept().await.unwrap();
        let stream = prepare(stream, address).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_EVERY);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
    }
}
