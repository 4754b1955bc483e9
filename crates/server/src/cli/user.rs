//! `realtime user`: users of a project in the embedded database.

use clap::{Arg, ArgAction, ArgMatches, Command};
use realtime_core::id::{ProjectId, UserId};
use serde_json::{Value, json};

use super::{Failure, entity, given, text, texts, with_database};
use crate::directory::sqlite::{NewUser, UserChange, UserEntry};

pub(super) fn command() -> Command {
    let create = Command::new("create").about("Create a user").args([
        entity::project_arg(),
        entity::id_arg(),
        Arg::new("email").long("email").value_name("ADDRESS").help("Its e-mail address"),
        Arg::new("name").long("name").value_name("NAME").help("Its name"),
        label_arg(),
        Arg::new("verified")
            .long("verified")
            .action(ArgAction::SetTrue)
            .help("Its e-mail address is verified"),
        Arg::new("blocked").long("blocked").action(ArgAction::SetTrue).help("It may not connect"),
    ]);
    let update = Command::new("update").about("Change a user's labels, verification or block").args([
        Arg::new("id").required(true).value_name("ID"),
        entity::project_arg(),
        label_arg(),
        switch_arg("verified", "Whether its e-mail address is verified"),
        switch_arg("blocked", "Whether it may not connect"),
    ]);
    entity::command(
        "user",
        "Users of a project",
        "  realtime user create --project demo --id bob --email bob@example.com --label vip\n  \
         realtime user update bob --verified true\n  realtime user list\n  realtime user remove bob",
        [
            create,
            update,
            Command::new("list").about("List users").arg(entity::project_arg()),
            entity::remove("user").arg(entity::project_arg()),
        ],
    )
}

fn label_arg() -> Arg {
    Arg::new("label")
        .long("label")
        .value_name("LABEL")
        .action(ArgAction::Append)
        .help("A label; may be given several times")
}

fn switch_arg(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("true|false").value_parser(["true", "false"]).help(help)
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((verb, matches)) = matches.subcommand() else { return Ok(()) };
    let project = ProjectId::new(text(matches, "project").unwrap_or_default());
    with_database(matches, async |embedded| {
        let database = embedded.database;
        match (verb, text(matches, "id")) {
            ("create", id) => {
                let user = NewUser {
                    id: id.map(str::to_owned),
                    email: text(matches, "email").map(str::to_owned),
                    name: text(matches, "name").unwrap_or_default().to_owned(),
                    labels: texts(matches, "label"),
                    verified: given(matches, "verified"),
                    blocked: given(matches, "blocked"),
                };
                let user = database.create_user(&project, &user).await?;
                entity::made(matches, "user", &facts(&user));
            }
            ("update", Some(id)) => {
                let labels = texts(matches, "label");
                let switch = |name| text(matches, name).map(|value| value == "true");
                let change = UserChange {
                    labels: (!labels.is_empty()).then_some(labels),
                    verified: switch("verified"),
                    blocked: switch("blocked"),
                    impersonator: None,
                };
                database.update_user(&project, &UserId::new(id), &change).await?;
                entity::changed(matches, "user", &json!({ "id": id }));
            }
            ("remove", Some(id)) => {
                let is_there =
                    async || Ok(database.users(&project).await?.iter().any(|entry| entry.id.as_str() == id));
                let remove = async || database.remove_user(&project, &UserId::new(id)).await;
                entity::remove_one(matches, "user", id, is_there, remove).await?;
            }
            _ => {
                let entries: Vec<_> = database.users(&project).await?.iter().map(facts).collect();
                entity::list(matches, &entries);
            }
        }
        Ok::<_, Failure>(())
    })
}

fn facts(user: &UserEntry) -> Value {
    json!({
        "id": user.id.as_str(),
        "email": user.email,
        "name": user.name,
        "labels": user.labels,
        "verified": user.verified,
        "blocked": user.blocked,
    })
}
