//! `realtime key`: API keys that let backends publish, and development keys that relax the origin check.

use clap::{Arg, ArgAction, ArgMatches, Command};
use realtime_core::id::ProjectId;
use serde_json::{Value, json};

use super::session::{lasts, lasts_arg};
use super::{Failure, entity, given, text, texts, with_database};
use crate::directory::sqlite::{KeyEntry, Sqlite, SqliteError};
use crate::http::ingest::SCOPE;

pub(super) fn command() -> Command {
    let dev = || {
        Arg::new("dev")
            .long("dev")
            .action(ArgAction::SetTrue)
            .help("A development key, which allows any web origin")
    };
    let create = Command::new("create").about("Create a key; its secret is shown this once").args([
        entity::project_arg(),
        entity::id_arg(),
        Arg::new("name").long("name").value_name("NAME").default_value("key").help("What to call it"),
        Arg::new("scope")
            .long("scope")
            .value_name("SCOPE")
            .action(ArgAction::Append)
            .help(format!("What it allows; may be given several times [default: {SCOPE}]")),
        lasts_arg(""),
        dev(),
    ]);
    entity::command(
        "key",
        "API keys, which let a backend publish",
        "  realtime key create --project demo --name backend\n  realtime key list\n  realtime key remove ID",
        [
            create,
            Command::new("list").about("List keys").args([entity::project_arg(), dev()]),
            entity::remove("key").args([entity::project_arg(), dev()]),
        ],
    )
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((verb, matches)) = matches.subcommand() else { return Ok(()) };
    let project = ProjectId::new(text(matches, "project").unwrap_or_default());
    let lasts = lasts(matches)?;
    let dev = given(matches, "dev");
    with_database(matches, async |embedded| {
        let database = embedded.database;
        match (verb, text(matches, "id")) {
            ("create", id) => {
                let name = text(matches, "name").unwrap_or("key");
                let mut scopes = texts(matches, "scope");
                if scopes.is_empty() {
                    scopes.push(SCOPE.to_owned());
                }
                let key = match dev {
                    true => database.create_dev_key(&project, id, name, lasts).await?,
                    false => database.create_key(&project, id, name, &scopes, lasts).await?,
                };
                let facts =
                    json!({ "id": key.id, "project": project.as_str(), "secret": key.secret.expose() });
                entity::made(matches, "key", &facts);
            }
            ("remove", Some(id)) => {
                let is_there =
                    async || Ok(keys(&database, &project, dev).await?.iter().any(|key| key.id == id));
                let remove = async || match dev {
                    true => database.remove_dev_key(&project, id).await,
                    false => database.remove_key(&project, id).await,
                };
                entity::remove_one(matches, "key", id, is_there, remove).await?;
            }
            _ => {
                let entries: Vec<_> = keys(&database, &project, dev).await?.iter().map(facts).collect();
                entity::list(matches, &entries);
            }
        }
        Ok::<_, Failure>(())
    })
}

async fn keys(database: &Sqlite, project: &ProjectId, dev: bool) -> Result<Vec<KeyEntry>, SqliteError> {
    if dev { database.dev_keys(project).await } else { database.keys(project).await }
}

fn facts(key: &KeyEntry) -> Value {
    json!({ "id": key.id, "name": key.name, "scopes": key.scopes, "expires": key.expires })
}
