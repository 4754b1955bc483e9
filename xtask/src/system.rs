//! What the machine must have besides Rust, installed from its packages when it is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, Tool};

/// Oldest Node.js that the SDK tests run on.
const NODE: u32 = 20;

/// Node.js with npm.
pub(crate) fn node(root: &Path) -> Result<(), String> {
    if !process::answers("node", &["--version"]) || !process::answers("npm", &["--version"]) {
        install(root, &["nodejs", "npm"])?;
    }
    let version = Tool::new("node", root).args(["--version"]).read()?;
    match major(&version) {
        Some(major) if major >= NODE => Ok(()),
        _ => Err(format!("Node.js {NODE} or newer is needed, this is {}", version.trim())),
    }
}

/// A Chromium, and where it is. `CHROMIUM` names another one.
pub(crate) fn chromium(root: &Path) -> Result<String, String> {
    if let Ok(chosen) = std::env::var("CHROMIUM") {
        return Ok(chosen);
    }
    let found = || {
        ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
            .into_iter()
            .find(|path| Path::new(path).exists())
    };
    if found().is_none() {
        install(root, &["chromium"])?;
    }
    found().map(str::to_owned).ok_or_else(|| "no Chromium found; name one in CHROMIUM".to_owned())
}

/// What counts instructions.
pub(crate) fn valgrind(root: &Path) -> Result<(), String> {
    if is_there("valgrind") { Ok(()) } else { install(root, &["valgrind"]) }
}

/// The services that tests start for themselves, each with the program that is looked for and its package.
const SERVICES: [(&str, &str); 8] = [
    ("redis-server", "redis-server"),
    ("nats-server", "nats-server"),
    ("openssl", "openssl"),
    ("mariadbd", "mariadb-server"),
    ("postgres", "postgresql"),
    ("nginx", "nginx-light"),
    ("caddy", "caddy"),
    ("haproxy", "haproxy"),
];

/// The services that tests start for themselves.
pub(crate) fn services(root: &Path) -> Result<(), String> {
    let missing: Vec<&str> =
        SERVICES.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() { Ok(()) } else { install(root, &missing) }
}

/// What servers are compared with, each with the program that is looked for and its package.
const PEERS: [(&str, &str); 7] = [
    ("redis-server", "redis-server"),
    ("nats-server", "nats-server"),
    ("mosquitto", "mosquitto"),
    ("nginx", "nginx-light"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("python3", "python3"),
];
/// The module of nginx that is compared, and its package.
const NCHAN: (&str, &str) = ("/usr/lib/nginx/modules/ngx_nchan_module.so", "libnginx-mod-nchan");
/// What installs wheels; without it Python has no `pip`.
const PIP: &str = "python3-pip";

/// What servers are compared with, as far as it is in Debian.
pub(crate) fn peers(root: &Path) -> Result<(), String> {
    let mut missing: Vec<&str> =
        PEERS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if !Path::new(NCHAN.0).exists() {
        missing.push(NCHAN.1);
    }
    if !process::answers("python3", &["-m", "pip", "--version"]) {
        missing.push(PIP);
    }
    if missing.is_empty() { Ok(()) } else { install(root, &missing) }
}

/// The languages that examples are written in.
pub(crate) fn scripts(root: &Path) -> Result<(), String> {
    let languages = [("python3", "python3"), ("php", "php-cli"), ("curl", "curl")];
    let missing: Vec<&str> =
        languages.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() { Ok(()) } else { install(root, &missing) }
}

/// Whether a program is where Debian puts programs; those of services are not always on the path.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(versions.map(|version| version.path().join("bin")));
    folders.iter().any(|folder| folder.join(program).is_file())
}

/// Whether we may do everything.
pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Installs Debian packages, if this machine has any and we may.
fn install(root: &Path, packages: &[&str]) -> Result<(), String> {
    let names = packages.join(" ");
    let advice = |why: &str| format!("{names} missing and {why}; install: {names}");
    if !process::answers("apt-get", &["--version"]) {
        return Err(advice("this machine has no apt-get"));
    }
    let root_user = is_root();
    if !root_user && !process::answers("sudo", &["-n", "true"]) {
        return Err(advice("neither root nor password-less sudo is available"));
    }
    println!("installing {names}");
    let _unstarted = root_user.then(Unstarted::begin);
    let apt = |args: &[&str]| {
        let tool =
            if root_user { Tool::new("env", root) } else { Tool::new("sudo", root).args(["-n", "env"]) };
        tool.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]).args(args.iter().copied()).read()
    };
    apt(&["update"])?;
    let mut args = vec!["install", "--yes", "--no-install-recommends"];
    args.extend(packages);
    apt(&args).map(|_| ())
}

/// While it lives, packages that are installed do not start their services: the tests start what they need themselves,
/// and where there is no init system a service that cannot start would fail the installation.
struct Unstarted {
    is_ours: bool,
}

impl Unstarted {
    /// Debian asks this program, if it is there, whether a service may be started; 101 is no (invoke-rc.d(8)).
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn begin() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let is_ours = !Path::new(Self::POLICY).exists()
            && std::fs::write(Self::POLICY, "#!/bin/sh\nexit 101\n").is_ok()
            && std::fs::set_permissions(Self::POLICY, std::fs::Permissions::from_mode(0o755)).is_ok();
        Self { is_ours }
    }
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        if self.is_ours {
            drop(std::fs::remove_file(Self::POLICY));
        }
    }
}

/// `v20.1.2` is 20.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_on_the_path_and_an_unheard_of_one_is_not() {
        assert!(is_there("cargo"));
        assert!(!is_there("no-such-program"));
    }

    #[test]
    fn the_major_version_of_node_is_read_from_what_it_prints() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("20.20.2"), None);
        assert_eq!(major(""), None);
    }
}
