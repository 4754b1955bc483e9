//! The directory through the real driver, on documents spelled as Appwrite's library spells them.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::directory::database::Tls;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mongodb::bson::{Bson, DateTime, Document, doc};
use realtime_core::id::{ProjectId, UserId};
use realtime_core::identity::Credentials;
use realtime_core::presence::Presence;
use realtime_core::project::Project;
use realtime_core::secret::Secret;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::fake::{Collections, Fake};
use super::*;
use crate::directory::appwrite::{Appwrite, AppwriteSettings};
use crate::directory::appwrite_jwt::AppwriteJwt;
use crate::directory::cipher::{Cipher, hex_of};
use crate::directory::{Directory, Keep};

const KEY: &str = "the server's key";
/// `$sequence` of the project and of its user.
const PROJECT: &str = "0198c0de-0000-7000-8000-000000000001";
const ANN: &str = "0198c0de-0000-7000-8000-000000000002";

/// What the registry says of a collection.
fn description(collection: &str, attributes: &[(&str, &str)]) -> Document {
    let attributes: Vec<_> = attributes
        .iter()
        .map(|(name, kind)| json!({ "$id": name, "type": kind.trim_end_matches("[]"), "array": kind.ends_with("[]") }))
        .collect();
    doc! { "_id": collection, "_uid": collection, "name": collection, "attributes": json!(attributes).to_string() }
}

fn later(hours: i64) -> DateTime {
    DateTime::from_millis(DateTime::now().timestamp_millis() + hours * 3_600_000)
}

/// Appwrite 1.9.6 with the project `shop`, whose user `ann` has a session and is in a team.
fn installation() -> Collections {
    let sealed = |secret: &str| Cipher::new(&Secret::new(KEY)).seal(&Secret::new(secret)).unwrap();
    let collection = |name: &str, documents: &[Document]| (name.to_owned(), documents.to_vec());
    BTreeMap::from([
        collection(
            "_console__metadata",
            &[
                description("projects", &[("teamId", "string"), ("accessedAt", "datetime")]),
                description("keys", &[("resourceType", "string")]),
                description("realtime", &[("value", "string"), ("timestamp", "datetime")]),
            ],
        ),
        collection(
            "_console_projects",
            &[doc! {
                "_id": PROJECT, "_uid": "shop", "teamId": "org", "region": "default", "apis": "{}",
                "database": "database_db_main", "_createdAt": later(-9), "_permissions": [r#"read("team:org")"#],
            }],
        ),
        collection(
            "_console_platforms",
            &[
                doc! { "_id": "p", "_uid": "p", "projectInternalId": PROJECT, "type": "web", "hostname": "shop.example" },
            ],
        ),
        collection(
            &format!("_{PROJECT}__metadata"),
            &[description(
                "presenceLogs",
                &[
                    ("userInternalId", "string"),
                    ("userId", "string"),
                    ("expiresAt", "datetime"),
                    ("status", "string"),
                    ("source", "string"),
                    ("hostname", "string"),
                    ("metadata", "string"),
                    ("permissionsHash", "string"),
                ],
            )],
        ),
        collection(
            &format!("_{PROJECT}_users"),
            &[doc! {
                "_id": ANN, "_uid": "ann", "name": "Ann", "email": "ann@example.com", "status": true,
                "emailVerification": true, "labels": ["vip", "beta"], "prefs": "{\"dark\":true}",
                "_createdAt": later(-9), "_updatedAt": later(-8), "registration": later(-9),
            }],
        ),
        collection(
            &format!("_{PROJECT}_sessions"),
            &[doc! {
                "_id": "s", "_uid": "s1", "userId": "ann", "userInternalId": ANN, "provider": "email",
                "secret": sealed(&hex_of(&Sha256::digest("5e55104"))), "expire": later(1), "_createdAt": later(-1),
            }],
        ),
        collection(
            &format!("_{PROJECT}_memberships"),
            &[doc! {
                "_id": "m", "_uid": "m1", "userId": "ann", "userInternalId": ANN, "teamId": "red", "confirm": true,
                "roles": ["owner"],
            }],
        ),
    ])
}

struct World {
    fake: Fake,
    directory: Appwrite,
}

impl World {
    async fn new(collections: Collections) -> Self {
        let fake = Fake::start(collections).await;
        let settings = DatabaseSettings {
            host: "127.0.0.1".to_owned(),
            port: fake.port,
            schema: "appwrite".to_owned(),
            user: String::new(),
            password: None,
            connections: 4,
            timeout: Duration::from_secs(5),
            tls: Tls::Prefer,
            certificates: None,
        };
        let database = Mongodb::new(&settings).unwrap();
        let key = Secret::new(KEY);
        let directory =
            Appwrite::mongodb(database, &key, AppwriteSettings::new(AppwriteJwt::new(key.clone())));
        Self { fake, directory }
    }

    async fn shop(&self) -> Arc<Project> {
        self.directory.project(&ProjectId::new("shop")).await.unwrap().unwrap()
    }

    fn presences(&self) -> Vec<Document> {
        self.fake.documents(&format!("_{PROJECT}_presenceLogs"))
    }
}

fn with_session(secret: &str) -> Credentials {
    let token = STANDARD.encode(json!({ "id": "ann", "secret": secret }).to_string());
    Credentials { sessions: vec![Secret::new(token)], ..Credentials::default() }
}

fn presence(status: &str) -> Presence {
    Presence { id: None, status: status.to_owned(), metadata: "{}".into(), grants: None }
}

#[tokio::test]
async fn a_session_makes_its_user_with_all_its_roles() {
    let world = World::new(installation()).await;
    assert_eq!(world.directory.detect().await.unwrap(), "1.9");
    let shop = world.shop().await;
    assert_eq!(shop.sequence, PROJECT);
    assert_eq!(shop.platforms.len(), 1);
    let identity = world.directory.identify(&shop, &with_session("5e55104")).await.unwrap();
    let roles: BTreeSet<String> = identity.roles().iter().map(ToString::to_string).collect();
    for role in
        ["user:ann", "users", "users/verified", "team:red", "team:red/owner", "label:vip", "label:beta"]
    {
        assert!(roles.contains(role), "{role} is not among {roles:?}");
    }
    let stranger = world.directory.identify(&shop, &with_session("0")).await.unwrap();
    assert!(stranger.account.is_none());
    assert_eq!(world.directory.project(&ProjectId::new("nowhere")).await.unwrap(), None);
}

#[tokio::test]
async fn a_presence_is_written_over_itself_and_removed() {
    let world = World::new(installation()).await;
    let (shop, ann) = (world.shop().await, UserId::new("ann"));
    let mut sequences = Vec::new();
    for status in ["here", "busy"] {
        let presence = presence(status);
        let keep = Keep { project: &shop, user: &ann, claimed: false, presence: &presence, server: "host" };
        let kept = world.directory.keep_presence(keep).await.unwrap();
        assert_eq!(kept.is_new, status == "here");
        sequences.push(kept.sequence);
    }
    assert_eq!(sequences[0], sequences[1]);
    let [written] = world.presences().try_into().unwrap();
    assert_eq!(written.get_str("status").unwrap(), "busy");
    assert_eq!(written.get_str("userInternalId").unwrap(), ANN);
    assert!(matches!(written.get("expiresAt"), Some(Bson::DateTime(_))), "{written}");
    assert_eq!(written.get_array("_permissions").unwrap().len(), 3, "{written}");
    let removed = world.directory.remove_presence(&shop, &ann, &sequences[0]).await.unwrap();
    assert_eq!(removed.unwrap().user, ann);
    assert!(world.presences().is_empty());
}

#[tokio::test]
async fn a_presence_under_an_id_of_somebody_else_is_refused_and_nothing_is_written() {
    let mut collections = installation();
    let taken = doc! { "_id": "1", "_uid": "taken", "userId": "bob", "expiresAt": later(1) };
    collections.insert(format!("_{PROJECT}_presenceLogs"), vec![taken]);
    let world = World::new(collections).await;
    let (shop, ann) = (world.shop().await, UserId::new("ann"));
    let mut presence = presence("here");
    presence.id = Some("taken".into());
    let keep = Keep { project: &shop, user: &ann, claimed: false, presence: &presence, server: "host" };
    let refused = world.directory.keep_presence(keep).await.unwrap_err();
    assert!(matches!(refused, DirectoryError::Refused(_)), "{refused}");
    assert_eq!(world.presences().len(), 1);
}

#[tokio::test]
async fn presences_whose_time_is_over_are_removed() {
    let mut collections = installation();
    let until = |id: &str, hours| doc! { "_id": id, "_uid": id, "userId": id, "expiresAt": later(hours) };
    collections.insert(format!("_{PROJECT}_presenceLogs"), vec![until("over", -1), until("not", 1)]);
    let world = World::new(collections).await;
    let removed = world.directory.remove_stale_presences(&*world.shop().await, None).await.unwrap();
    assert_eq!(removed.iter().map(|kept| kept.id.as_str()).collect::<Vec<_>>(), ["over"]);
    assert_eq!(world.presences().len(), 1);
}

#[tokio::test]
async fn counts_of_all_servers_add_up() {
    let mut collections = installation();
    let other = doc! { "_id": "1", "_uid": "other", "value": r#"{"shop":3}"#, "timestamp": DateTime::now() };
    collections.insert("_console_realtime".to_owned(), vec![other]);
    let world = World::new(collections).await;
    let own = BTreeMap::from([(ProjectId::new("shop"), 2)]);
    for _ in 0..2 {
        let all = world.directory.share_counts(&own).await.unwrap();
        assert_eq!(all, BTreeMap::from([(ProjectId::new("shop"), 5)]));
    }
    assert_eq!(world.fake.documents("_console_realtime").len(), 2);
}

#[tokio::test]
async fn a_database_without_appwrite_and_one_that_is_not_there_are_told_apart_and_make_nobody_a_guest() {
    let world = World::new(Collections::new()).await;
    let empty = world.directory.project(&ProjectId::new("shop")).await.unwrap_err().to_string();
    assert!(empty.contains("_console__metadata"), "{empty}");
    let settings = DatabaseSettings {
        host: "127.0.0.1".to_owned(),
        // Nobody listens on the discard port.
        port: 9,
        schema: "appwrite".to_owned(),
        user: "user".to_owned(),
        password: Some(Secret::new("password")),
        connections: 4,
        timeout: Duration::from_millis(200),
        tls: Tls::Prefer,
        certificates: None,
    };
    let nobody = Mongodb::new(&settings).unwrap();
    let console = Space::console();
    let away = nobody.has(&console, "projects", "teamId").await.unwrap_err().to_string();
    assert!(away.contains("database"), "{away}");
}
