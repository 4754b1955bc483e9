//! The kinds of resource that Appwrite's event names speak of, and where their ids can be looked up.

/// One kind of resource.
#[derive(Debug)]
pub(super) struct Kind {
    /// Its word in names.
    pub(super) name: &'static str,
    /// Whether a name may begin with it.
    pub(super) root: bool,
    /// What may stand inside it.
    pub(super) children: &'static [&'static str],
    /// What Appwrite calls its id among an event's params.
    pub(super) params: &'static [&'static str],
    /// Where the payload of something inside it carries its id.
    pub(super) payload_keys: &'static [&'static str],
    /// Endings that are not an action with or without an attribute. An absent second word is empty.
    pub(super) tails: &'static [(&'static str, &'static str)],
    /// Whether the payload's fields are chosen by Appwrite's user.
    pub(super) free_form: bool,
}

impl Kind {
    /// The kind inside this one with this word.
    pub(super) fn child(&self, word: &str) -> Option<&'static Kind> {
        if self.children.contains(&word) { find(word) } else { None }
    }
}

/// The kind with this word.
pub(super) fn find(word: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == word)
}

const COLLECTION_IDS: &[&str] = &["$collectionId", "$tableId", "collectionId", "tableId"];
const DATABASE_IDS: &[&str] = &["$databaseId", "databaseId"];

const NESTED: Kind = Kind {
    name: "",
    root: false,
    children: &[],
    params: &[],
    payload_keys: &[],
    tails: &[],
    free_form: false,
};
const ROOT: Kind = Kind { root: true, ..NESTED };
const DATABASE: Kind = Kind { params: &["databaseId"], payload_keys: DATABASE_IDS, ..ROOT };

/// Every kind of Appwrite 1.9. Names of kinds that are not here can still be written as patterns.
static KINDS: &[Kind] = &[
    Kind {
        name: "users",
        children: &["sessions", "recovery", "verification", "challenges", "targets", "identities", "tokens"],
        params: &["userId"],
        payload_keys: &["userId"],
        tails: &[("sessions", "delete")],
        ..ROOT
    },
    Kind { name: "sessions", params: &["sessionId"], ..NESTED },
    Kind { name: "recovery", params: &["tokenId", "recoveryId"], ..NESTED },
    Kind { name: "verification", params: &["tokenId", "verificationId"], ..NESTED },
    Kind { name: "challenges", params: &["challengeId"], ..NESTED },
    Kind { name: "targets", params: &["targetId"], ..NESTED },
    Kind { name: "identities", params: &["identityId"], ..NESTED },
    Kind { name: "tokens", params: &["tokenId"], ..NESTED },
    Kind {
        name: "teams",
        children: &["memberships"],
        params: &["teamId"],
        payload_keys: &["teamId"],
        ..ROOT
    },
    Kind { name: "memberships", params: &["membershipId"], ..NESTED },
    Kind { name: "databases", children: &["collections", "tables"], ..DATABASE },
    Kind { name: "tablesdb", children: &["tables"], ..DATABASE },
    Kind { name: "documentsdb", children: &["collections"], ..DATABASE },
    Kind { name: "vectorsdb", children: &["collections"], ..DATABASE },
    Kind {
        name: "collections",
        children: &["documents", "attributes", "indexes"],
        params: &["collectionId", "tableId"],
        payload_keys: COLLECTION_IDS,
        ..NESTED
    },
    Kind {
        name: "tables",
        children: &["rows", "columns", "indexes"],
        params: &["tableId", "collectionId"],
        payload_keys: COLLECTION_IDS,
        ..NESTED
    },
    Kind { name: "documents", params: &["documentId", "rowId"], free_form: true, ..NESTED },
    Kind { name: "rows", params: &["rowId", "documentId"], free_form: true, ..NESTED },
    Kind { name: "attributes", params: &["attributeId", "columnId"], ..NESTED },
    Kind { name: "columns", params: &["columnId", "attributeId"], ..NESTED },
    Kind { name: "indexes", params: &["indexId"], ..NESTED },
    Kind {
        name: "buckets",
        children: &["files"],
        params: &["bucketId"],
        payload_keys: &["bucketId"],
        ..ROOT
    },
    Kind { name: "files", params: &["fileId"], ..NESTED },
    Kind {
        name: "functions",
        children: &["executions", "deployments", "variables"],
        params: &["functionId"],
        payload_keys: &["functionId", "resourceId"],
        ..ROOT
    },
    Kind { name: "executions", params: &["executionId"], ..NESTED },
    Kind { name: "deployments", params: &["deploymentId"], ..NESTED },
    Kind { name: "variables", params: &["variableId"], ..NESTED },
    Kind {
        name: "sites",
        children: &["deployments", "logs", "variables"],
        params: &["siteId"],
        payload_keys: &["siteId", "resourceId"],
        ..ROOT
    },
    Kind { name: "logs", params: &["logId"], ..NESTED },
    Kind { name: "rules", params: &["ruleId"], ..ROOT },
    Kind { name: "migrations", params: &["migrationId"], ..ROOT },
    Kind {
        name: "projects",
        children: &["policies"],
        params: &["projectId"],
        tails: &[("ping", "")],
        ..ROOT
    },
    Kind { name: "policies", params: &["policyId", "policy"], ..NESTED },
    Kind {
        name: "reports",
        children: &["insights"],
        params: &["reportId"],
        payload_keys: &["reportId"],
        ..ROOT
    },
    Kind { name: "insights", params: &["insightId"], ..NESTED },
    Kind { name: "presences", params: &["presenceId"], ..ROOT },
    Kind { name: "messages", params: &["messageId"], ..ROOT },
    Kind { name: "providers", params: &["providerId"], ..ROOT },
    Kind { name: "topics", children: &["subscribers"], params: &["topicId"], ..ROOT },
    Kind { name: "subscribers", params: &["subscriberId"], ..NESTED },
];
