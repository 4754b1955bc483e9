//! The chores of this repository. `cargo xtask help` lists them; nothing has to be installed to run them.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program talks to the person who runs it"
)]

mod ci;
mod console;
mod deny;
mod direction;
mod fuzz;
mod instructions;
mod peers;
mod planted;
mod process;
mod sdk;
mod static_binary;
mod step;
mod system;
mod tidy;
mod typescript;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
The chores of this repository.

Usage: cargo xtask <verb>

  test [--fast]             Everything that must hold, after installing what it needs.
                            --fast leaves out cargo-deny, services, the SDKs and the browser.
  ci                        What CI runs: the same as `test`.
  tidy                      House rules: openings, names, sizes, imports, directions between crates.
  deny                      Licences, bans and sources of dependencies (cargo-deny).
  sdk [--browser]           The official Appwrite SDKs from npm against the server; or in Chromium.
  sdk --typescript          The TypeScript SDK: lints, size, tests, the package, the examples.
  console [--build]         The web console: types, freshness of what is embedded, every page in Chromium;
                            or builds what is embedded.
  bench NAME [ARGS...]      A benchmark, in release mode, of the server as it is here. `bench --help` lists them.
  bench --install [NAME...] Installs the servers that benchmarks compare with: Debian's packages, npm, wheels and
                            crates; or only those named.
  instructions [--update]   Instructions of the core's paths, counted by callgrind, against the committed
                            figures; --update writes them anew.
  sim [--seed N] [--seconds N]
                            Many nodes, clients and faults in virtual time, seed after seed; `sim --help` has more.
  sim --planted             Whether that still finds bugs: some are planted in a copy of the core, one after another.
  fuzz TARGET [--seconds N] Fuzzes one decoder (nightly compiler and cargo-fuzz); 60 s by default.
  static [PROFILE] [--features LIST]
                            The static binary of the container image (dist), tried in an empty file
                            system if the user is root.
  help                      This text.
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let root = root();
    let done = match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        ["test"] | ["ci"] => step::run(&ci::steps(&root, ci::Extent::Full)),
        ["test", "--fast"] => step::run(&ci::steps(&root, ci::Extent::Fast)),
        ["tidy"] => tidy::check(&root).and_then(|()| direction::check(&root)),
        ["deny"] => deny::check(&root),
        ["sdk"] => sdk::test(&root, sdk::Place::Node),
        ["sdk", "--browser"] => sdk::test(&root, sdk::Place::Browser),
        ["sdk", "--typescript"] => typescript::test(&root),
        ["console"] => console::test(&root),
        ["console", "--build"] => console::make(&root),
        ["bench", "--install", names @ ..] => peers::install(&root, names),
        ["bench", rest @ ..] => bench(&root, rest),
        ["instructions"] => instructions::check(&root),
        ["instructions", "--update"] => instructions::update(&root),
        ["sim", "--planted"] => planted::check(&root),
        ["sim", rest @ ..] => process::Tool::cargo(&root)
            .args(["run", "--quiet", "--release", "--locked", "--package", "realtime-sim", "--"])
            .args(rest.iter().copied())
            .run(),
        ["static"] => make_static(&root, "dist", ""),
        ["static", "--features", features] => make_static(&root, "dist", features),
        ["static", profile] => make_static(&root, profile, ""),
        ["static", profile, "--features", features] => make_static(&root, profile, features),
        ["fuzz", target] => fuzz::grow(&root, target, fuzz::DEFAULT_SECONDS),
        ["fuzz", target, "--seconds", seconds] => match seconds.parse() {
            Ok(seconds) => fuzz::grow(&root, target, seconds),
            Err(_) => Err(format!("--seconds takes a whole number, not '{seconds}'")),
        },
        other => Err(format!("no such chore: '{}'\n\n{HELP}", other.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A benchmark, with the server beside it built too.
fn bench(root: &Path, rest: &[&str]) -> Result<(), String> {
    let release = ["--quiet", "--release", "--locked"];
    let build = process::Tool::cargo(root).args(["build"]).args(release);
    build.args(["--package", "realtime-server", "--package", "realtime-bench"]).run()?;
    let run = process::Tool::cargo(root).args(["run"]).args(release);
    run.args(["--package", "realtime-bench", "--"]).args(rest.iter().copied()).run()
}

fn make_static(root: &Path, profile: &str, features: &str) -> Result<(), String> {
    let binary = static_binary::build(root, profile, features)?;
    println!("{}", binary.display());
    if system::is_root() { static_binary::check(&binary) } else { Ok(()) }
}

/// The repository: the folder above this crate.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}
