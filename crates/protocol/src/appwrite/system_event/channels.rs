//! Where an event is heard: its channels, whose read permission counts, and on which project's connections.

use realtime_core::channel::Action;
use realtime_core::id::{ProjectId, TeamId, UserId};

use super::name::EventName;

/// Where an event goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Base channels, then their action twins.
    pub(super) channels: Vec<String>,
    /// Names from before Appwrite 1.0 that today's Appwrite accepts and never publishes.
    pub(super) legacy: Vec<String>,
    /// Whose permission lets read it.
    pub(super) readers: Readers,
    /// Whose connections it is for.
    pub(super) destination: Destination,
    /// Whether the roles of the event's user are different from now on.
    pub(super) permissions_changed: bool,
    /// Why there are no channels, if there are none.
    pub(super) silence: Unpublished,
}

/// Whose permission lets read an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// One user.
    User(UserId),
    /// All members of a team.
    Team(TeamId),
    /// The team that owns the project.
    Owners,
    /// Who may read the collection, table or bucket, or, where that is switched on, the resource itself.
    Container,
    /// Who may read the resource itself.
    Own,
}

/// Whose connections an event is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    /// The project's.
    Project,
    /// Those of Appwrite's web console.
    Console,
    /// Both; those of the console for the project's owners.
    Both,
}

/// Why an event is published to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unpublished {
    /// A database itself changed.
    #[error("events of databases themselves have no channel; those of their documents and rows have")]
    Database,
    /// A collection or table itself changed, and the old channels are switched off.
    #[error("events of collections and tables themselves have only legacy channels, which are switched off")]
    Collection,
    /// A bucket itself changed.
    #[error("events of buckets themselves have no channel; those of their files have")]
    Bucket,
    /// A function itself changed, and the old channels are switched off.
    #[error("events of functions themselves have only legacy channels, which are switched off")]
    Function,
    /// Appwrite gives this family no channel at all: sites, messaging, variables.
    #[error(
        "events of this kind have no channel in Appwrite; publish with explicit channels and roles instead"
    )]
    Family,
    /// Nobody may read it.
    #[error(
        "nobody may read it: give `permissions` a read entry such as read(\"any\"), or put it in the payload's \
         `$permissions`, or give the container's in `resourcePermissions`"
    )]
    NoReaders,
    /// It happened in Appwrite's console project.
    #[error("events of the console project itself are not published, presences excepted")]
    ConsoleProject,
}

/// Where an event goes, before anybody's permission is looked at.
pub(super) fn route(name: &EventName, project: &ProjectId) -> Route {
    let ids: Vec<&str> = name.resources.iter().map(|resource| resource.id.as_str()).collect();
    match (name.kinds().as_slice(), ids.as_slice()) {
        (["users", ..], [user, ..]) => Route::with(
            Readers::User(UserId::new(user)),
            twinned(&["account".to_owned(), format!("account.{user}")], action(name)),
        ),
        (["teams", "memberships"], [team, member]) => Route {
            permissions_changed: action(name).is_some(),
            ..Route::with(
                Readers::Team(TeamId::new(team)),
                twinned(&["memberships".to_owned(), format!("memberships.{member}")], action(name)),
            )
        },
        (["teams"], [team]) => Route {
            permissions_changed: action(name) == Some(Action::Create),
            ..Route::with(
                Readers::Team(TeamId::new(team)),
                twinned(&["teams".to_owned(), format!("teams.{team}")], action(name)),
            )
        },
        (["rules" | "migrations" | "projects", ..] | ["functions" | "sites", "deployments"], _) => {
            console(project)
        }
        (
            [
                "databases" | "tablesdb" | "documentsdb" | "vectorsdb",
                "collections" | "tables",
                "attributes" | "columns" | "indexes",
            ],
            _,
        ) => console(project),
        (
            [
                family @ ("databases" | "tablesdb" | "documentsdb" | "vectorsdb"),
                "collections" | "tables",
                "documents" | "rows",
            ],
            [database, collection, document],
        ) => Route {
            legacy: vec![format!("collections.{collection}.documents"), format!("documents.{document}")],
            ..Route::with(
                Readers::Container,
                twinned(&document_channels(family, database, collection, document), action(name)),
            )
        },
        (
            ["databases" | "tablesdb" | "documentsdb" | "vectorsdb", "collections" | "tables"],
            [_, collection],
        ) => Route {
            legacy: vec!["collections".to_owned(), format!("collections.{collection}")],
            ..Route::without_channels(Unpublished::Collection)
        },
        (["databases" | "tablesdb" | "documentsdb" | "vectorsdb"], _) => {
            Route::without_channels(Unpublished::Database)
        }
        (["buckets", "files"], [bucket, file]) => Route {
            legacy: vec![format!("files.{file}")],
            ..Route::with(
                Readers::Container,
                twinned(
                    &[
                        "files".to_owned(),
                        format!("buckets.{bucket}.files"),
                        format!("buckets.{bucket}.files.{file}"),
                    ],
                    action(name),
                ),
            )
        },
        (["buckets"], _) => Route::without_channels(Unpublished::Bucket),
        (["functions", "executions"], [function, execution]) => {
            execution_route(project, function, execution, action(name))
        }
        (["functions"], [function]) => Route {
            legacy: vec!["functions".to_owned(), format!("functions.{function}")],
            ..Route::without_channels(Unpublished::Function)
        },
        (["reports"] | ["reports", "insights"], [report, insights @ ..]) => {
            let mut channels = vec!["reports".to_owned(), format!("reports.{report}")];
            if let [insight] = insights {
                channels.push(format!("reports.{report}.insights"));
                channels.push(format!("reports.{report}.insights.{insight}"));
            }
            Route::with(Readers::Owners, channels)
        }
        (["presences"], [presence]) => Route::with(
            Readers::Own,
            twinned(&["presences".to_owned(), format!("presences.{presence}")], action(name)),
        ),
        _ => Route::without_channels(Unpublished::Family),
    }
}

impl Route {
    fn with(readers: Readers, channels: Vec<String>) -> Self {
        Self {
            channels,
            legacy: Vec::new(),
            readers,
            destination: Destination::Project,
            permissions_changed: false,
            silence: Unpublished::Family,
        }
    }

    fn without_channels(silence: Unpublished) -> Self {
        Self { silence, ..Self::with(Readers::Own, Vec::new()) }
    }
}

/// What the project's owners hear of in the console. These channels have no action twins.
fn console(project: &ProjectId) -> Route {
    Route {
        destination: Destination::Console,
        ..Route::with(Readers::Owners, vec!["console".to_owned(), format!("projects.{project}")])
    }
}

/// Databases made before `tablesdb`, and `tablesdb` itself, are heard under either spelling; the newer ones only under
/// their own.
fn document_channels(family: &str, database: &str, collection: &str, document: &str) -> Vec<String> {
    let both = |container: String| [container.clone(), format!("{container}.{document}")];
    let mut channels = vec!["documents".to_owned()];
    if matches!(family, "databases" | "tablesdb") {
        channels.extend(both(format!("databases.{database}.collections.{collection}.documents")));
        channels.push("rows".to_owned());
        channels.extend(both(format!("databases.{database}.tables.{collection}.rows")));
        channels.extend(both(format!("tablesdb.{database}.tables.{collection}.rows")));
    } else {
        channels.extend(both(format!("{family}.{database}.collections.{collection}.documents")));
    }
    channels
}

/// An execution is heard by who may read it, and its later changes, which Appwrite's workers make, in the console too.
fn execution_route(project: &ProjectId, function: &str, execution: &str, action: Option<Action>) -> Route {
    let mut channels = vec!["console".to_owned(), format!("projects.{project}")];
    let base = ["executions".to_owned(), format!("executions.{execution}"), format!("functions.{function}")];
    channels.extend(twinned(&base, action));
    Route {
        legacy: vec![
            "functions".to_owned(),
            "functions.executions".to_owned(),
            format!("functions.executions.{execution}"),
        ],
        destination: if action == Some(Action::Update) { Destination::Both } else { Destination::Project },
        silence: Unpublished::NoReaders,
        ..Route::with(Readers::Own, channels)
    }
}

/// The channels, and after all of them their twins for the action.
fn twinned(base: &[String], action: Option<Action>) -> Vec<String> {
    let twins = action
        .into_iter()
        .flat_map(|action| base.iter().map(move |channel| format!("{channel}.{}", action.as_str())));
    base.iter().cloned().chain(twins).collect()
}

/// The action that channels are suffixed with: the last or the last but one word of the concrete name. What happens to
/// the sessions, tokens and targets of an account never counts as happening to the account.
fn action(name: &EventName) -> Option<Action> {
    let own = Action::parse(&name.action);
    match (name.resources.as_slice(), &name.attribute) {
        // The concrete name of a root's event ends before the attribute.
        ([_], _) | (_, None) => own,
        (_, Some(attribute)) => Action::parse(attribute).or(own),
    }
    .filter(|_| !(name.kinds().first() == Some(&"users") && name.resources.len() > 1))
}
