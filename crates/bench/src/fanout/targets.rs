//! What was aimed at for a fan-out.

use super::{Entrant, Floors, Options, Taken, spread};
use crate::appwrite;
use crate::contender::Kind;
use crate::report::{Spread, micros, nanoseconds, ratio, ratios};
use crate::target::{Target, Verdict};

/// Receivers that the aims speak of.
const RECEIVERS: usize = 5_000;
/// One at a time: times the floor, at most.
const PACED: f64 = 1.3;
/// Under backlog: times less than the floor, at least.
const AT_ONCE: f64 = 3.0;
/// Times less than the best peer, at least.
const PEER: f64 = 2.0;
/// Times less than Appwrite's server, at least: paced, saturated, its p99 then, and a connect.
const APPWRITE_PACED: f64 = 2.0;
const APPWRITE_SATURATED: f64 = 6.0;
const APPWRITE_P99: f64 = 5.0;
const APPWRITE_CONNECT: f64 = 10.0;
/// Deliveries in a second at which Appwrite's server was paced, and saturated.
const SLOW: usize = 10_000;
const FAST: usize = 100_000;

pub(super) fn of(options: &Options, entrants: &[Entrant], floors: &Floors) -> Vec<Target> {
    if options.connections < RECEIVERS {
        return Vec::new();
    }
    let Some(own) = entrants.iter().find(|entrant| entrant.kind == Kind::Realtime) else { return Vec::new() };
    if options.connections * options.rate as usize >= FAST {
        return vec![saturated_p99(options, own, floors)];
    }
    let mut targets = Vec::new();
    for entrant in entrants.iter().filter(|entrant| entrant.kind.is_web_socket()) {
        targets.push(paced(options, entrant, floors));
        targets.push(at_once(options, entrant, floors));
    }
    targets.push(best_peer(entrants, own, "one at a time", |entrant| &entrant.paced));
    targets.push(best_peer(entrants, own, "under backlog", |entrant| &entrant.backlog));
    if options.connections * options.rate as usize == SLOW {
        let here = work(&own.paced).median;
        let floor = Spread::of(&floors.paced).median;
        targets.push(against_appwrite(
            "delivery at 10,000 a second",
            appwrite::PACED,
            APPWRITE_PACED,
            here,
            floor,
        ));
    }
    let (here, floor) = (work(&own.backlog).median, Spread::of(&floors.paced).median);
    let subject = "saturated delivery, 5,000 receivers";
    targets.push(against_appwrite(subject, appwrite::SATURATED, APPWRITE_SATURATED, here, floor));
    targets.push(against_appwrite("connect", appwrite::CONNECT, APPWRITE_CONNECT, own.connect_work, floor));
    targets
}

fn work(taken: &[Taken]) -> Spread {
    spread(taken, |taken| taken.work)
}

fn of_works(taken: &[Taken]) -> Vec<f64> {
    taken.iter().map(|taken| taken.work).collect()
}

fn paced(options: &Options, entrant: &Entrant, floors: &Floors) -> Target {
    let over = Spread::of_ratios(&of_works(&entrant.paced), &floors.paced);
    Target {
        subject: format!("fan-out to {}, one at a time: {}", options.connections, entrant.kind.name()),
        wanted: format!("≤ {PACED} × floor"),
        bench: "fanout",
        figure: format!("{} µs a delivery", micros(work(&entrant.paced))),
        floor: format!("{} µs a `writev`", micros(Spread::of(&floors.paced))),
        ratio: ratios(over),
        verdict: Verdict::of(over.median <= PACED),
    }
}

fn at_once(options: &Options, entrant: &Entrant, floors: &Floors) -> Target {
    let under = Spread::of_ratios(&floors.backlog, &of_works(&entrant.backlog));
    Target {
        subject: format!("fan-out to {}, under backlog: {}", options.connections, entrant.kind.name()),
        wanted: format!("≥ {AT_ONCE} × less than the floor"),
        bench: "fanout",
        figure: format!("{} µs a delivery", micros(work(&entrant.backlog))),
        floor: format!("{} µs a `writev`", micros(Spread::of(&floors.backlog))),
        ratio: format!("{} × less", ratios(under)),
        verdict: Verdict::of(under.median >= AT_ONCE),
    }
}

fn best_peer(entrants: &[Entrant], own: &Entrant, when: &str, taken: fn(&Entrant) -> &Vec<Taken>) -> Target {
    let subject = format!("deliveries for each second of a core, {when}, against the best peer");
    let wanted = format!("≥ {PEER} ×");
    let peers = entrants.iter().filter(|entrant| entrant.kind.is_peer() && !taken(entrant).is_empty());
    let best = peers.min_by(|one, other| work(taken(one)).median.total_cmp(&work(taken(other)).median));
    let figure = format!("{:.0}", 1e9 / work(taken(own)).median);
    let Some(best) = best else {
        return Target {
            subject,
            wanted,
            bench: "fanout",
            figure,
            floor: "–".to_owned(),
            ratio: "–".to_owned(),
            verdict: Verdict::NotMeasured("no peer is installed".to_owned()),
        };
    };
    let over = Spread::of_ratios(&of_works(taken(best)), &of_works(taken(own)));
    Target {
        subject,
        wanted,
        bench: "fanout",
        figure,
        floor: format!("{}: {:.0}", best.kind.name(), 1e9 / work(taken(best)).median),
        ratio: ratios(over),
        verdict: Verdict::of(over.median >= PEER),
    }
}

fn against_appwrite(subject: &str, there: appwrite::Elsewhere, times: f64, here: f64, floor: f64) -> Target {
    let over = there.over(here, floor);
    Target {
        subject: format!("{subject}, against Appwrite"),
        wanted: format!("{times:.0} × less"),
        bench: "fanout",
        figure: format!("{} = {} × floor", nanoseconds(here), ratio(here / floor)),
        floor: format!("{} a `writev`; {}", nanoseconds(floor), there.text()),
        ratio: format!("{} × less", ratio(over)),
        verdict: Verdict::of(over >= times),
    }
}

fn saturated_p99(options: &Options, own: &Entrant, floors: &Floors) -> Target {
    let late = spread(&own.paced, |taken| taken.latency.p99 as f64);
    let limit = appwrite::SATURATED_P99.middle();
    Target {
        subject: format!(
            "p99 at {} deliveries/s to {} receivers, against Appwrite",
            options.connections * options.rate as usize,
            options.connections
        ),
        wanted: format!("≤ 1/{APPWRITE_P99:.0} of {}", nanoseconds(limit)),
        bench: "fanout",
        figure: format!(
            "{} ({}–{}), {} µs a delivery",
            nanoseconds(late.median),
            nanoseconds(late.min),
            nanoseconds(late.max),
            micros(work(&own.paced))
        ),
        floor: format!(
            "{} µs a `writev`; Appwrite {}",
            micros(Spread::of(&floors.paced)),
            nanoseconds(limit)
        ),
        ratio: format!("1/{}", ratio(limit / late.median)),
        verdict: Verdict::of(late.median <= limit / APPWRITE_P99),
    }
}
