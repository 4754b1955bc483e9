//! What the kernel alone takes: one `writev` for each receiver; an accept and two short answers for each connect.

use std::io::{IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use rustix::event::epoll;

use crate::BenchError;
use crate::clock;
use crate::cpu::thread_time;
use crate::crowd::Crowd;
use crate::dialogue::{Dialogue, Step};
use crate::wire::Framing;

/// Connections of which each has a client that reads.
pub(crate) struct Writes {
    writers: Vec<TcpStream>,
    _readers: Crowd,
}

impl Writes {
    pub(crate) fn open(connections: usize) -> Result<Self, BenchError> {
        let (listener, address) = listen()?;
        let accepting = std::thread::spawn(move || {
            let accept = |_| {
                let (writer, _) = listener.accept()?;
                writer.set_nodelay(true)?;
                Ok(writer)
            };
            (0..connections).map(accept).collect::<std::io::Result<Vec<TcpStream>>>()
        });
        let readers = Crowd::open(address, connections, &Dialogue::new(Framing::Stream, []))?;
        let writers = accepting.join().map_err(|_| BenchError::new("accepting for the floor failed"))?;
        let writers = writers.map_err(BenchError::io("accept on", address))?;
        Ok(Self { writers, _readers: readers })
    }

    /// Nanoseconds for one `writev` of header, shared part and own part of a frame this long, events at the same pace as
    /// those that it is compared with.
    pub(crate) fn measure(&self, frame: usize, events: usize, interval: u64) -> Result<f64, BenchError> {
        let (header, shared, own) = ([0; 4], vec![0; frame.saturating_sub(36)], [0; 32]);
        let (before, began) = (thread_time(), clock::now());
        for number in 0..events {
            clock::sleep_until(began + interval * number as u64);
            for mut writer in &self.writers {
                let parts = [IoSlice::new(&header), IoSlice::new(&shared), IoSlice::new(&own)];
                writer.write_vectored(&parts).map_err(BenchError::io("write to", "a connection"))?;
            }
        }
        Ok((thread_time() - before).as_nanos() as f64 / (events * self.writers.len()) as f64)
    }
}

/// What a client says twice, and is answered, as a WebSocket that subscribes by a message is.
const SAID: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
                    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// Nanoseconds of a bare epoll loop for each connection that is accepted and answered twice.
pub(crate) fn connects(connections: usize) -> Result<f64, BenchError> {
    let (listener, address) = listen()?;
    let (done, worked) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let before = thread_time();
        let served = serve(&listener, connections);
        // Whoever asked may have gone.
        drop(done.send(served.map(|held| (thread_time() - before, held))));
    });
    let clients =
        Crowd::open(address, connections, &Dialogue::new(Framing::Stream, [said_twice(), said_twice()]))?;
    let (worked, held) = worked
        .recv_timeout(Duration::from_secs(30))
        .map_err(|_| BenchError::new("the epoll loop did not end"))?
        .map_err(|error| BenchError::new(format!("the epoll loop failed: {error}")))?;
    // The clients end first, as they do with a server.
    drop(clients);
    drop(held);
    drop(server.join());
    Ok(worked.as_nanos() as f64 / connections as f64)
}

fn said_twice() -> Step {
    Step::raw(SAID, b"x")
}

/// The least program that accepts: says so on each connection, for ever.
pub(crate) fn accept(address: SocketAddr) -> Result<(), BenchError> {
    let listener = TcpListener::bind(address).map_err(BenchError::io("listen on", address))?;
    for stream in listener.incoming() {
        let answered = stream.and_then(|mut stream| {
            if stream.read(&mut [0; 1_024])? == 0 {
                return Ok(());
            }
            stream.write_all(SAID.as_bytes())
        });
        answered.map_err(BenchError::io("answer on", address))?;
    }
    Ok(())
}

fn listen() -> Result<(TcpListener, SocketAddr), BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(BenchError::io("listen on", "a port"))?;
    let address = listener.local_addr().map_err(BenchError::io("name", "a port"))?;
    Ok((listener, address))
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
                    stream.write_all(SAID.as_bytes())?;
                    answered += 1;
                }
            }
        }
    }
    Ok(streams)
}
