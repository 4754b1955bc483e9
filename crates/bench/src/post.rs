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
    /// The server has said that it closes.
    ended: bool,
    path: String,
    headers: String,
}

impl Post {
    pub(crate) fn connect(address: SocketAddr, path: &str, headers: &str) -> Result<Self, BenchError> {
        let (stream, used_at) = (open(address)?, Instant::now());
        Ok(Self {
            address,
            stream,
            used_at,
            ended: false,
            path: path.to_owned(),
            headers: headers.to_owned(),
        })
    }

    /// Sends several bodies one behind the other, then reads as many answers.
    pub(crate) fn send(&mut self, bodies: &[String]) -> Result<(), BenchError> {
        let path = self.path.clone();
        let requests: Vec<(String, String)> =
            bodies.iter().map(|body| (path.clone(), body.clone())).collect();
        self.send_to(&requests)
    }

    /// Sends several bodies to paths of their own.
    pub(crate) fn send_to(&mut self, requests: &[(String, String)]) -> Result<(), BenchError> {
        self.write(requests)?;
        for _ in requests {
            self.read_answer()?;
        }
        Ok(())
    }

    fn write(&mut self, requests: &[(String, String)]) -> Result<(), BenchError> {
        let io = || BenchError::io("publish to", "the server");
        let mut request = Vec::new();
        for (path, body) in requests {
            let headers = &self.headers;
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {}\r\n\r\n",
                body.len()
            );
            request.extend_from_slice(head.as_bytes());
            request.extend_from_slice(body.as_bytes());
        }
        if self.ended || self.used_at.elapsed() > FRESH {
            self.stream = open(self.address)?;
            self.ended = false;
        }
        self.used_at = Instant::now();
        self.stream.get_mut().write_all(&request).map_err(io())
    }

    /// Sends one body and gives what is answered.
    pub(crate) fn ask(&mut self, path: &str, body: &str) -> Result<String, BenchError> {
        self.write(&[(path.to_owned(), body.to_owned())])?;
        self.read_answer()
    }

    fn read_answer(&mut self) -> Result<String, BenchError> {
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
            if let Some((name, value)) = line.split_once(':') {
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().unwrap_or_default();
                }
                self.ended |= name.eq_ignore_ascii_case("connection") && value.trim() == "close";
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(io())?;
        let body = String::from_utf8_lossy(&body).into_owned();
        if status.contains(" 20") {
            Ok(body)
        } else {
            Err(BenchError::new(format!("publishing: {status}: {body}")))
        }
    }
}

fn open(address: SocketAddr) -> Result<BufReader<TcpStream>, BenchError> {
    let stream = TcpStream::connect(address).map_err(BenchError::io("connect to", address))?;
    stream.set_nodelay(true).map_err(BenchError::io("set up", "a connection"))?;
    Ok(BufReader::new(stream))
}
