//! Many clients, in processes of their own, as whoever measures sees them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::BenchError;
use crate::clients::{Answer, Churned, Count, Opening, Order};
use crate::dialogue::Dialogue;
use crate::histogram::{Counts, Quantiles};
use crate::program::work_of;

/// Clients of one process: fewer than the files that an ordinary process may open.
const OF_PROCESS: usize = 15_000;
/// How long nothing may come before what is missing counts as lost.
const QUIET: Duration = Duration::from_secs(3);
/// How often it is asked what has come.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// Clients; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Crowd {
    workers: Vec<Worker>,
    pub(crate) size: usize,
    /// How long it took to open them.
    pub(crate) opened_in: Duration,
}

/// One process.
#[derive(Debug)]
struct Worker {
    process: Child,
    /// `None` once it is to end.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Crowd {
    /// Clients of one server.
    pub(crate) fn open(address: SocketAddr, size: usize, dialogue: &Dialogue) -> Result<Self, BenchError> {
        Self::begin(&[address], size, dialogue, false)
    }

    /// Clients that are spread over servers, some of whom will come and go.
    pub(crate) fn open_churning(
        addresses: &[SocketAddr],
        size: usize,
        dialogue: &Dialogue,
    ) -> Result<Self, BenchError> {
        Self::begin(addresses, size, dialogue, true)
    }

    fn begin(
        addresses: &[SocketAddr],
        size: usize,
        dialogue: &Dialogue,
        churning: bool,
    ) -> Result<Self, BenchError> {
        let mut workers = Vec::new();
        let began = Instant::now();
        for first in (0..size).step_by(OF_PROCESS) {
            let opening = Opening {
                addresses: addresses.to_vec(),
                first,
                count: OF_PROCESS.min(size - first),
                dialogue: dialogue.clone(),
                churning,
            };
            let mut worker = Worker::start()?;
            worker.tell(&Order::Open(opening))?;
            workers.push(worker);
        }
        for worker in &mut workers {
            let Answer::Opened(_) = worker.answer()? else { return Err(senseless()) };
        }
        Ok(Self { workers, size, opened_in: began.elapsed() })
    }

    /// What has come so far.
    pub(crate) fn count(&mut self) -> Result<Count, BenchError> {
        let mut sum = Count::default();
        for answer in self.ask(&Order::Count)? {
            let Answer::Count(count) = answer else { return Err(senseless()) };
            sum.events += count.events;
            sum.steady += count.steady;
            sum.bytes += count.bytes;
            sum.ended += count.ended;
        }
        Ok(sum)
    }

    /// How late was what has come since this was last asked.
    pub(crate) fn latencies(&mut self) -> Result<Quantiles, BenchError> {
        let mut sum = Counts::default();
        for answer in self.ask(&Order::Latencies)? {
            let Answer::Latencies(counts) = answer else { return Err(senseless()) };
            sum.add(counts);
        }
        Ok(sum.quantiles())
    }

    /// Lets clients come and go: this part of them in a second, for so long.
    pub(crate) fn churn(&mut self, part: f64, seconds: f64) -> Result<(), BenchError> {
        self.ask(&Order::Churn { part, seconds }).map(|_| ())
    }

    /// How that went.
    pub(crate) fn churned(&mut self) -> Result<Churned, BenchError> {
        let mut sum = Churned::default();
        for answer in self.ask(&Order::Churned)? {
            let Answer::Churned(churned) = answer else { return Err(senseless()) };
            sum.connects += churned.connects;
            sum.failed += churned.failed;
            sum.latencies.add(churned.latencies);
        }
        Ok(sum)
    }

    /// Waits until as many more events have come as are wanted, or none comes for a while: how many have. `of` says which
    /// of them are meant.
    pub(crate) fn wait_for(
        &mut self,
        before: u64,
        wanted: u64,
        of: impl Fn(Count) -> u64,
    ) -> Result<u64, BenchError> {
        let (mut last, mut since) = (of(self.count()?) - before, Instant::now());
        while last < wanted && since.elapsed() < QUIET {
            std::thread::sleep(ASK_EVERY);
            let now = of(self.count()?) - before;
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(last)
    }

    /// Nanoseconds that the processes of the clients have worked.
    pub(crate) fn work(&self) -> u64 {
        self.workers.iter().map(|worker| work_of(worker.process.id()).total).sum()
    }

    /// Asks all processes, then reads their answers.
    fn ask(&mut self, order: &Order) -> Result<Vec<Answer>, BenchError> {
        for worker in &mut self.workers {
            worker.tell(order)?;
        }
        self.workers.iter_mut().map(Worker::answer).collect()
    }
}

fn senseless() -> BenchError {
    BenchError::new("the clients answered something else than they were asked")
}

impl Worker {
    fn start() -> Result<Self, BenchError> {
        let binary = std::env::current_exe().map_err(BenchError::io("find", "this binary"))?;
        let mut process = Command::new(binary)
            .arg("clients")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BenchError::io("start", "clients"))?;
        let (Some(orders), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(BenchError::new("the clients have no pipes"));
        };
        Ok(Self { process, orders: Some(orders), answers: BufReader::new(answers) })
    }

    fn tell(&mut self, order: &Order) -> Result<(), BenchError> {
        let mut text = serde_json::to_string(order).map_err(|error| BenchError::new(error.to_string()))?;
        text.push('\n');
        let orders = self.orders.as_mut().ok_or_else(senseless)?;
        orders.write_all(text.as_bytes()).map_err(BenchError::io("write to", "the clients"))
    }

    fn answer(&mut self) -> Result<Answer, BenchError> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(BenchError::io("read from", "the clients"))?;
        match serde_json::from_str(&line) {
            Ok(Answer::Failed(error)) => Err(BenchError::new(error)),
            Ok(answer) => Ok(answer),
            Err(_) => Err(senseless()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Without orders it ends.
        self.orders = None;
        drop(self.process.wait());
    }
}
