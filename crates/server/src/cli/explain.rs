//! `realtime explain`: what would be made of an event, and whether somebody would get it and why.

use bytes::Bytes;
use clap::{Arg, ArgGroup, ArgMatches, Command};
use realtime_core::channel::{Channel, convert};
use realtime_core::id::{EventId, ProjectId, UserId};
use realtime_core::identity::{Identity, roles_of};
use realtime_core::index::Subscription;
use realtime_core::query::{Filter, Limits};
use realtime_core::role::Role;
use realtime_core::verdict::Verdict;
use realtime_protocol::appwrite::envelope::{self, Envelope};
use realtime_protocol::appwrite::publish::{self, Stamp};
use realtime_protocol::appwrite::system_event::{Context, Outcome};
use serde_json::json;

use super::event::several;
use super::{
    Failure, database_settings, entity, event, given, json_arg, layers, say, say_json, text, texts,
    with_database,
};
use crate::config::Config;

pub(super) fn command() -> Command {
    database_settings(
        Command::new("explain").about("Say what becomes of an event, and whether a client would get it and why").after_help(
            "Examples:\n  realtime explain --event users.alice.update --payload '{\"$id\":\"alice\"}'\n  \
             realtime explain --event databases.d.collections.c.documents.x.create --payload '{\"$id\":\"x\"}' \\\n    \
             --permission 'read(\"users\")' --user alice --listen documents\n\n\
             Nothing is sent: this reads the embedded database and works the answer out.",
        ),
    )
    .args(event::args())
    .args([
        entity::project_arg(),
        Arg::new("user").long("user").value_name("ID").help("Would this user get it? Without one: would a guest?"),
        several("client_channel", "CHANNEL", "A channel that the client listens to").long("listen"),
        several("query", "JSON", "A query of the client's subscription"),
        json_arg(),
    ])
    .group(ArgGroup::new("what").args(["event", "channel"]).required(true).multiple(true))
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let config = Config::resolve(&layers(matches)?)?;
    let id = ProjectId::new(text(matches, "project").unwrap_or_default());
    with_database(matches, async |embedded| {
        let directory = embedded.directory(&config)?;
        let project = directory
            .project(&id)
            .await?
            .ok_or_else(|| Failure(format!("there is no project {id}; see `realtime project list`")))?;
        let identity = match text(matches, "user") {
            None => Identity::guest(),
            Some(user) => {
                let standing = directory.refresh(&project, &UserId::new(user)).await?;
                let standing = standing.ok_or_else(|| {
                    Failure(format!("there is no user {user} in {id}; see `realtime user list`"))
                })?;
                Identity { account: Some(standing.account), ..Identity::guest() }
            }
        };
        let context =
            Context { project: &id, team: project.team.as_ref(), legacy_channels: config.legacy_channels };
        let envelopes = match derive(matches, &context)? {
            Outcome::Published(envelopes) => envelopes,
            Outcome::Unpublished(reason) => {
                let verdict = format!("not published: {reason}");
                match given(matches, "json") {
                    true => say_json(&json!({ "published": false, "delivered": false, "verdict": verdict })),
                    false => say(&verdict),
                }
                return Ok(());
            }
        };
        explain(matches, &id, &identity, &envelopes)
    })
}

/// What publishing would make of the event.
fn derive(matches: &ArgMatches, context: &Context<'_>) -> Result<Outcome<Vec<Envelope>>, Failure> {
    let body = Bytes::from(event::event(matches)?.to_string());
    let id = EventId::new("explained");
    let stamp = Stamp { timestamp: "1970-01-01T00:00:00.000+00:00", id: &id };
    let mut all = Vec::new();
    for publication in publish::parse(&body)? {
        match publication.envelopes(context, &stamp)? {
            Outcome::Published(made) => all.extend(made),
            Outcome::Unpublished(reason) => return Ok(Outcome::Unpublished(reason)),
        }
    }
    Ok(Outcome::Published(all))
}

/// Prints the event and the verdict for each project that it is published in.
fn explain(
    matches: &ArgMatches,
    project: &ProjectId,
    identity: &Identity,
    envelopes: &[Envelope],
) -> Result<(), Failure> {
    let asked: Vec<Channel> = texts(matches, "client_channel").iter().map(Channel::new).collect();
    let filter = Filter::parse(&texts(matches, "query"), &Limits::default())?;
    let subscription = Subscription::new("client".into(), convert(&asked, identity.user()).into(), filter);
    let roles: Vec<Role> = match &identity.account {
        Some(account) => roles_of(account),
        None => identity.roles(),
    };
    for made in envelopes {
        let event = envelope::decode(&made.encode())?;
        let verdict = Verdict::of(&event, project, roles.iter(), std::iter::once(&subscription));
        if !given(matches, "json") {
            tell(made, project, &roles, &subscription, &verdict);
            continue;
        }
        say_json(&json!({
            "published": true,
            "project": made.project.as_str(),
            "names": made.events,
            "channels": made.channels,
            "roles": made.roles.iter().map(Role::as_str).collect::<Vec<_>>(),
            "rolesChanged": event.roles_changed.as_ref().map(ToString::to_string),
            "delivered": matches!(verdict, Verdict::Delivered { .. }),
            "verdict": verdict.to_string(),
            "client": {
                "project": project.as_str(),
                "channels": subscription.channels.iter().map(Channel::as_str).collect::<Vec<_>>(),
                "roles": roles.iter().map(Role::as_str).collect::<Vec<_>>(),
                "queries": subscription.filter.canonical(),
            },
        }));
    }
    Ok(())
}

/// The event's side of each comparison, and the client's.
fn tell(
    made: &Envelope,
    project: &ProjectId,
    roles: &[Role],
    subscription: &Subscription,
    verdict: &Verdict,
) {
    let wanted: Vec<&str> = made.roles.iter().map(Role::as_str).collect();
    let held: Vec<&str> = roles.iter().map(Role::as_str).collect();
    let channels: Vec<&str> = subscription.channels.iter().map(Channel::as_str).collect();
    let queries = subscription.filter.canonical().join(" and ");
    say(&format!("event     {}", made.events.first().map_or("(no name)", String::as_str)));
    say(&format!("  project   {}", made.project));
    say(&format!("  channels  {}", made.channels.join(", ")));
    say(&format!("  roles     {}", wanted.join(", ")));
    say("client");
    say(&format!("  project   {project}"));
    say(&format!("  roles     {}", held.join(", ")));
    if channels.is_empty() {
        say("Name a channel with --listen to see whether the client would get it.");
        return;
    }
    say(&format!("  channels  {}", channels.join(", ")));
    say(&format!("  queries   {}", if queries.is_empty() { "(none)" } else { &queries }));
    say(&format!("verdict   {verdict}"));
}
