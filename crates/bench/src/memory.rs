//! How much memory this process holds, and the kernel.

use crate::BenchError;

/// Resident bytes, counted page by page by the kernel, not its running estimate.
pub(crate) fn resident() -> Result<u64, BenchError> {
    let path = "/proc/self/smaps_rollup";
    let text = std::fs::read_to_string(path).map_err(BenchError::io("read", path))?;
    kilobytes(&text, "Rss:").ok_or_else(|| BenchError::new(format!("{path} names no Rss")))
}

/// Bytes of the kernel's slabs, in which sockets are.
pub(crate) fn kernel() -> Result<u64, BenchError> {
    let path = "/proc/meminfo";
    let text = std::fs::read_to_string(path).map_err(BenchError::io("read", path))?;
    kilobytes(&text, "Slab:").ok_or_else(|| BenchError::new(format!("{path} names no Slab")))
}

/// The line with this name, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1_024)
}
