//! A process full of clients: it opens them as it is told on its standard input, counts what they receive, and answers.
//!
//! Clients live in processes of their own because one process may open only so many sockets, and because a thread that
//! reads should not wait for the one that publishes. The process ends when its input does.

mod link;

use std::collections::VecDeque;
use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Handle};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use self::link::Link;
use crate::BenchError;
use crate::clock;
use crate::dialogue::Dialogue;
use crate::histogram::{Counts, Histogram};

/// Connections that are being opened at a time.
const AT_ONCE: usize = 64;
/// One client in so many comes and goes, when some do.
const CHURN_ONE_IN: usize = 10;

/// What a process full of clients is told, a line each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Open clients with these numbers.
    Open(Opening),
    /// How much has come so far?
    Count,
    /// How late was what has come since this was last asked?
    Latencies,
    /// Let one tenth of the clients come and go, this part of all clients each second, for so long.
    Churn { part: f64, seconds: f64 },
    /// How did that go?
    Churned,
}

/// Which clients to open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Opening {
    /// Clients are spread over these.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) dialogue: Dialogue,
    /// Whether some will come and go.
    pub(crate) churning: bool,
}

/// What it answers, a line each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Nanoseconds that it took.
    Opened(u64),
    Count(Count),
    Latencies(Counts),
    Churning,
    Churned(Churned),
    Failed(String),
}

/// What has come so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) events: u64,
    /// Those of clients that do not come and go.
    pub(crate) steady: u64,
    pub(crate) bytes: u64,
    /// Connections that ended without having been told to.
    pub(crate) ended: u64,
}

/// How coming and going went.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Churned {
    pub(crate) connects: u64,
    pub(crate) failed: u64,
    /// From the moment a connect was due until the server had let the client in.
    pub(crate) latencies: Counts,
}

/// What the clients of this process have received.
#[derive(Debug, Default)]
struct Tally {
    events: AtomicU64,
    steady: AtomicU64,
    bytes: AtomicU64,
    ended: AtomicU64,
    /// From the moment an event was to be sent.
    latencies: Histogram,
    churned: AtomicU64,
    failed: AtomicU64,
    connects: Histogram,
}

/// Those that come and go, the ones that have been there longest first.
type Churners = VecDeque<(usize, AbortHandle)>;

/// The clients of this process.
struct Clients {
    runtime: Handle,
    tally: Arc<Tally>,
    opening: Option<Opening>,
    churners: Arc<Mutex<Churners>>,
}

pub(crate) fn run() -> Result<(), BenchError> {
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(BenchError::io("start", "a runtime"))?;
    let mut clients = Clients {
        runtime: runtime.handle().clone(),
        tally: Arc::default(),
        opening: None,
        churners: Arc::default(),
    };
    // All clients share one thread; this one only talks.
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    let mut output = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(BenchError::io("read", "orders"))?;
        let order = serde_json::from_str(&line)
            .map_err(|error| BenchError::new(format!("no order: {error}: {line}")))?;
        let answer = clients.carry_out(order).unwrap_or_else(|error| Answer::Failed(error.to_string()));
        let text = serde_json::to_string(&answer).map_err(|error| BenchError::new(error.to_string()))?;
        writeln!(output, "{text}")
            .and_then(|()| output.flush())
            .map_err(BenchError::io("write", "an answer"))?;
    }
    Ok(())
}

impl Clients {
    fn carry_out(&mut self, order: Order) -> Result<Answer, BenchError> {
        let tally = &self.tally;
        Ok(match order {
            Order::Open(opening) => Answer::Opened(self.open(opening)?),
            Order::Count => Answer::Count(Count {
                events: tally.events.load(Ordering::Acquire),
                steady: tally.steady.load(Ordering::Acquire),
                bytes: tally.bytes.load(Ordering::Relaxed),
                ended: tally.ended.load(Ordering::Relaxed),
            }),
            Order::Latencies => Answer::Latencies(tally.latencies.take()),
            Order::Churn { part, seconds } => {
                self.churn(part, seconds);
                Answer::Churning
            }
            Order::Churned => Answer::Churned(Churned {
                connects: tally.churned.load(Ordering::Relaxed),
                failed: tally.failed.load(Ordering::Relaxed),
                latencies: tally.connects.take(),
            }),
        })
    }

    /// Opens clients and waits until the server has let all of them in: nanoseconds.
    fn open(&mut self, opening: Opening) -> Result<u64, BenchError> {
        self.opening = Some(opening.clone());
        let (done, opened) = mpsc::channel();
        let (tally, churners) = (Arc::clone(&self.tally), Arc::clone(&self.churners));
        let began = clock::now();
        self.runtime.spawn(async move {
            let gate = Arc::new(Semaphore::new(AT_ONCE));
            let opening = Arc::new(opening);
            for number in opening.first..opening.first + opening.count {
                // The semaphore is never closed.
                let Ok(permit) = Arc::clone(&gate).acquire_owned().await else { return };
                let (opening, tally) = (Arc::clone(&opening), Arc::clone(&tally));
                let (churners, done) = (Arc::clone(&churners), done.clone());
                tokio::spawn(async move {
                    let opened = Link::open(&opening, number).await;
                    drop(permit);
                    let told = opened.map(|link| {
                        let steady = !opening.churning || !comes_and_goes(number, opening.dialogue.rooms);
                        let listening = tokio::spawn(link.listen(tally, steady)).abort_handle();
                        if !steady {
                            lock(&churners).push_back((number, listening));
                        }
                    });
                    // Whoever waits may have given up.
                    drop(done.send(told));
                });
            }
        });
        let results: Vec<Result<(), BenchError>> = opened.iter().collect();
        results.into_iter().collect::<Result<(), BenchError>>()?;
        Ok(clock::now() - began)
    }

    /// Closes clients and opens them anew, by a schedule.
    fn churn(&self, part: f64, seconds: f64) {
        let Some(opening) = self.opening.clone().map(Arc::new) else { return };
        let each_second = opening.count as f64 * part;
        let (churners, tally) = (Arc::clone(&self.churners), Arc::clone(&self.tally));
        let began = clock::now();
        self.runtime.spawn(async move {
            for turn in 0..(each_second * seconds) as usize {
                let due = began + (turn as f64 / each_second * 1e9) as u64;
                tokio::time::sleep(Duration::from_nanos(due.saturating_sub(clock::now()))).await;
                let longest = lock(&churners).pop_front();
                let Some((number, listening)) = longest else { continue };
                listening.abort();
                let (opening, churners, tally) =
                    (Arc::clone(&opening), Arc::clone(&churners), Arc::clone(&tally));
                tokio::spawn(async move {
                    let opened = Link::open(&opening, number).await;
                    tally.churned.fetch_add(1, Ordering::Relaxed);
                    match opened {
                        Ok(link) => {
                            tally.connects.record(clock::now().saturating_sub(due));
                            let listening = tokio::spawn(link.listen(tally, false)).abort_handle();
                            lock(&churners).push_back((number, listening));
                        }
                        Err(_) => {
                            tally.failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
    }
}

/// Whether a client comes and goes, when some do. Of each room it is the same part.
pub(crate) fn comes_and_goes(number: usize, rooms: usize) -> bool {
    (number / rooms.max(1)).is_multiple_of(CHURN_ONE_IN)
}

fn lock(churners: &Mutex<Churners>) -> MutexGuard<'_, Churners> {
    churners.lock().unwrap_or_else(PoisonError::into_inner)
}
