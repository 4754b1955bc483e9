//! Projects, their keys and their platforms, where they are in the embedded database.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Response, StatusCode};
use realtime_core::id::ProjectId;
use realtime_core::project::Platform;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Body, Internal, json};
use crate::directory::sqlite::{Sqlite, SqliteError};
use crate::http::ingest::SCOPE;
use crate::http::problem::Problem;

/// Projects that are listed where they are known by their connections alone.
const LISTED: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProject {
    #[serde(default)]
    id: Option<String>,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewKey {
    name: String,
    /// Without it the key is good for ever.
    #[serde(default)]
    days: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPlatform {
    name: String,
    kind: String,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    key: String,
}

impl Internal {
    pub(super) async fn projects(&self) -> Result<Response<Body>, Problem> {
        let mut counts: BTreeMap<ProjectId, u64> = self.inspector.projects().await;
        let mut projects: Vec<Value> = Vec::new();
        if let Some(database) = &self.database {
            for entry in database.projects().await.map_err(|error| problem_of(&error))? {
                let connections = counts.remove(&entry.id).unwrap_or_default();
                projects
                    .push(json!({ "id": entry.id.as_str(), "name": entry.name, "connections": connections }));
            }
        }
        projects.extend(
            counts.iter().take(LISTED).map(
                |(id, connections)| json!({ "id": id.as_str(), "name": null, "connections": connections }),
            ),
        );
        Ok(json(&json!({ "embedded": self.database.is_some(), "projects": projects })))
    }

    pub(super) async fn project(&self, id: &str) -> Result<Response<Body>, Problem> {
        let (database, id) = (self.embedded()?, ProjectId::new(id));
        let keys: Vec<Value> = database
            .keys(&id)
            .await
            .map_err(|error| problem_of(&error))?
            .iter()
            .map(
                |key| json!({ "id": key.id, "name": key.name, "scopes": key.scopes, "expires": key.expires }),
            )
            .collect();
        let platforms: Vec<Value> = database
            .platforms(&id)
            .await
            .map_err(|error| problem_of(&error))?
            .iter()
            .map(|entry| {
                let Platform { kind, hostname, key } = &entry.platform;
                json!({ "id": entry.id, "name": entry.name, "kind": kind, "hostname": hostname, "key": key })
            })
            .collect();
        Ok(json(&json!({ "id": id.as_str(), "keys": keys, "platforms": platforms })))
    }

    pub(super) async fn create_project(&self, new: NewProject) -> Result<Response<Body>, Problem> {
        let id = new.id.as_deref().filter(|id| !id.is_empty());
        let made =
            self.embedded()?.create_project(id, &new.name, None).await.map_err(|error| problem_of(&error))?;
        Ok(json(&json!({ "id": made.id.as_str(), "name": made.name })))
    }

    pub(super) async fn remove_project(&self, id: &str) -> Result<Response<Body>, Problem> {
        self.embedded()?.remove_project(&ProjectId::new(id)).await.map_err(|error| problem_of(&error))?;
        Ok(done())
    }

    /// Makes a key that may publish. Its secret is told this once.
    pub(super) async fn create_key(&self, project: &str, new: NewKey) -> Result<Response<Body>, Problem> {
        let lasts = new.days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
        let project = ProjectId::new(project);
        let made = self.embedded()?.create_key(&project, None, &new.name, &[SCOPE.to_owned()], lasts).await;
        let made = made.map_err(|error| problem_of(&error))?;
        Ok(json(&json!({ "id": made.id, "secret": made.secret.expose() })))
    }

    pub(super) async fn remove_key(&self, project: &str, id: &str) -> Result<Response<Body>, Problem> {
        self.embedded()?
            .remove_key(&ProjectId::new(project), id)
            .await
            .map_err(|error| problem_of(&error))?;
        Ok(done())
    }

    pub(super) async fn create_platform(
        &self,
        project: &str,
        new: NewPlatform,
    ) -> Result<Response<Body>, Problem> {
        let NewPlatform { name, kind, hostname, key } = new;
        let platform = Platform { kind, hostname, key };
        let project = ProjectId::new(project);
        let made = self.embedded()?.create_platform(&project, None, &name, &platform).await;
        Ok(json(&json!({ "id": made.map_err(|error| problem_of(&error))?.id })))
    }

    pub(super) async fn remove_platform(&self, project: &str, id: &str) -> Result<Response<Body>, Problem> {
        self.embedded()?
            .remove_platform(&ProjectId::new(project), id)
            .await
            .map_err(|error| problem_of(&error))?;
        Ok(done())
    }

    fn embedded(&self) -> Result<&Sqlite, Problem> {
        self.database.as_ref().ok_or_else(|| {
            Problem::new(
                StatusCode::CONFLICT,
                "Not ours to change",
                "Projects are in an Appwrite installation here. Use Appwrite's console.",
            )
        })
    }
}

fn done() -> Response<Body> {
    json(&json!({}))
}

fn problem_of(error: &SqliteError) -> Problem {
    let (status, title) = match error {
        SqliteError::Unknown { .. } => (StatusCode::NOT_FOUND, "Not there"),
        SqliteError::Taken { .. } => (StatusCode::CONFLICT, "There already"),
        SqliteError::BadId(_) | SqliteError::BadValue { .. } | SqliteError::Console => {
            (StatusCode::BAD_REQUEST, "Not possible")
        }
        SqliteError::Open { .. }
        | SqliteError::Foreign(_)
        | SqliteError::Newer { .. }
        | SqliteError::Failed { .. } => (StatusCode::SERVICE_UNAVAILABLE, "The database failed"),
    };
    Problem::new(status, title, error.to_string())
}
