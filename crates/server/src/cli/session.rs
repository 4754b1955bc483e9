//! `realtime session`: sessions of users in the embedded database.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command};
use realtime_core::id::{ProjectId, UserId};
use serde_json::json;

use super::{Failure, entity, text, with_database};
use crate::config::parse_duration;

pub(super) fn command() -> Command {
    let create = Command::new("create").about("Log a user in; its token is shown this once").args([
        entity::project_arg(),
        Arg::new("user").long("user").required(true).value_name("ID").help("The user"),
        lasts_arg("365d"),
    ]);
    entity::command(
        "session",
        "Sessions: what a logged-in client shows",
        "  realtime session create --project demo --user alice\n  realtime session list\n  realtime session remove ID",
        [
            create,
            Command::new("list").about("List sessions").arg(entity::project_arg()),
            entity::remove("session").arg(entity::project_arg()),
        ],
    )
}

/// `--lasts`.
pub(super) fn lasts_arg(default: &'static str) -> Arg {
    let arg = Arg::new("lasts")
        .long("lasts")
        .value_name("TIME")
        .help("For how long it is good, such as 15m or 30d");
    if default.is_empty() { arg } else { arg.default_value(default) }
}

/// What `--lasts` says.
pub(super) fn lasts(matches: &ArgMatches) -> Result<Option<Duration>, Failure> {
    let Some(text) = text(matches, "lasts") else { return Ok(None) };
    match parse_duration(text) {
        Some(duration) => Ok(Some(duration)),
        None => Err(Failure(format!("{text:?} is no time; say a number with s, m, h or d, such as 15m"))),
    }
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((verb, matches)) = matches.subcommand() else { return Ok(()) };
    let project = ProjectId::new(text(matches, "project").unwrap_or_default());
    let lasts = lasts(matches)?.unwrap_or_default();
    with_database(matches, async |embedded| {
        let database = embedded.database;
        match (verb, text(matches, "id")) {
            ("create", _) => {
                let user = UserId::new(text(matches, "user").unwrap_or_default());
                let session = database.create_session(&project, &user, lasts).await?;
                let facts = json!({
                    "id": session.id,
                    "user": user.as_str(),
                    "token": session.token.expose(),
                    "expires": session.expires.to_string(),
                });
                entity::made(matches, "session", &facts);
            }
            ("remove", Some(id)) => {
                let is_there =
                    async || Ok(database.sessions(&project).await?.iter().any(|entry| entry.id == id));
                let remove = async || database.remove_session(&project, id).await;
                entity::remove_one(matches, "session", id, is_there, remove).await?;
            }
            _ => {
                let sessions = database.sessions(&project).await?;
                let entries: Vec<_> = sessions
                    .iter()
                    .map(|session| json!({ "id": session.id, "user": session.user.as_str(), "expires": session.expires }))
                    .collect();
                entity::list(matches, &entries);
            }
        }
        Ok::<_, Failure>(())
    })
}
