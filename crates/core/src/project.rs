//! The tenant that a client connects to, as far as a connection depends on it.

use crate::id::{ProjectId, TeamId};

/// What a directory knows of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The id as the directory spells it.
    pub id: ProjectId,
    /// The directory's own key of the project (Appwrite `$sequence`), which names its tables.
    pub sequence: String,
    /// Where the directory keeps the project's data, in its own words (Appwrite `database`).
    pub database: String,
    /// The team that owns it.
    pub team: Option<TeamId>,
    /// Where it lives; empty is anywhere.
    pub region: String,
    /// Whether its owner left the realtime API on.
    pub realtime_enabled: bool,
    /// Clients that its owner registered.
    pub platforms: Vec<Platform>,
}

/// A client application that the project's owner registered, in Appwrite's terms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Platform {
    /// `web`, `flutter-web`, `android`, `apple-ios`, `scheme`, …
    pub kind: String,
    /// The host of a web platform; may begin with `*`.
    pub hostname: String,
    /// The bundle or package name of a native platform, or the scheme of a `scheme` platform.
    pub key: String,
}
