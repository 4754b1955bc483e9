//! The `realtime` binary.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "bootstrap")]

use std::sync::Arc;
use std::time::Duration;

use realtime_core::project::Platform;
use realtime_core::secret::Secret;
use realtime_core::settings::Settings as EngineSettings;
use realtime_protocol::appwrite::Appwrite as Codec;
use realtime_server::admission::AddressLimits;
use realtime_server::bus::memory::Memory;
use realtime_server::directory::appwrite::{Appwrite, AppwriteSettings};
use realtime_server::directory::appwrite_jwt::AppwriteJwt;
use realtime_server::directory::cipher::Cipher;
use realtime_server::directory::clock::SystemClock;
use realtime_server::directory::sqlite::{NewUser, Sqlite};
use realtime_server::http::{dev::Dev, ingest};
use realtime_server::node::{Node, Settings};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(run());
}

async fn run() {
    let args: Vec<String> = std::env::args().collect();
    let opt = |name: &str| args.iter().position(|a| a == name).map(|i| args[i + 1].clone());
    let dir = std::path::PathBuf::from(opt("--data-dir").unwrap());
    std::fs::create_dir_all(&dir).unwrap();
    let key = Secret::new("bootstrap-key-0123456789");
    let db = Sqlite::open(&dir.join("realtime.db"), Cipher::new(&key), Arc::new(SystemClock)).await.unwrap();
    let project = opt("--project").unwrap_or("demo".into()).as_str().into();
    let lasts = Duration::from_secs(86_400 * 365);
    match (args[1].as_str(), args.get(2).map_or("", String::as_str)) {
        ("project", "create") => {
            db.create_project(opt("--id").as_deref(), "p", None).await.unwrap();
        }
        ("key", "create") => {
            let made = db.create_key(&project, None, "k", &["events.write".to_owned()], None).await.unwrap();
            println!("{}", json!({"id": made.id, "secret": made.secret.expose()}));
        }
        ("platform", "create") => {
            let platform = Platform { kind: "web".into(), hostname: opt("--hostname").unwrap(), ..Platform::default() };
            db.create_platform(&project, None, "web", &platform).await.unwrap();
        }
        ("user", "create") => {
            db.create_user(&project, &NewUser { id: opt("--id"), email: opt("--email"), ..NewUser::default() }).await.unwrap();
        }
        ("session", "create") => {
            let made = db.create_session(&project, &opt("--user").unwrap().as_str().into(), lasts).await.unwrap();
            println!("{}", json!({"id": made.id, "token": made.token.expose()}));
        }
        (verb, _) => {
            let mut facts = json!({});
            let jwt = AppwriteJwt::new(key);
            if verb == "dev" {
                let _ = db.create_project(Some("demo"), "Demo", None).await;
                let _ = db.create_user(&project, &NewUser { id: Some("alice".into()), email: Some("alice@example.com".into()), verified: true, name: "Alice".into(), ..NewUser::default() }).await;
                let session = db.create_session(&project, &"alice".into(), lasts).await.unwrap();
                let key = db.create_key(&project, None, "k", &["events.write".to_owned()], None).await.unwrap();
                let platform = Platform { kind: "web".into(), hostname: "localhost".into(), ..Platform::default() };
                let _ = db.create_platform(&project, None, "web", &platform).await;
                let token = jwt.issue(&"alice".into(), Some(&session.id), jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).unwrap();
                let endpoint = format!("http://{}/v1", opt("--listen").unwrap());
                facts = json!({"endpoint": endpoint, "project": "demo", "apiKey": key.secret.expose(),
                    "user": {"id": "alice", "session": session.token.expose(), "jwt": token.expose()},
                    "page": endpoint.replace("/v1", "/"), "dataDir": dir});
            }
            let node = Node::start(
                Settings {
                    listen: opt("--listen").unwrap().parse().unwrap(),
                    shards: 2,
                    engine: EngineSettings::default(),
                    addresses: AddressLimits::default(),
                    trusted_headers: vec![],
                    codec: Arc::new(Codec::default()),
                    max_message: 64_000,
                    max_head: 65_536,
                    head_timeout: Duration::from_secs(10),
                    publish: ingest::Settings { max_body: 64 << 20, legacy_channels: true, trusted_headers: vec![] },
                    drain: Duration::from_secs(1),
                    dev: (verb == "dev").then(|| Dev { facts: facts.to_string() }),
                },
                Arc::new(Appwrite::sqlite(db, AppwriteSettings::new(jwt))),
                Arc::new(Memory::default()),
            )
            .unwrap();
            println!("{facts}");
            tokio::signal::ctrl_c().await.unwrap();
            node.stop().await;
        }
    }
}
