//! The server with real clients, and beside the real services of an Appwrite installation, each started by the test on
//! a port of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic"
)]

#[path = "services/appwrite.rs"]
mod appwrite;
#[path = "services/certificate.rs"]
mod certificate;
#[path = "services/clients.rs"]
mod clients;
#[path = "services/console_tail.rs"]
mod console_tail;
#[path = "services/credentials.rs"]
mod credentials;
#[path = "services/cutter.rs"]
mod cutter;
#[path = "services/durable.rs"]
mod durable;
#[path = "services/faults.rs"]
mod faults;
#[path = "services/internal.rs"]
mod internal;
#[path = "services/limits.rs"]
mod limits;
#[path = "services/mariadb_server.rs"]
mod mariadb_server;
#[path = "services/nats.rs"]
mod nats;
#[path = "services/nats_server.rs"]
mod nats_server;
#[path = "services/neighbour.rs"]
mod neighbour;
#[path = "services/node.rs"]
mod node;
#[path = "services/postgres_server.rs"]
mod postgres_server;
#[path = "services/presence.rs"]
mod presence;
#[path = "services/pressure.rs"]
mod pressure;
#[path = "services/proxies.rs"]
mod proxies;
#[path = "services/publishing.rs"]
mod publishing;
#[path = "services/redis.rs"]
mod redis;
#[path = "services/redis_many.rs"]
mod redis_many;
#[path = "services/redis_server.rs"]
mod redis_server;
#[path = "services/resume.rs"]
mod resume;
#[path = "services/rolling.rs"]
mod rolling;
#[path = "services/soak.rs"]
mod soak;
#[path = "services/storm.rs"]
mod storm;
#[path = "services/ten_thousand.rs"]
mod ten_thousand;
#[path = "services/world.rs"]
mod world;
