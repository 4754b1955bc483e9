//! `realtime team`: teams of a project and who is in them.

use clap::{Arg, ArgAction, ArgMatches, Command};
use realtime_core::id::{MembershipId, ProjectId, TeamId, UserId};
use serde_json::{Value, json};

use super::{Failure, entity, given, text, texts, with_database};
use crate::directory::sqlite::{MembershipEntry, NewMembership};

pub(super) fn command() -> Command {
    let project = entity::project_arg;
    let create = Command::new("create").about("Create a team").args([
        project(),
        entity::id_arg(),
        Arg::new("name").long("name").value_name("NAME").help("What to call it"),
    ]);
    let add = Command::new("add-member").about("Make a user a member of a team").args([
        project(),
        entity::id_arg(),
        Arg::new("team").long("team").required(true).value_name("ID").help("The team"),
        Arg::new("user").long("user").required(true).value_name("ID").help("The user"),
        Arg::new("role")
            .long("role")
            .value_name("ROLE")
            .action(ArgAction::Append)
            .help("A role in it, such as owner; may be given several times"),
        Arg::new("unconfirmed")
            .long("unconfirmed")
            .action(ArgAction::SetTrue)
            .help("Only invited: it grants nothing yet"),
    ]);
    let remove_member =
        entity::remove("membership").name("remove-member").about("End a membership").arg(project());
    entity::command(
        "team",
        "Teams of a project and their members",
        "  realtime team create --id red --name 'Red team'\n  \
         realtime team add-member --team red --user alice --role owner\n  realtime team members\n  realtime team list",
        [
            create,
            Command::new("list").about("List teams").arg(project()),
            entity::remove("team").arg(project()),
            add,
            Command::new("members").about("List memberships").arg(project()),
            remove_member,
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
                let name = text(matches, "name").or(id).unwrap_or("Team");
                let team = database.create_team(&project, id, name).await?;
                entity::made(matches, "team", &json!({ "id": team.id.as_str(), "name": team.name }));
            }
            ("remove", Some(id)) => {
                let is_there =
                    async || Ok(database.teams(&project).await?.iter().any(|entry| entry.id.as_str() == id));
                let remove = async || database.remove_team(&project, &TeamId::new(id)).await;
                entity::remove_one(matches, "team", id, is_there, remove).await?;
            }
            ("add-member", id) => {
                let membership = NewMembership {
                    id: id.map(str::to_owned),
                    team: TeamId::new(text(matches, "team").unwrap_or_default()),
                    user: UserId::new(text(matches, "user").unwrap_or_default()),
                    roles: texts(matches, "role"),
                    confirmed: !given(matches, "unconfirmed"),
                };
                let membership = database.create_membership(&project, &membership).await?;
                entity::made(matches, "membership", &facts(&membership));
            }
            ("members", _) => {
                let entries: Vec<_> = database.memberships(&project).await?.iter().map(facts).collect();
                entity::list(matches, &entries);
            }
            ("remove-member", Some(id)) => {
                let is_there = async || {
                    Ok(database.memberships(&project).await?.iter().any(|entry| entry.id.as_str() == id))
                };
                let remove = async || database.remove_membership(&project, &MembershipId::new(id)).await;
                entity::remove_one(matches, "membership", id, is_there, remove).await?;
            }
            _ => {
                let teams = database.teams(&project).await?;
                let entries: Vec<_> = teams
                    .iter()
                    .map(|team| json!({ "id": team.id.as_str(), "name": team.name, "members": team.members }))
                    .collect();
                entity::list(matches, &entries);
            }
        }
        Ok::<_, Failure>(())
    })
}

fn facts(membership: &MembershipEntry) -> Value {
    json!({
        "id": membership.id.as_str(),
        "team": membership.team.as_str(),
        "user": membership.user.as_str(),
        "roles": membership.roles,
        "confirmed": membership.confirmed,
    })
}
