//! The binary of the container image: nothing but itself, so it runs where there is no operating system around it.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::Tool;

/// The C library goes into the binary, and random numbers come from the kernel itself rather than from a file in
/// `/dev`, which an empty file system does not have.
const RUSTFLAGS: &str = "-C target-feature=+crt-static --cfg getrandom_backend=\"linux_getrandom\"";
/// How long a server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// Builds the binary with a profile of cargo's and these features, and gives its path.
pub(crate) fn build(root: &Path, profile: &str, features: &str) -> Result<PathBuf, String> {
    let about = Tool::new("rustc", root).args(["-vV"]).read()?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("`rustc -vV` names no host")?;
    let target = root.join("target/static");
    // With a target named, build scripts and macros are spared the flags.
    Tool::cargo(root)
        .args(["build", "--locked", "--package", "realtime-server", "--bin", "realtime"])
        .args(["--features", features, "--profile", profile, "--target", host])
        .args([OsStr::new("--target-dir"), target.as_os_str()])
        .env("RUSTFLAGS", RUSTFLAGS)
        .run()?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(target.join(host).join(folder).join("realtime"))
}

/// Runs the binary where there is nothing else: it answers, serves, and finds itself well.
pub(crate) fn check(binary: &Path) -> Result<(), String> {
    let empty = std::env::temp_dir().join(format!("realtime-empty-{}", std::process::id()));
    let checked = check_in(&empty, binary);
    std::fs::remove_dir_all(&empty).map_err(|error| format!("cannot remove {}: {error}", empty.display()))?;
    checked
}

fn check_in(empty: &Path, binary: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot fill {}: {error}", empty.display());
    std::fs::create_dir_all(empty.join("data")).map_err(failed)?;
    std::fs::copy(binary, empty.join("realtime")).map_err(failed)?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?.to_string();
    drop(listener);
    alone(empty, &["--version"]).run()?;
    let server = Command::new("chroot")
        .arg(empty)
        .args(["/realtime", "serve", "--data-dir", "/data", "--log-level", "error", "--listen", &address])
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot run chroot: {error}"))?;
    let _server = Killed(server);
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = alone(empty, &["health", "--listen", &address]).read() {
        if Instant::now() > deadline {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("{} runs in an empty file system", binary.display());
    Ok(())
}

/// The binary, in an empty file system and with an empty environment. Only root may do that.
fn alone(empty: &Path, args: &[&str]) -> Tool {
    Tool::new("env", empty).args(["-i", "/usr/sbin/chroot", ".", "/realtime"]).args(args.iter().copied())
}

/// A child that is killed when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
