//! The `realtime` binary: parse, run, exit code.

use std::process::ExitCode;

/// Many small allocations from several threads are this server's life. Without huge pages, which never become free again as a
/// whole: with them a server took half as much memory again and grew by a megabyte every two minutes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    realtime_server::cli::run()
}
