//! An HTTP connection that events are published on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::BenchError;

/// Servers close a publisher's connection after some silence, which there is while others are measured.
const FRESH: Duration = Duration::from_secs(2);

/// A connection that is kept while it is used.
#[derive(Debug)]
pub(crate) struct Post {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
    used_at: Instant,
    path: String,
    headers: String,
}

impl Post {
    pub(crate) fn connect(address: SocketAddr, path: &str, headers: &str) -> Result<Self, BenchError> {
        let (stream, used_at) = (open(address)?, Instant::now());
        Ok(Self { address, stream, used_at, path: path.to_owned(), headers: headers.to_owned() })
    }

    /// Sends several bodies one behind the other, then reads as many answers.
    pub(crate) fn send(&mut self, bodies: &[String]) -> Result<(), BenchError> {
        let io = || BenchError::io("publish to", "the server");
        let mut request = Vec::new();
        for body in bodies {
            let (path, headers) = (&self.path, &self.headers);
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {}\r\n\r\n",
                body.len()
            );
            request.extend_from_slice(head.as_bytes());
            request.extend_from_slice(body.as_bytes());
        }
        if self.used_at.elapsed() > FRESH {
            self.stream = open(self.address)?;
        }
        self.used_at = Instant::now();
        self.stream.get_mut().write_all(&request).map_err(io())?;
        for _ in bodies {
            self.read_answer()?;
        }
        Ok(())
    }

    fn read_answer(&mut self) -> Result<(), BenchError> {
        let io = || BenchError::io("read an answer of", "the server");
        let (mut status, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).map_err(io())? == 0 {
                return Err(BenchError::new("the server closed the publisher's connection"));
            }
            if status.is_empty() {
                line.trim().clone_into(&mut status);
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or_default();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        self.stream.read_exact(&mut vec![0; length]).map_err(io())?;
        if status.contains(" 20") { Ok(()) } else { Err(BenchError::new(format!("publishing: {status}"))) }
    }
}

fn open(address: SocketAddr) -> Result<BufReader<TcpStream>, BenchError> {
    let stream = TcpStream::connect(address).map_err(BenchError::io("connect to", address))?;
    stream.set_nodelay(true).map_err(BenchError::io("set up", "a connection"))?;
    Ok(BufReader::new(stream))
}
