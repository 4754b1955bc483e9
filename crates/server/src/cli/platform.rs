//! `realtime platform`: clients that a project's owner registered, which are its allowed origins.

use clap::{Arg, ArgMatches, Command};
use realtime_core::id::ProjectId;
use realtime_core::project::Platform;
use serde_json::{Value, json};

use super::{Failure, entity, text, with_database};
use crate::directory::sqlite::PlatformEntry;

pub(super) fn command() -> Command {
    let create = Command::new("create").about("Register a client").args([
        entity::project_arg(),
        entity::id_arg(),
        Arg::new("type")
            .long("type")
            .value_name("TYPE")
            .default_value("web")
            .help("web, flutter-web, android, apple, windows, linux, scheme, …"),
        Arg::new("name").long("name").value_name("NAME").help("What to call it"),
        Arg::new("hostname")
            .long("hostname")
            .value_name("HOST")
            .help("Host of a web page; may begin with `*.`"),
        Arg::new("key").long("key").value_name("KEY").help("Bundle or package name of an app, or the scheme"),
    ]);
    entity::command(
        "platform",
        "Platforms: web pages and apps that may connect to a project",
        "  realtime platform create --project demo --type web --hostname app.example.com\n  \
         realtime platform create --project demo --type android --key com.example.app\n  realtime platform list",
        [
            create,
            Command::new("list").about("List platforms").arg(entity::project_arg()),
            entity::remove("platform").arg(entity::project_arg()),
        ],
    )
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((verb, matches)) = matches.subcommand() else { return Ok(()) };
    let project = ProjectId::new(text(matches, "project").unwrap_or_default());
    with_database(matches, async |embedded| {
        let database = embedded.database;
        match (verb, text(matches, "id")) {
            ("create", id) => {
                let platform = Platform {
                    kind: text(matches, "type").unwrap_or("web").to_owned(),
                    hostname: text(matches, "hostname").unwrap_or_default().to_owned(),
                    key: text(matches, "key").unwrap_or_default().to_owned(),
                };
                let name = text(matches, "name").unwrap_or(&platform.kind);
                let platform = database.create_platform(&project, id, name, &platform).await?;
                entity::made(matches, "platform", &facts(&platform));
            }
            ("remove", Some(id)) => {
                let is_there =
                    async || Ok(database.platforms(&project).await?.iter().any(|entry| entry.id == id));
                let remove = async || database.remove_platform(&project, id).await;
                entity::remove_one(matches, "platform", id, is_there, remove).await?;
            }
            _ => {
                let entries: Vec<_> = database.platforms(&project).await?.iter().map(facts).collect();
                entity::list(matches, &entries);
            }
        }
        Ok::<_, Failure>(())
    })
}

fn facts(entry: &PlatformEntry) -> Value {
    json!({
        "id": entry.id,
        "name": entry.name,
        "type": entry.platform.kind,
        "hostname": entry.platform.hostname,
        "key": entry.platform.key,
    })
}
