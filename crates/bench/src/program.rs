//! A server that is started for a benchmark: its processor time, its memory, and its end.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::BenchError;

/// How long a server may take until it accepts connections.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ticks in a second of the times in `/proc/PID/stat` (`USER_HZ`, 100 on every Linux that we know).
const TICK: u64 = 1_000_000_000 / 100;

/// A running program with the processes that it started, and a folder of its own. All of it is gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    folder: Folder,
}

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

/// Nanoseconds on a processor.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    pub(crate) total: u64,
    /// The part of it that was spent in the kernel, from a clock of 10 ms.
    pub(crate) system: u64,
}

impl Work {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            total: self.total.saturating_sub(before.total),
            system: self.system.saturating_sub(before.system),
        }
    }
}

impl Folder {
    pub(crate) fn new() -> Result<Self, BenchError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("realtime-bench-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).map_err(BenchError::io("make", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it.
    pub(crate) fn put(&self, name: &str, text: &str) -> Result<PathBuf, BenchError> {
        let path = self.0.join(name);
        fs::write(&path, text).map_err(BenchError::io("write", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

impl Program {
    pub(crate) fn start(command: &mut Command, folder: Folder) -> Result<Self, BenchError> {
        let shown = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(BenchError::io("start", shown))?;
        Ok(Self { child, folder })
    }

    pub(crate) fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Ends the program and leaves its folder.
    pub(crate) fn stop(mut self) -> Folder {
        self.end();
        std::mem::replace(&mut self.folder, Folder(PathBuf::new()))
    }

    /// Waits until it accepts connections here.
    pub(crate) fn wait_for(&mut self, address: SocketAddr) -> Result<(), BenchError> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                return Err(BenchError::new(format!("nobody listens on {address} ({ended:?})")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What it and its processes have worked so far.
    pub(crate) fn work(&self) -> Work {
        let sum = |sum: Work, process| {
            let one = work_of(process);
            Work { total: sum.total + one.total, system: sum.system + one.system }
        };
        self.processes().into_iter().fold(Work::default(), sum)
    }

    /// Bytes of memory that would be free without it, shared pages by their share (PSS).
    pub(crate) fn memory(&self) -> u64 {
        let of = |process: u32| {
            let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        };
        self.processes().into_iter().filter_map(of).sum::<u64>() * 1_024
    }

    /// It and all that descends from it.
    fn processes(&self) -> Vec<u32> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            parents.push((process, field(&stat, 1).unwrap_or_default()));
        }
        let mut found = vec![self.child.id()];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            found.extend(
                parents.iter().filter(|(_, of)| *of == u64::from(parent)).map(|(process, _)| *process),
            );
            next += 1;
        }
        found
    }

    fn end(&mut self) {
        for process in self.processes().into_iter().rev() {
            if let Some(process) = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw) {
                // It may have ended by itself.
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
        }
        drop(self.child.wait());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// What one process has worked so far.
pub(crate) fn work_of(process: u32) -> Work {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
    let tasks = fs::read_dir(folder.join("task")).into_iter().flatten().flatten();
    // The first field of `schedstat`: nanoseconds on a processor.
    let total = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Work { total: total.sum(), system: field(&stat, 12).unwrap_or_default() * TICK }
}

/// A field of `/proc/PID/stat`, counted from the process's state, which is 0: the name before it may hold spaces.
fn field(stat: &str, number: usize) -> Option<u64> {
    stat.rsplit_once(") ")?.1.split(' ').nth(number)?.parse().ok()
}

/// Where servers listen: below the ports that the kernel gives to clients (32768 and up), or one of thousands of clients
/// may sit on a server's port.
const PORTS: Range<u16> = 20_000..32_000;

/// A free address on this machine, another one each time.
pub(crate) fn free_address() -> Result<SocketAddr, BenchError> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let span = u32::from(PORTS.end - PORTS.start);
    // Runs at the same time begin in different places.
    let begin = std::process::id().wrapping_mul(97);
    for _ in 0..span {
        let place = begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % span;
        let port = PORTS.start + u16::try_from(place).unwrap_or_default();
        // On all addresses, because some servers listen there whatever they are told.
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
    }
    Err(BenchError::new(format!("no port of {PORTS:?} is free")))
}

/// Where a program is, if it is installed.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push(PathBuf::from("/usr/sbin"));
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_a_name_with_spaces_and_parentheses() {
        assert_eq!(field("7 (a ) b) S 5 6", 1), Some(5));
        assert_eq!(field("7 (a) S", 1), None);
    }
}
