//! How near the process is to the memory that it may have, and what is done about it before the kernel does worse.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::bus::NodeInbox;

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(250);
/// How long memory that was given up may take to go back to the system: nobody else is closed for the sake of it.
const SETTLES: Duration = Duration::from_secs(1);
/// Percent of the limit that the process's container or unit sets, unless said: the rest is for what cannot wait.
const PERCENT_OF_LIMIT: u64 = 90;
/// Newcomers are turned away from this percentage of the ceiling on.
const PERCENT_FOR_NEWCOMERS: u64 = 95;

/// Whether there is room for more, shared by everybody who lets clients in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pressure(Arc<AtomicBool>);

impl Pressure {
    /// Whether nobody more is to be let in for now.
    pub(crate) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Keeps an eye on the memory of the process for as long as the node lives. Above the ceiling (in bytes), clients
    /// that have the most waiting for them are closed, to come back and catch up.
    pub(crate) async fn run(self, ceiling: u64, node: NodeInbox) {
        let mut given_up = GivenUp::default();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(used) = resident() else {
                warn!("this system does not tell how much memory the process uses; there is no ceiling");
                return;
            };
            let is_full = used >= ceiling / 100 * PERCENT_FOR_NEWCOMERS;
            if self.0.swap(is_full, Ordering::Relaxed) != is_full {
                if is_full {
                    warn!(used, ceiling, "memory is short: newcomers are told to come back later");
                } else {
                    info!(used, ceiling, "there is memory for newcomers again");
                }
            }
            let excess = given_up.excess(used, ceiling, Instant::now());
            if excess > 0 {
                let (closed, freed) = node.shed(excess).await;
                given_up.add(freed, Instant::now());
                if closed > 0 {
                    warn!(
                        used,
                        ceiling, closed, "memory is short: the slowest clients were closed, to come back"
                    );
                }
            }
        }
    }
}

/// What was given up lately and may not have gone back to the system yet, in bytes, oldest first.
#[derive(Debug, Default)]
struct GivenUp(VecDeque<(Instant, u64)>);

impl GivenUp {
    fn add(&mut self, bytes: u64, now: Instant) {
        self.0.push_back((now, bytes));
    }

    /// How much more is to be given up. Each part counts for its own time, however much follows it, so that what grows on
    /// and on is never more than that time ahead.
    fn excess(&mut self, used: u64, ceiling: u64, now: Instant) -> u64 {
        while self.0.front().is_some_and(|(at, _)| now.duration_since(*at) >= SETTLES) {
            self.0.pop_front();
        }
        let given_up: u64 = self.0.iter().map(|(_, bytes)| bytes).sum();
        used.saturating_sub(ceiling).saturating_sub(given_up)
    }
}

/// The ceiling that follows from the limit that the container or unit sets, in bytes; `None` without such a limit.
pub(crate) fn ceiling_of_container() -> Option<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let limit = limit_of(&own, Path::new("/sys/fs/cgroup"))?;
    Some(limit / 100 * PERCENT_OF_LIMIT)
}

/// The smallest limit on the way from a process's control group (`/proc/self/cgroup`) up to the root of them all.
fn limit_of(own: &str, root: &Path) -> Option<u64> {
    let group = |prefix: &str, under: &str| -> Option<PathBuf> {
        let path = own.lines().find_map(|line| line.split_once(prefix))?.1;
        Some(root.join(under).join(path.trim_start_matches('/')))
    };
    // Version 2 has one hierarchy, version 1 one for each resource.
    let second = group("0::", "").map(|path| (path, "memory.max"));
    let first = group(":memory:", "memory").map(|path| (path, "memory.limit_in_bytes"));
    let read = |(path, name): (PathBuf, &str)| {
        let limits = path.ancestors().take_while(|path| path.starts_with(root));
        limits.filter_map(|path| std::fs::read_to_string(path.join(name)).ok()?.trim().parse().ok()).min()
    };
    let limits: [Option<u64>; 2] = [second.and_then(read), first.and_then(read)];
    // Version 1 says a number near 2^63 for no limit.
    limits.into_iter().flatten().filter(|limit| *limit < 1 << 60).min()
}

/// The memory of the process that is not swapped out or shared with nobody, in bytes (`VmRSS`).
pub(crate) fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1_024)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_slow_to_go_back_is_given_up_once() {
        let (mut given_up, began) = (GivenUp::default(), Instant::now());
        assert_eq!(given_up.excess(110, 100, began), 10);
        given_up.add(15, began);
        assert_eq!(given_up.excess(112, 100, began + EVERY), 0);
        assert_eq!(given_up.excess(120, 100, began + 2 * EVERY), 5, "what was not given up yet");
        assert_eq!(given_up.excess(110, 100, began + SETTLES), 10, "it never went back");
    }

    #[test]
    fn memory_that_grows_on_and_on_stays_near_the_ceiling() {
        let (mut given_up, began) = (GivenUp::default(), Instant::now());
        let (ceiling, growth) = (1_000_u64, 10);
        let mut used = ceiling;
        for tick in 0..1_000 {
            let now = began + tick * EVERY;
            used += growth;
            let excess = given_up.excess(used, ceiling, now);
            // What is given up goes back at once.
            used -= excess;
            given_up.add(excess, now);
            assert!(used <= ceiling + 5 * growth, "{used} after {tick} looks");
        }
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_is_the_one_that_holds() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let limit = |own: &str| limit_of(own, folder.path());
        assert_eq!(limit("0::/a/b\n"), None);
        write("a/b/memory.max", "max\n");
        assert_eq!(limit("0::/a/b\n"), None);
        write("a/memory.max", "1000\n");
        assert_eq!(limit("0::/a/b\n"), Some(1_000));
        write("a/b/memory.max", "500\n");
        assert_eq!(limit("0::/a/b\n"), Some(500));
        assert_eq!(limit("0::/\n"), None);
        write("memory/d/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit("5:cpu:/d\n4:memory:/d\n"), None);
        write("memory/d/memory.limit_in_bytes", "700\n");
        assert_eq!(limit("5:cpu:/d\n4:memory:/d\n"), Some(700));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_knows_how_much_memory_it_uses() {
        assert!(resident().unwrap() > 100_000);
    }
}
