//! A proxy between clients and servers that cuts connections: bytes that it has taken and not passed on are lost.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A port that leads to a server, for now.
pub(crate) struct Cutter {
    address: SocketAddr,
    target: Arc<Mutex<String>>,
    links: Arc<Mutex<Vec<TcpStream>>>,
    ended: Arc<AtomicBool>,
    /// Whatever comes disappears, and nobody is told.
    swallows: Arc<AtomicBool>,
}

impl Cutter {
    /// Leads to the server at this address.
    pub(crate) fn new(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let target = Arc::new(Mutex::new(target.to_owned()));
        let links = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let swallows = Arc::new(AtomicBool::new(false));
        let hole = Arc::clone(&swallows);
        let (to, kept, over) = (Arc::clone(&target), Arc::clone(&links), Arc::clone(&ended));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let target = to.lock().expect("nobody panics").clone();
                // A server that is down is a connection that ends at once.
                if let Ok(server) = TcpStream::connect(target) {
                    let pairs = [(&client, &server), (&server, &client)];
                    for (from, to) in pairs {
                        pass(
                            from.try_clone().expect("a handle"),
                            to.try_clone().expect("a handle"),
                            Arc::clone(&hole),
                        );
                    }
                    kept.lock().expect("nobody panics").extend([client, server]);
                }
            }
        });
        Self { address, target, links, ended, swallows }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Leads elsewhere from the next connection on.
    pub(crate) fn lead_to(&self, target: &str) {
        target.clone_into(&mut self.target.lock().expect("nobody panics"));
    }

    /// From now on all that comes disappears while the connections stay; or no more.
    pub(crate) fn swallow(&self, swallows: bool) {
        self.swallows.store(swallows, Ordering::Relaxed);
    }

    /// Ends every connection at once, with what is on its way.
    pub(crate) fn cut(&self) {
        for link in self.links.lock().expect("nobody panics").drain(..) {
            // Whoever has ended it already has done so.
            let _ = link.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.cut();
        drop(TcpStream::connect(self.address));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, swallows: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0 {
                break;
            }
            if !swallows.load(Ordering::Relaxed) && to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
