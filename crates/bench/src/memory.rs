//! How much memory this process holds.

use crate::BenchError;

/// Resident bytes, counted page by page by the kernel, not its running estimate.
pub(crate) fn resident() -> Result<u64, BenchError> {
    let path = "/proc/self/smaps_rollup";
    let text = std::fs::read_to_string(path).map_err(BenchError::io("read", path))?;
    let kilobytes = text
        .lines()
        .find_map(|line| line.strip_prefix("Rss:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| BenchError::new(format!("{path} names no Rss")))
}
