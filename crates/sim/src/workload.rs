//! What is to happen in a run, made from its seed: who is there, under which settings, and what befalls them.

use std::time::Duration;

use realtime_core::outbox::{self, Slow};
use realtime_core::replay;

use crate::random::Random;

/// Channels of each project.
pub const CHANNELS: [&str; 4] = ["files", "rows", "rows.R1", "tables"];
/// Projects.
pub const PROJECTS: [&str; 2] = ["p", "q"];
/// Users of each project.
pub const USERS: usize = 3;
/// Roles that users gain and lose.
pub const GRANTS: [&str; 3] = ["label:x", "label:y", "team:t"];

/// A run before it is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it was made from; also what decides delays.
    pub seed: u64,
    /// What it is about.
    pub theme: Theme,
    /// Who is there, and under which settings.
    pub setting: Setting,
    /// What happens, in order.
    pub actions: Vec<(Duration, Action)>,
    /// When everything is mended.
    pub calm_at: Duration,
}

/// What a run has more of than others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Everything at once.
    Chaos,
    /// Roles change.
    Roles,
    /// Links are cut.
    Links,
    /// The bus fails.
    Bus,
    /// Clients stop reading.
    Slow,
    /// Nodes are stopped and started one after another, with nothing else going wrong.
    Rolling,
}

/// Who is there, and under which settings.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Where nodes run.
    pub places: usize,
    /// Engines of a node.
    pub shards: usize,
    /// What becomes of slow clients.
    pub slow: Slow,
    /// What may wait for one of them.
    pub outbox: outbox::Bounds,
    /// What is kept for those who are away.
    pub replay: replay::Bounds,
    /// Events that wait for a user's roles.
    pub held_events: usize,
    /// How often connections get a heartbeat.
    pub heartbeat: Duration,
    /// Bytes between a server's socket and its client's.
    pub link_bytes: usize,
    /// The longest a frame is under way.
    pub latency: Duration,
    /// How long an outage of the directory is borne.
    pub outage: Duration,
    /// Whether the bus keeps what happened.
    pub durable: bool,
    /// Who listens.
    pub clients: Vec<ClientPlan>,
}

/// Who listens, and how.
#[derive(Debug, Clone)]
pub struct ClientPlan {
    /// What sort of client.
    pub kind: Kind,
    /// In which project.
    pub project: usize,
    /// As whom; `None` is a guest.
    pub user: Option<usize>,
    /// What it subscribes to: several only if it can.
    pub interests: Vec<Interest>,
    /// Whether it answers Pings.
    pub answers: bool,
    /// Whether it says who it is in a message and not in its request.
    pub authenticates: bool,
    /// Whether it asks for what it missed since the last event it saw, by the URL.
    pub since: bool,
    /// How long it takes over a frame.
    pub pace: Duration,
}

/// What sort of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// This project's Rust SDK: its session as it is.
    Session,
    /// As Appwrite's web SDK: the same ids again after a drop, and no word of what was seen.
    Sdk,
    /// Channels in the URL.
    Url,
}

/// What a subscription is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// Any of these channels.
    pub channels: Vec<&'static str>,
    /// Only with a number above this.
    pub above: Option<u64>,
}

/// Whom an event is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everybody.
    Any,
    /// Everybody with an account.
    Users,
    /// Everybody without.
    Guests,
    /// One user.
    User(usize),
    /// Those with a role that comes and goes.
    Granted(&'static str),
}

/// Something that befalls the world.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// A backend publishes this many events, one right after the other.
    Publish {
        /// Where.
        project: usize,
        /// On which channel.
        channel: &'static str,
        /// For whom.
        audience: Audience,
        /// The number in its payload.
        number: u64,
        /// Of which document.
        document: u64,
        /// How many.
        count: usize,
        /// Bytes that fill up its payload.
        filling: usize,
        /// How often the bus gets it.
        copies: usize,
    },
    /// A role is given or taken, and an event tells of it.
    Grant {
        /// Where.
        project: usize,
        /// Whose.
        user: usize,
        /// Which.
        role: &'static str,
        /// Given or taken.
        holds: bool,
        /// How long after the directory knows.
        told_after: Duration,
    },
    /// A client's link breaks with everything that is under way on it.
    Cut {
        /// Whose.
        client: usize,
        /// Whether something on the way goes on taking bytes and loses them.
        swallows: bool,
        /// When the client notices.
        client_notices: Duration,
        /// When the server does.
        server_notices: Duration,
    },
    /// A client stops reading.
    Stall {
        /// Who.
        client: usize,
        /// For how long.
        lasts: Duration,
    },
    /// A client ends one of its subscriptions, or the other way round.
    Toggle {
        /// Who.
        client: usize,
        /// Which.
        interest: usize,
    },
    /// A client says goodbye and comes back.
    Leave {
        /// Who.
        client: usize,
        /// After how long.
        back_after: Duration,
    },
    /// A node's link to the bus breaks.
    BreakBus {
        /// Which.
        place: usize,
        /// How long until it listens again.
        lasts: Duration,
    },
    /// The bus is gone for a while, and what was under way.
    StopBus {
        /// For how long.
        lasts: Duration,
    },
    /// The bus carries something that is no event.
    Garble {
        /// Among which project's events.
        project: usize,
    },
    /// The memory of where subscriptions stood is out of reach.
    LoseMemory {
        /// For how long.
        lasts: Duration,
    },
    /// The directory is out of reach.
    LoseDirectory {
        /// For how long.
        lasts: Duration,
    },
    /// A node ends without a word.
    Kill {
        /// Which.
        place: usize,
        /// When the next one starts.
        back_after: Duration,
    },
    /// A node is asked to stop.
    Drain {
        /// Which.
        place: usize,
        /// Over how long it closes its connections.
        window: Duration,
        /// When the next one starts, counted from now; not before it has stopped.
        back_after: Duration,
    },
}

impl Plan {
    /// The run of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::of(seed, "plan", 0);
        let theme = random
            .weighted(&[
                (3, Theme::Chaos),
                (2, Theme::Roles),
                (3, Theme::Links),
                (2, Theme::Bus),
                (2, Theme::Slow),
                (3, Theme::Rolling),
            ])
            .unwrap_or(Theme::Chaos);
        let mut setting = setting(&mut random, theme);
        // Drawn apart, so that all else is as it is with a bus that keeps nothing.
        let mut apart = Random::of(seed, "durable", 0);
        setting.durable = apart.percent(30);
        let calm_at = random.millis(15_000, 45_000);
        let mut actions = Vec::new();
        let pace = random.millis(20, 200);
        spread(&mut random, pace, calm_at, |random, at| {
            let count = if random.percent(2) { 20 + random.below(80) } else { 1 };
            actions.extend(publish(random, count).map(|action| (at, action)));
        });
        let pace = random.millis(150, 1_500);
        spread(&mut random, pace, calm_at, |random, at| {
            actions.extend(trouble(random, theme, &setting).map(|action| (at, action)));
        });
        follow_grants(&mut random, &mut actions);
        if setting.durable && theme != Theme::Rolling {
            restart_all(&mut apart, setting.places, calm_at, &mut actions);
        }
        actions.sort_by_key(|(at, _)| *at);
        if theme == Theme::Rolling {
            roll(&mut random, &setting, calm_at, &mut actions);
        }
        Self { seed, theme, setting, actions, calm_at }
    }

    /// Leaves out every action but these, by their numbers.
    pub fn keep(&mut self, numbers: &[usize]) {
        let actions = std::mem::take(&mut self.actions).into_iter().enumerate();
        self.actions =
            actions.filter(|(number, _)| numbers.contains(number)).map(|(_, action)| action).collect();
    }
}

/// Does something at moments that are so far apart on average.
fn spread(random: &mut Random, pace: Duration, until: Duration, mut act: impl FnMut(&mut Random, Duration)) {
    let mut at = Duration::from_millis(200);
    while at < until {
        act(random, at);
        at += random.millis(0, 2 * pace.as_millis() as u64);
    }
}

/// Lets events for a role come soon after somebody has gained or lost it, while it is read again.
fn follow_grants(random: &mut Random, actions: &mut Vec<(Duration, Action)>) {
    let mut followers = Vec::new();
    for (at, action) in actions.iter() {
        let Action::Grant { project, role, told_after, .. } = *action else { continue };
        for _ in 0..random.below(4) {
            let Some(Action::Publish { channel, number, document, filling, .. }) = publish(random, 1) else {
                continue;
            };
            let audience = Audience::Granted(role);
            let event = Action::Publish {
                project,
                channel,
                audience,
                number,
                document,
                filling,
                count: 1,
                copies: 1,
            };
            followers.push((*at + told_after + random.millis(0, 150), event));
        }
    }
    actions.extend(followers);
}

/// Every node ends at the same moment: what happened is known by the bus alone then.
fn restart_all(random: &mut Random, places: usize, calm_at: Duration, actions: &mut Vec<(Duration, Action)>) {
    for _ in 0..random.below(3) {
        let at = random.millis(2_000, calm_at.as_millis() as u64);
        for place in 0..places {
            actions.push((at, Action::Kill { place, back_after: random.millis(100, 4_000) }));
        }
    }
}

/// Each place in turn.
fn roll(random: &mut Random, setting: &Setting, calm_at: Duration, actions: &mut Vec<(Duration, Action)>) {
    let mut at = random.millis(8_000, 12_000);
    let mut place = random.below(setting.places);
    while at + Duration::from_secs(2) < calm_at {
        let window = random.millis(500, 4_000);
        let back_after = random.millis(0, 3_000);
        let drain = Action::Drain { place, window, back_after };
        let index = actions.partition_point(|(other, _)| *other <= at);
        actions.insert(index, (at, drain));
        place = (place + 1) % setting.places;
        at += random.millis(12_000, 18_000);
    }
}

fn setting(random: &mut Random, theme: Theme) -> Setting {
    let places = if theme == Theme::Rolling { 2 + random.below(2) } else { 1 + random.below(3) };
    let small = theme == Theme::Slow || random.percent(20);
    let slow = if theme == Theme::Rolling {
        Slow::Close
    } else {
        random.weighted(&[(6, Slow::Close), (2, Slow::Conflate), (2, Slow::Drop)]).unwrap_or_default()
    };
    let short = theme != Theme::Rolling && random.percent(30);
    let replay = replay::Bounds {
        window: if short { random.millis(5_000, 20_000) } else { Duration::from_secs(120) },
        events: if short && random.percent(50) { 10 + random.below(100) } else { 10_000 },
        bytes: if short && random.percent(30) { 20_000 } else { 16 * 1024 * 1024 },
        total_bytes: if short && random.percent(30) { 30_000 } else { 128 * 1024 * 1024 },
        disorder: Duration::ZERO,
    };
    Setting {
        places,
        shards: 1 + random.below(2),
        slow,
        outbox: if small {
            outbox::Bounds { count: 4 + random.below(30), bytes: 4_000 + random.below(30_000) }
        } else {
            outbox::Bounds { count: 2_000, bytes: 4 * 1024 * 1024 }
        },
        replay,
        held_events: if random.percent(20) { 3 + random.below(20) } else { 4_096 },
        heartbeat: random.millis(2_000, 25_000),
        link_bytes: if small { 600 + random.below(4_000) } else { 64 * 1024 },
        latency: random.millis(1, 120),
        outage: random.millis(500, 8_000),
        durable: false,
        clients: (0..3 + random.below(5)).map(|_| client(random, theme)).collect(),
    }
}

fn client(random: &mut Random, theme: Theme) -> ClientPlan {
    let kind =
        random.weighted(&[(5, Kind::Session), (5, Kind::Sdk), (2, Kind::Url)]).unwrap_or(Kind::Session);
    let several = if kind == Kind::Url { 1 } else { 1 + random.below(3) };
    let user = random.percent(75).then(|| random.below(USERS));
    ClientPlan {
        kind,
        project: usize::from(random.percent(25)),
        user,
        interests: (0..several).map(|_| interest(random, kind)).collect(),
        answers: kind == Kind::Session || !random.percent(8),
        authenticates: kind == Kind::Sdk && random.percent(30),
        since: kind == Kind::Url && random.percent(50),
        pace: if theme == Theme::Slow && random.percent(20) { random.millis(1, 30) } else { Duration::ZERO },
    }
}

fn interest(random: &mut Random, kind: Kind) -> Interest {
    let mut channels: Vec<&'static str> = Vec::new();
    for channel in CHANNELS {
        if random.percent(40) {
            channels.push(channel);
        }
    }
    if channels.is_empty() {
        channels.extend(random.pick(&CHANNELS));
    }
    let above = (kind != Kind::Url && random.percent(20)).then(|| random.below(60) as u64);
    Interest { channels, above }
}

/// What sorts of things happen beside publishing.
#[derive(Debug, Clone, Copy)]
enum Sort {
    Grant,
    Cut,
    Stall,
    Toggle,
    Leave,
    BreakBus,
    StopBus,
    Garble,
    LoseMemory,
    LoseDirectory,
    Kill,
    Drain,
}

/// How often each of them happens, to each other.
fn weights(theme: Theme) -> &'static [(usize, Sort)] {
    use Sort::*;
    match theme {
        Theme::Chaos => &[
            (20, Grant),
            (25, Cut),
            (8, Stall),
            (8, Toggle),
            (5, Leave),
            (6, BreakBus),
            (3, StopBus),
            (2, Garble),
            (5, LoseMemory),
            (5, LoseDirectory),
            (5, Kill),
            (5, Drain),
        ],
        Theme::Roles => &[
            (60, Grant),
            (20, Cut),
            (2, Stall),
            (5, Toggle),
            (3, Leave),
            (1, BreakBus),
            (6, LoseDirectory),
            (2, Kill),
        ],
        Theme::Links => &[
            (10, Grant),
            (60, Cut),
            (4, Stall),
            (6, Toggle),
            (4, Leave),
            (3, LoseMemory),
            (2, Kill),
            (2, Drain),
        ],
        Theme::Bus => &[
            (10, Grant),
            (25, Cut),
            (15, BreakBus),
            (6, StopBus),
            (5, Garble),
            (3, LoseMemory),
            (3, Kill),
            (1, Drain),
        ],
        Theme::Slow => {
            &[(10, Grant), (10, Cut), (30, Stall), (3, Toggle), (1, BreakBus), (1, Kill), (1, Drain)]
        }
        Theme::Rolling => &[],
    }
}

fn trouble(random: &mut Random, theme: Theme, setting: &Setting) -> Option<Action> {
    let client = random.below(setting.clients.len());
    let place = random.below(setting.places);
    Some(match random.weighted(weights(theme))? {
        Sort::Grant => Action::Grant {
            project: usize::from(random.percent(25)),
            user: random.below(USERS),
            role: random.pick(&GRANTS)?,
            holds: random.percent(50),
            told_after: if random.percent(50) { Duration::ZERO } else { random.millis(0, 300) },
        },
        Sort::Cut => {
            let at_once = random.percent(40);
            let (client_notices, server_notices) = if at_once {
                (random.millis(0, 200), random.millis(0, 200))
            } else {
                (random.millis(0, 20_000), random.millis(0, 20_000))
            };
            Action::Cut { client, swallows: random.percent(60), client_notices, server_notices }
        }
        Sort::Stall => Action::Stall { client, lasts: random.millis(500, 15_000) },
        Sort::Toggle => {
            let interests = setting.clients.get(client).map_or(1, |client| client.interests.len());
            Action::Toggle { client, interest: random.below(interests) }
        }
        Sort::Leave => Action::Leave { client, back_after: random.millis(0, 5_000) },
        Sort::BreakBus => Action::BreakBus { place, lasts: random.millis(50, 4_000) },
        Sort::StopBus => Action::StopBus { lasts: random.millis(50, 5_000) },
        Sort::Garble => Action::Garble { project: usize::from(random.percent(25)) },
        Sort::LoseMemory => Action::LoseMemory { lasts: random.millis(500, 15_000) },
        Sort::LoseDirectory => Action::LoseDirectory { lasts: random.millis(200, 10_000) },
        Sort::Kill => Action::Kill { place, back_after: random.millis(100, 6_000) },
        Sort::Drain => {
            Action::Drain { place, window: random.millis(300, 6_000), back_after: random.millis(0, 6_000) }
        }
    })
}

fn publish(random: &mut Random, count: usize) -> Option<Action> {
    let granted = random.pick(&GRANTS)?;
    let user = random.below(USERS);
    Some(Action::Publish {
        project: usize::from(random.percent(25)),
        channel: random.pick(&CHANNELS)?,
        audience: random.weighted(&[
            (5, Audience::Any),
            (2, Audience::Users),
            (1, Audience::Guests),
            (2, Audience::User(user)),
            (5, Audience::Granted(granted)),
        ])?,
        number: random.below(100) as u64,
        document: random.below(8) as u64,
        count,
        filling: if random.percent(10) { random.below(2_000) } else { random.below(60) },
        copies: if random.percent(3) { 2 } else { 1 },
    })
}
