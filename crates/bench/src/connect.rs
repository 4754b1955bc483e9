//! What a connect takes the server: of a guest, and of users by each of the ways to show who one is.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::BenchError;
use crate::contender::realtime::{Node, SECRET, hello_to};
use crate::crowd::Crowd;
use crate::dialogue::Dialogue;
use crate::floor;
use crate::program::Program;
use crate::report::{Report, Spread, Table, micros, ratio, ratios};
use crate::target::{Target, Verdict};
use crate::wire::Framing;

/// Authenticated connects for each second of a core.
const TARGET: f64 = 10_000.0;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Connects of a round
    #[arg(long, default_value_t = 1_000)]
    pub(crate) connections: usize,
    /// Rounds; all take turns
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// This server's binary; by default the one built beside this one
    #[arg(long)]
    pub(crate) bin: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who is remembered for the whole run, and who never is.
const MEMORIES: [&str; 2] = ["0s", "1h"];

/// One way to connect, and what was measured of it.
struct Way<'a> {
    name: &'static str,
    node: &'a Node,
    /// Whether it is users who were here before.
    is_remembered: bool,
    dialogue: Dialogue,
    work: Vec<f64>,
    /// In a second of the clock on the wall.
    rate: Vec<f64>,
}

pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    measure(options)?.print(options.json);
    Ok(())
}

pub(crate) fn measure(options: &Options) -> Result<Report, BenchError> {
    let binary = crate::server(options.bin.as_ref())?;
    let [asking, remembering] = MEMORIES.map(|keeps| Node::dev(&binary, &["--cache-identities", keeps]));
    let (asking, remembering) = (asking?, remembering?);
    let mut ways = ways(&asking, &remembering);
    let mut floors = Vec::new();
    // Round 0 warms up and is not kept.
    for round in 0..=options.rounds {
        let floor = floor::connects(options.connections)?;
        if round > 0 {
            floors.push(floor);
        }
        for way in &mut ways {
            let node = way.node;
            let before = rested(&node.program);
            let crowd = Crowd::open(node.address, options.connections, &way.dialogue)
                .map_err(|error| BenchError::new(format!("{}: {error}", way.name)))?;
            let work = node.program.work().since(before).total as f64 / options.connections as f64;
            if round > 0 {
                way.work.push(work);
                way.rate.push(options.connections as f64 / crowd.opened_in.as_secs_f64());
            }
        }
    }
    Ok(report(options, &ways, &floors))
}

fn ways<'a>(asking: &'a Node, remembering: &'a Node) -> Vec<Way<'a>> {
    let way = |name, node, is_remembered, headers: &str| Way {
        name,
        node,
        is_remembered,
        dialogue: Dialogue::new(Framing::WebSocket, [hello_to("documents", headers)]).secret(SECRET),
        work: Vec::new(),
        rate: Vec::new(),
    };
    let session = |node: &Node| format!("X-Appwrite-Session: {}\r\n", node.fact("/user/session"));
    let jwt = |node: &Node| format!("X-Appwrite-JWT: {}\r\n", node.fact("/user/jwt"));
    let own = "X-Appwrite-JWT: %JWT%\r\n";
    vec![
        way("guest", asking, false, ""),
        way("session, embedded directory", asking, false, &session(asking)),
        way("JWT, embedded directory", asking, false, &jwt(asking)),
        way("JWT of a backend, a user each", asking, false, own),
        way("session, remembered", remembering, true, &session(remembering)),
        way("JWT, remembered", remembering, true, &jwt(remembering)),
        way("JWT of a backend, a user each, remembered", remembering, true, own),
    ]
}

/// Waits until a program has nothing more to do, such as to close connections: what it has worked by then.
pub(crate) fn rested(program: &Program) -> crate::program::Work {
    const LOOK_EVERY: Duration = Duration::from_millis(50);
    const LOOKS: usize = 100;
    let mut last = program.work();
    for _ in 0..LOOKS {
        std::thread::sleep(LOOK_EVERY);
        let now = program.work();
        // A hundredth of a processor is rest.
        if now.since(last).total < 500_000 {
            return now;
        }
        last = now;
    }
    last
}

fn report(options: &Options, ways: &[Way<'_>], floors: &[f64]) -> Report {
    let mut table =
        Table::new(&["who", "µs a connect", "× floor", "a second of a core", "a second, all told"]);
    let floor = Spread::of(floors);
    table.row([
        "floor: bare epoll loop".to_owned(),
        micros(floor),
        "1".to_owned(),
        format!("{:.0}", 1e9 / floor.median),
        "–".to_owned(),
    ]);
    let (mut rows, mut targets) = (Vec::new(), Vec::new());
    for way in ways {
        let (work, over) = (Spread::of(&way.work), Spread::of_ratios(&way.work, floors));
        let (each_second, rate) = (1e9 / work.median, Spread::of(&way.rate));
        table.row([
            way.name.to_owned(),
            micros(work),
            ratios(over),
            format!("{each_second:.0}"),
            format!("{:.0} ({:.0}–{:.0})", rate.median, rate.min, rate.max),
        ]);
        rows.push(json!({
            "who": way.name,
            "connect_ns": work.to_json(),
            "times_floor": over.to_json(),
            "each_second_of_a_core": each_second,
            "each_second": rate.to_json(),
        }));
        if way.is_remembered {
            targets.push(Target {
                subject: format!("authenticated connects: {}", way.name),
                wanted: format!("≥ {TARGET:.0} a second of a core, identities remembered"),
                bench: "connect",
                figure: format!("{each_second:.0} ({} µs each)", micros(work)),
                floor: format!("{:.1} µs in a bare epoll loop", floor.median / 1e3),
                ratio: ratio(over.median),
                verdict: Verdict::of(each_second >= TARGET),
            });
        }
    }
    let notes = vec![format!(
        "{} rounds of {} connects, each to a channel in the URL, until the client has got `connected`. The sessions and JWTs \
         of the embedded directory are one user's, whose rows are warm; a backend's JWTs are a user's each. Those who are \
         remembered were here in the round before (`cache.identities` is {}); the others are looked up (it is {}).",
        options.rounds, options.connections, MEMORIES[1], MEMORIES[0]
    )];
    let json = json!({ "bench": "connect", "floor_ns": floor.to_json(), "rows": rows });
    Report { table, notes, json, targets }
}
