//! What the kernel alone takes: one `writev` for each receiver; an accept and two short answers for each connect.

use std::io::{IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use rustix::event::epoll;
use tokio::io::AsyncReadExt;
use tokio::runtime::Runtime;

use crate::BenchError;
use crate::cpu::thread_time;
use crate::swarm::{Dialogue, Swarm};
use crate::wire::Framing;

/// Connected socket pairs and somebody who empties them.
pub(crate) struct Writes {
    writers: Vec<TcpStream>,
}

impl Writes {
    pub(crate) fn open(runtime: &Runtime, connections: usize) -> Result<Self, BenchError> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(BenchError::io("listen on", "a port"))?;
        let address = listener.local_addr().map_err(BenchError::io("name", "a port"))?;
        let mut writers = Vec::with_capacity(connections);
        for _ in 0..connections {
            let reader = TcpStream::connect(address).map_err(BenchError::io("connect to", address))?;
            let (writer, _) = listener.accept().map_err(BenchError::io("accept on", address))?;
            let set = writer.set_nodelay(true).and_then(|()| reader.set_nonblocking(true));
            set.map_err(BenchError::io("set up", "a connection"))?;
            writers.push(writer);
            runtime.spawn(async move {
                let Ok(mut reader) = tokio::net::TcpStream::from_std(reader) else { return };
                let mut part = vec![0; 16_384];
                while matches!(reader.read(&mut part).await, Ok(read) if read > 0) {}
            });
        }
        Ok(Self { writers })
    }

    /// Nanoseconds for one `writev` of header, shared part and own part of a frame this long, events at the same pace as
    /// those that it is compared with.
    pub(crate) fn measure(&self, frame: usize, events: usize, interval: Duration) -> Result<f64, BenchError> {
        let (header, shared, own) = ([0; 4], vec![0; frame.saturating_sub(36)], [0; 32]);
        let before = thread_time();
        for _ in 0..events {
            for mut writer in &self.writers {
                let parts = [IoSlice::new(&header), IoSlice::new(&shared), IoSlice::new(&own)];
                writer.write_vectored(&parts).map_err(BenchError::io("write to", "a connection"))?;
            }
            std::thread::sleep(interval / 2);
        }
        Ok((thread_time() - before).as_nanos() as f64 / (events * self.writers.len()) as f64)
    }
}

/// What a client says twice, and is answered, as a WebSocket that subscribes by a message is.
const SAID: &[u8] = &[b'x'; 200];

/// Nanoseconds of a bare epoll loop for each connection that is accepted and answered twice.
pub(crate) fn connects(runtime: &Runtime, connections: usize) -> Result<f64, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(BenchError::io("listen on", "a port"))?;
    let address: SocketAddr = listener.local_addr().map_err(BenchError::io("name", "a port"))?;
    let (done, worked) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let before = thread_time();
        let served = serve(&listener, connections);
        // Whoever asked may have gone.
        drop(done.send(served.map(|held| {
            drop(held);
            thread_time() - before
        })));
    });
    Swarm::open(runtime, address, connections, |_| Dialogue {
        steps: vec![(SAID.to_vec(), b"x"), (SAID.to_vec(), b"x")],
        framing: Framing::Stream,
    })?;
    let worked = worked
        .recv_timeout(Duration::from_secs(30))
        .map_err(|_| BenchError::new("the epoll loop did not end"))?
        .map_err(|error| BenchError::new(format!("the epoll loop failed: {error}")))?;
    drop(server.join());
    Ok(worked.as_nanos() as f64 / connections as f64)
}

/// Accepts so many connections and answers each twice.
fn serve(listener: &TcpListener, connections: usize) -> std::io::Result<Vec<TcpStream>> {
    const LISTENER: u64 = u64::MAX;
    listener.set_nonblocking(true)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let mut streams: Vec<TcpStream> = Vec::with_capacity(connections);
    let (mut answered, mut ready) = (0, Vec::with_capacity(256));
    while answered < connections * 2 {
        ready.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut ready), None)?;
        for event in &ready {
            let place = event.data.u64();
            if place == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                    let data = epoll::EventData::new_u64(streams.len() as u64);
                    epoll::add(&poll, &stream, data, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
                    streams.push(stream);
                }
            } else if let Some(mut stream) = usize::try_from(place).ok().and_then(|place| streams.get(place))
            {
                let mut part = [0; 1_024];
                if stream.read(&mut part)? > 0 {
                    stream.write_all(SAID)?;
                    answered += 1;
                }
            }
        }
    }
    Ok(streams)
}
