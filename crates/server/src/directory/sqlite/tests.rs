//! Writing the embedded database: what it takes, what it refuses, what removal takes along.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::os::unix::fs::PermissionsExt as _;

use realtime_core::id::{TeamId, UserId};
use realtime_core::project::Platform;
use realtime_protocol::appwrite::session_token::SessionToken;

use super::*;
use crate::directory::clock::SystemClock;

struct Temp {
    _folder: tempfile::TempDir,
    path: PathBuf,
    database: Sqlite,
}

fn cipher() -> Cipher {
    Cipher::new(&Secret::new("a key"))
}

async fn open(path: &Path) -> Result<Sqlite, SqliteError> {
    Sqlite::open(path, cipher(), Arc::new(SystemClock)).await
}

/// A database with the project `shop`, its user `ann`, its team `red`.
async fn shop() -> Temp {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data").join("realtime.db");
    let database = open(&path).await.unwrap();
    database.create_project(Some("shop"), "Shop", None).await.unwrap();
    let ann = NewUser { id: Some("ann".into()), email: Some("Ann@Example.com".into()), ..NewUser::default() };
    database.create_user(&"shop".into(), &ann).await.unwrap();
    database.create_team(&"shop".into(), Some("red"), "Red").await.unwrap();
    Temp { _folder: folder, path, database }
}

fn member(team: &str, user: &str) -> NewMembership {
    NewMembership {
        id: Some(format!("{team}-{user}")),
        team: team.into(),
        user: user.into(),
        roles: vec!["owner".into()],
        confirmed: true,
    }
}

async fn count(database: &Sqlite, table: &str) -> i64 {
    let statement = format!("SELECT count(*) FROM \"{table}\"");
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&database.pool).await.unwrap()
}

#[tokio::test]
async fn the_file_is_for_its_owner_alone() {
    let shop = shop().await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&shop.path), 0o600);
    assert_eq!(mode(shop.path.parent().unwrap()), 0o700);
    for name in ["realtime.db-wal", "realtime.db-shm"] {
        assert_eq!(mode(&shop.path.with_file_name(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    let shop = shop().await;
    shop.database.close().await;
    let again = open(&shop.path).await.unwrap();
    assert_eq!(again.projects().await.unwrap()[0].id, "shop".into());
    assert_eq!(again.users(&"shop".into()).await.unwrap()[0].email.as_deref(), Some("ann@example.com"));
}

#[tokio::test]
async fn two_processes_may_write_the_same_file() {
    let shop = shop().await;
    let other = open(&shop.path).await.unwrap();
    let teams: Vec<_> = (0..20).map(|number| format!("team{number}")).collect();
    let project = "shop".into();
    let writes = teams.iter().enumerate().map(|(index, team)| {
        let database = if index % 2 == 0 { &shop.database } else { &other };
        database.create_team(&project, Some(team), team)
    });
    for write in futures_util::future::join_all(writes).await {
        write.unwrap();
    }
    assert_eq!(other.teams(&"shop".into()).await.unwrap().len(), 21);
}

#[tokio::test]
async fn a_database_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("CREATE TABLE things (id)").execute(&pool).await.unwrap();
    assert_eq!(open(&path).await.unwrap_err(), SqliteError::Foreign(path));
    assert_eq!(count_of(&pool).await, 1);
}

async fn count_of(pool: &SqlitePool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "not a database, but text that is long enough to be taken for one".repeat(20))
        .unwrap();
    let error = open(&path).await.unwrap_err();
    assert!(matches!(&error, SqliteError::Open { path: found, .. } if *found == path), "{error:?}");
}

#[tokio::test]
async fn a_file_of_a_newer_release_is_refused() {
    let shop = shop().await;
    sqlx::query("PRAGMA user_version = 99").execute(&shop.database.pool).await.unwrap();
    let error = open(&shop.path).await.unwrap_err();
    assert!(matches!(error, SqliteError::Newer { found: 99, known: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_there_already_is_taken() {
    let Temp { database, _folder, .. } = shop().await;
    let shop = ProjectId::new("shop");
    let taken = |what, id: &str| SqliteError::Taken { what, id: id.into() };
    let project = database.create_project(Some("shop"), "Again", None).await;
    assert_eq!(project.unwrap_err(), taken("project", "shop"));
    let user = NewUser { id: Some("ann".into()), ..NewUser::default() };
    assert_eq!(database.create_user(&shop, &user).await.unwrap_err(), taken("user", "ann"));
    let email = NewUser { email: Some("ANN@example.com".into()), ..NewUser::default() };
    let refusal = database.create_user(&shop, &email).await.unwrap_err();
    assert_eq!(refusal, taken("e-mail address", "ann@example.com"));
    assert_eq!(database.create_team(&shop, Some("red"), "").await.unwrap_err(), taken("team", "red"));
    database.create_membership(&shop, &member("red", "ann")).await.unwrap();
    let again = NewMembership { id: None, ..member("red", "ann") };
    let refusal = database.create_membership(&shop, &again).await.unwrap_err();
    assert!(matches!(refusal, SqliteError::Taken { what: "membership", .. }), "{refusal:?}");
}

#[tokio::test]
async fn what_is_not_there_is_unknown() {
    let Temp { database, _folder, .. } = shop().await;
    let (shop, none) = (ProjectId::new("shop"), ProjectId::new("none"));
    let (nobody, no_team) = (UserId::new("nobody"), TeamId::new("none"));
    let refusals = [
        database.users(&none).await.unwrap_err(),
        database.remove_project(&none).await.unwrap_err(),
        database.create_user(&none, &NewUser::default()).await.unwrap_err(),
        database.update_user(&shop, &nobody, &UserChange::default()).await.unwrap_err(),
        database.remove_user(&shop, &nobody).await.unwrap_err(),
        database.create_session(&shop, &nobody, Duration::from_secs(1)).await.unwrap_err(),
        database.remove_session(&shop, "none").await.unwrap_err(),
        database.remove_team(&shop, &no_team).await.unwrap_err(),
        database.create_membership(&shop, &member("none", "ann")).await.unwrap_err(),
        database.create_membership(&shop, &member("red", "nobody")).await.unwrap_err(),
        database.remove_membership(&shop, &"none".into()).await.unwrap_err(),
        database.create_key(&none, None, "", &[], None).await.unwrap_err(),
        database.remove_key(&shop, "none").await.unwrap_err(),
        database.remove_dev_key(&shop, "none").await.unwrap_err(),
        database.remove_platform(&shop, "none").await.unwrap_err(),
        database.create_project(None, "", Some(&no_team)).await.unwrap_err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, SqliteError::Unknown { .. }), "{refusal:?}");
    }
}

#[tokio::test]
async fn ids_are_those_that_appwrite_takes() {
    let Temp { database, _folder, .. } = shop().await;
    let long = "a".repeat(37);
    for id in ["", ".a", "-a", "_a", "a b", "a/b", "é", "a'b", &long] {
        let refusal = database.create_project(Some(id), "", None).await.unwrap_err();
        assert_eq!(refusal, SqliteError::BadId(id.into()));
    }
    assert_eq!(database.create_project(Some("console"), "", None).await.unwrap_err(), SqliteError::Console);
    let drawn = database.create_project(None, "", None).await.unwrap();
    assert_eq!(drawn.id.as_str().len(), 20);
}

#[tokio::test]
async fn labels_roles_addresses_and_platforms_are_checked() {
    let Temp { database, _folder, .. } = shop().await;
    let shop = ProjectId::new("shop");
    let label = NewUser { labels: vec!["a/b".into()], ..NewUser::default() };
    let email = NewUser { email: Some("nonsense".into()), ..NewUser::default() };
    let role = NewMembership { roles: vec!["a/b".into()], ..member("red", "ann") };
    let web = Platform { kind: "web".into(), ..Platform::default() };
    let refusals = [
        database.create_user(&shop, &label).await.unwrap_err(),
        database.create_user(&shop, &email).await.unwrap_err(),
        database.create_membership(&shop, &role).await.unwrap_err(),
        database.create_platform(&shop, None, "", &web).await.unwrap_err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, SqliteError::BadValue { .. }), "{refusal:?}");
    }
}

#[tokio::test]
async fn secrets_are_told_once_and_never_stored_in_clear() {
    let Temp { database, path, _folder } = shop().await;
    let shop = ProjectId::new("shop");
    let key = database.create_key(&shop, None, "k", &["events.write".into()], None).await.unwrap();
    let session = database.create_session(&shop, &"ann".into(), Duration::from_secs(60)).await.unwrap();
    let dev_key = database.create_dev_key(&shop, None, "d", None).await.unwrap();
    let (kind, random) = key.secret.expose().split_once('_').unwrap();
    assert_eq!((kind, random.len(), dev_key.secret.expose().len()), ("standard", 256, 256));
    database.close().await;
    let bytes = std::fs::read(&path).unwrap();
    let token = SessionToken::decode(&session.token).unwrap();
    let contains = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(contains(&key.id), "the rows are in the file by now");
    for secret in [random, dev_key.secret.expose(), token.secret.expose()] {
        assert!(!contains(secret));
    }
    assert!(!format!("{key:?} {session:?}").contains(random));
}

#[tokio::test]
async fn removal_takes_along_what_belonged_to_it() {
    let Temp { database, _folder, .. } = shop().await;
    let shop = ProjectId::new("shop");
    database.create_user(&shop, &NewUser { id: Some("bob".into()), ..NewUser::default() }).await.unwrap();
    for user in ["ann", "bob"] {
        database.create_membership(&shop, &member("red", user)).await.unwrap();
        database.create_session(&shop, &user.into(), Duration::from_secs(60)).await.unwrap();
    }
    assert_eq!(database.teams(&shop).await.unwrap()[0].members, 2);
    database.remove_user(&shop, &"ann".into()).await.unwrap();
    assert_eq!(database.teams(&shop).await.unwrap()[0].members, 1);
    let left = database.sessions(&shop).await.unwrap();
    assert_eq!(left.iter().map(|session| session.user.as_str()).collect::<Vec<_>>(), ["bob"]);
    database.remove_team(&shop, &"red".into()).await.unwrap();
    assert_eq!(database.memberships(&shop).await.unwrap(), []);

    database.create_key(&shop, None, "", &[], None).await.unwrap();
    database.create_dev_key(&shop, None, "", None).await.unwrap();
    let web = Platform { kind: "web".into(), hostname: "localhost".into(), key: String::new() };
    database.create_platform(&shop, None, "", &web).await.unwrap();
    database.create_domain(&shop, "shop.example.com").await.unwrap();
    database.remove_project(&shop).await.unwrap();
    for table in ["projects", "keys", "devKeys", "platforms", "rules"] {
        assert_eq!(count(&database, &format!("_console_{table}")).await, 0, "{table}");
    }
    let tables =
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name LIKE '\\_1\\_%' ESCAPE '\\'";
    let left: i64 = sqlx::query_scalar(tables).fetch_one(&database.pool).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_new_project_never_gets_the_place_of_a_removed_one() {
    let Temp { database, _folder, .. } = shop().await;
    database.remove_project(&"shop".into()).await.unwrap();
    database.create_project(Some("next"), "", None).await.unwrap();
    let mut connection = database.pool.acquire().await.unwrap();
    assert_eq!(sequence_of(&mut connection, &"next".into()).await.unwrap(), "2");
}

#[tokio::test]
async fn keys_belong_to_one_project() {
    let Temp { database, _folder, .. } = shop().await;
    database.create_project(Some("other"), "", None).await.unwrap();
    let (shop, other) = (ProjectId::new("shop"), ProjectId::new("other"));
    let key = database.create_key(&shop, Some("k"), "Key", &["events.write".into()], None).await.unwrap();
    assert!(database.remove_key(&other, &key.id).await.is_err());
    assert_eq!(database.keys(&other).await.unwrap(), []);
    let listed = database.keys(&shop).await.unwrap();
    assert_eq!(
        (listed[0].name.as_str(), listed[0].scopes.as_slice()),
        ("Key", &["events.write".to_owned()][..])
    );
    database.remove_key(&shop, &key.id).await.unwrap();
    assert_eq!(database.keys(&shop).await.unwrap(), []);
}
