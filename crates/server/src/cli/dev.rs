//! `realtime dev`: a server with a demo project, credentials to try it with, and a page that shows events.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Command};
use jiff::{SignedDuration, Timestamp};
use realtime_core::id::{ProjectId, UserId};
use realtime_core::identity::Credential;
use realtime_core::project::Platform;
use realtime_core::secret::Secret;
use serde_json::{Value, json};
use tracing::warn;

use super::serve::Told;
use super::{Failure, given, json_arg, layers, runtime, say, say_json, serve, settings};
use crate::bus::memory::Memory;
use crate::config::layer::Source;
use crate::config::{Config, Internal};
use crate::directory::sqlite::{NewUser, SqliteError};
use crate::embedded::{Embedded, write_private};
use crate::http::dev::Dev;
use crate::http::ingest::SCOPE;
use crate::node::{Node, Settings};
use crate::telemetry;

const PROJECT: &str = "demo";
const USER: &str = "alice";
/// Where the credentials of the demo are kept, so that a second start shows the same ones.
const CREDENTIALS: &str = "dev.json";
/// Any free port, for nobody but this machine.
const ANY_OF_THIS_MACHINE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// How long the demo's session lasts.
const SESSION: Duration = Duration::from_secs(365 * 86_400);
/// How long the demo's ready-made JWT lasts: what Appwrite allows at most.
const JWT: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn command() -> Command {
    settings(
        Command::new("dev").about("Try it: a server with a demo project and a page that shows live events").after_help(
            "Examples:\n  realtime dev\n  realtime dev --listen 127.0.0.1:9000 --data-dir ./try\n\n\
             Everything is kept in the data folder; remove the folder to begin anew. For your own machine only: the \
             page gives the demo's credentials to whoever can reach the port.",
        ),
    )
    .arg(json_arg())
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let config = for_this_machine(matches)?;
    telemetry::start(&config.log);
    runtime()?.block_on(async {
        let told = Told::new()?;
        let embedded = Embedded::open(&config).await?;
        let address = free_address(config.listen)?;
        let internal = internal(&config, address)?;
        let facts = facts(&config, &embedded, address, internal.as_ref()).await?;
        let config = Config { listen: address, internal, ..config };
        if !address.ip().is_loopback() {
            warn!(%address, "others can reach this address, and the page gives the demo's credentials to all who do");
        }
        let settings = Settings { dev: Some(Dev { facts: facts.to_string() }), ..config.node() };
        let settings = serve::with_projects(settings, &embedded);
        let node = Node::start(settings, embedded.directory(&config)?, Arc::new(Memory::default()))?;
        if given(matches, "json") {
            say_json(&facts)
        } else {
            greet(&facts)
        }
        serve::until_told_to_stop(told, node).await;
        embedded.database.close().await;
        Ok(())
    })
}

/// The configuration, but PORT does not open the demo's credentials to the network: it may be meant for something else.
fn for_this_machine(matches: &ArgMatches) -> Result<Config, Failure> {
    let layers = layers(matches)?;
    let mut config = Config::resolve(&layers)?;
    if *layers.get("listen").1 == Source::Variable("PORT") {
        config.listen.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    if *layers.get("internal.listen").1 == Source::Default {
        let key = Some(layers.get("internal.key").0).filter(|key| !key.is_empty()).map(Secret::new);
        config.internal = Some(Internal { listen: ANY_OF_THIS_MACHINE, key });
    }
    Ok(config)
}

/// The address to listen on, with a free port in place of port 0: the page is told it before the server starts.
fn free_address(listen: SocketAddr) -> Result<SocketAddr, Failure> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    Ok(TcpListener::bind(listen)?.local_addr()?)
}

/// The port for operators: the one after that for clients, if nobody has it, unless another one was said.
fn internal(config: &Config, clients: SocketAddr) -> Result<Option<Internal>, Failure> {
    let Some(Internal { listen, key }) = config.internal.clone() else { return Ok(None) };
    let next = clients.port().checked_add(1).filter(|_| config.listen.port() != 0);
    let beside = next.map(|port| SocketAddr::new(listen.ip(), port));
    let listen = match beside {
        Some(beside) if listen == ANY_OF_THIS_MACHINE && TcpListener::bind(beside).is_ok() => beside,
        Some(_) | None => free_address(listen)?,
    };
    Ok(Some(Internal { listen, key }))
}

/// What there is to try it with, made if it is not there.
async fn facts(
    config: &Config,
    embedded: &Embedded,
    address: SocketAddr,
    internal: Option<&Internal>,
) -> Result<Value, Failure> {
    let path = config.data_dir.join(CREDENTIALS);
    let kept = match read(&path) {
        Some(kept) if still_good(config, embedded, &kept).await? => kept,
        Some(_) | None => {
            let made = populate(embedded).await?;
            write_private(&path, &made.to_string())?;
            made
        }
    };
    // Nobody can open a page on "every address".
    let host = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    let base = format!("http://{}", SocketAddr::new(host, address.port()));
    let text = |name: &str| kept.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let jwt = embedded.jwt.issue(&UserId::new(USER), Some(&text("sessionId")), Timestamp::now() + JWT)?;
    let folder = std::path::absolute(&config.data_dir)?;
    Ok(json!({
        "endpoint": format!("{base}/v1"),
        "project": PROJECT,
        "apiKey": text("apiKey"),
        "user": { "id": USER, "session": text("session"), "jwt": jwt.expose() },
        "page": format!("{base}/"),
        "console": internal.map(|internal| format!("http://{}/console/", internal.listen)),
        "dataDir": folder.display().to_string(),
    }))
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// Whether credentials from an earlier start still prove something: they run out, the database may be another one by
/// now, and so may the key that it is encrypted with.
async fn still_good(config: &Config, embedded: &Embedded, kept: &Value) -> Result<bool, Failure> {
    let secret = |name: &str| Secret::new(kept.get(name).and_then(Value::as_str).unwrap_or_default());
    let directory = embedded.directory(config)?;
    let Some(project) = directory.project(&ProjectId::new(PROJECT)).await? else { return Ok(false) };
    let key = directory.api_key(&project, &secret("apiKey")).await?;
    let user = directory.authenticate(&project, &Credential::Session(secret("session"))).await?;
    Ok(key.is_some() && user.is_some())
}

/// Makes the demo project and all that is in it.
async fn populate(embedded: &Embedded) -> Result<Value, Failure> {
    let database = &embedded.database;
    let project = ProjectId::new(PROJECT);
    unless_there(database.create_project(Some(PROJECT), "Demo", None).await)?;
    let user = NewUser {
        id: Some(USER.to_owned()),
        email: Some("alice@example.com".to_owned()),
        name: "Alice".to_owned(),
        verified: true,
        ..NewUser::default()
    };
    unless_there(database.create_user(&project, &user).await)?;
    let web = Platform { kind: "web".into(), hostname: "localhost".into(), ..Platform::default() };
    unless_there(database.create_platform(&project, Some("demo-web"), "Web", &web).await)?;
    let key = database.create_key(&project, None, "demo", &[SCOPE.to_owned()], None).await?;
    let session = database.create_session(&project, &UserId::new(USER), SESSION).await?;
    Ok(json!({
        "apiKey": key.secret.expose(),
        "session": session.token.expose(),
        "sessionId": session.id,
    }))
}

fn unless_there<T>(made: Result<T, SqliteError>) -> Result<(), Failure> {
    match made {
        Ok(_) | Err(SqliteError::Taken { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn greet(facts: &Value) {
    let text = |pointer: &str| facts.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (endpoint, page, key) = (text("/endpoint"), text("/page"), text("/apiKey"));
    let console = facts.pointer("/console").and_then(Value::as_str).unwrap_or("off");
    let socket = endpoint.replacen("http", "ws", 1);
    say(&format!(
        "\n  Realtime is running. Open this page to see events live and to send one:\n\n    {page}\n\n  \
         endpoint   {endpoint}   (project {PROJECT})\n  \
         websocket  {socket}/realtime?project={PROJECT}&channels[]=documents\n  \
         console    {console}\n  data       {}\n\n  User {USER}, session token:\n    {}\n\n  JWT, good for an hour:\n    {}\n\n  \
         Publish an event:\n    curl {endpoint}/realtime/events \\\n      -H 'X-Appwrite-Project: {PROJECT}' \\\n      \
         -H 'X-Appwrite-Key: {key}' \\\n      \
         -d '{{\"channels\":[\"documents\"],\"roles\":[\"any\"],\"payload\":{{\"hello\":\"world\"}}}}'\n\n  \
         Ctrl-C stops it.\n",
        text("/dataDir"),
        text("/user/session"),
        text("/user/jwt"),
    ));
}
