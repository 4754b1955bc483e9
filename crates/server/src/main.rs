//! The `realtime` binary: parse, run, exit code.

use std::process::ExitCode;

/// Many small allocations from several threads are this server's life.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    realtime_server::cli::run()
}
