//! `realtime project`: tenants of the embedded database.

use clap::{Arg, ArgMatches, Command};
use realtime_core::id::{ProjectId, TeamId};
use serde_json::json;

use super::{Failure, entity, text, with_database, with_database_made};
use crate::directory::sqlite::Sqlite;

pub(super) fn command() -> Command {
    let create = Command::new("create").about("Create a project").args([
        entity::id_arg(),
        Arg::new("name").long("name").value_name("NAME").help("What to call it"),
        Arg::new("team").long("team").value_name("ID").help("Team of the console that owns it"),
    ]);
    entity::command(
        "project",
        "Projects: tenants that events and connections belong to",
        "  realtime project create --id shop --name 'My shop'\n  realtime project list --json\n  \
         realtime project remove shop --dry-run",
        [create, Command::new("list").about("List projects"), entity::remove("project")],
    )
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((verb, matches)) = matches.subcommand() else { return Ok(()) };
    if verb == "create" {
        return with_database_made(matches, async |embedded| create(matches, &embedded.database).await);
    }
    with_database(matches, async |embedded| {
        let database = embedded.database;
        match (verb, text(matches, "id")) {
            ("remove", Some(id)) => {
                let is_there =
                    async || Ok(database.projects().await?.iter().any(|entry| entry.id.as_str() == id));
                let remove = async || database.remove_project(&ProjectId::new(id)).await;
                entity::remove_one(matches, "project", id, is_there, remove).await?;
            }
            _ => {
                let projects = database.projects().await?;
                let entries: Vec<_> = projects
                    .iter()
                    .map(|project| {
                        let team = project.team.as_ref().map(TeamId::as_str);
                        json!({ "id": project.id.as_str(), "name": project.name, "team": team })
                    })
                    .collect();
                entity::list(matches, &entries);
            }
        }
        Ok::<_, Failure>(())
    })
}

async fn create(matches: &ArgMatches, database: &Sqlite) -> Result<(), Failure> {
    let id = text(matches, "id");
    let team = text(matches, "team").map(TeamId::new);
    let name = text(matches, "name").or(id).unwrap_or("Project");
    let project = database.create_project(id, name, team.as_ref()).await?;
    entity::made(matches, "project", &json!({ "id": project.id.as_str(), "name": project.name }));
    Ok(())
}
