//! Who is who, against an embedded database written for each test.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{EncodingKey, Header as JwtHeader};
use realtime_protocol::appwrite::session_token::SessionToken;
use serde_json::json;
use sqlx::{AssertSqlSafe, SqlitePool};

use super::*;
use crate::directory::backend_jwt::{BackendJwtSettings, BackendKey};
use crate::directory::sqlite::{NewMembership, NewUser, UserChange};

const KEY: &str = "the server's key";
const BACKEND: &str = "0123456789abcdef0123456789abcdef";
const NOW: i64 = 1_800_000_000;

#[derive(Debug)]
struct Hand(Mutex<Timestamp>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A database with the projects `shop` and `other` of the console's team `org`, and the users of [`World::new`].
struct World {
    folder: tempfile::TempDir,
    database: Sqlite,
    clock: Arc<Hand>,
    directory: Appwrite,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut AppwriteSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand(Mutex::new(Timestamp::from_second(NOW).unwrap())));
        let cipher = Cipher::new(&Secret::new(KEY));
        let path = folder.path().join("realtime.db");
        let database = Sqlite::open(&path, cipher, clock.clone()).await.unwrap();
        let mut settings = AppwriteSettings::new(AppwriteJwt::new(Secret::new(KEY)));
        let keys = vec![BackendKey::Hs256(Secret::new(BACKEND))];
        let backend = BackendJwtSettings { keys, ..BackendJwtSettings::default() };
        settings.backend = Some(BackendJwt::new(backend).unwrap());
        change(&mut settings);
        let directory = Appwrite::sqlite(database.clone(), settings);
        let world = Self { folder, database, clock, directory };
        world.fill().await;
        world
    }

    async fn fill(&self) {
        let (database, console) = (&self.database, ProjectId::console());
        database.create_team(&console, Some("org"), "Org").await.unwrap();
        for id in ["boss", "outsider"] {
            self.user("console", NewUser { id: Some(id.into()), verified: true, ..NewUser::default() }).await;
        }
        self.member("console", "org", "boss", &["owner"], true).await;
        let org = TeamId::new("org");
        for project in ["shop", "other"] {
            database.create_project(Some(project), project, Some(&org)).await.unwrap();
        }
        self.user(
            "shop",
            NewUser {
                id: Some("ann".into()),
                email: Some("ann@example.com".into()),
                name: "Ann".into(),
                labels: vec!["vip".into(), "beta".into()],
                verified: true,
                ..NewUser::default()
            },
        )
        .await;
        self.user("shop", NewUser { id: Some("bob".into()), ..NewUser::default() }).await;
        let carol = NewUser { id: Some("carol".into()), blocked: true, ..NewUser::default() };
        self.user("shop", carol).await;
        for team in ["red", "blue"] {
            database.create_team(&"shop".into(), Some(team), team).await.unwrap();
        }
        self.member("shop", "red", "ann", &["owner", "dev"], true).await;
        self.member("shop", "blue", "ann", &["dev"], false).await;
    }

    async fn user(&self, project: &str, user: NewUser) {
        self.database.create_user(&project.into(), &user).await.unwrap();
    }

    async fn member(&self, project: &str, team: &str, user: &str, roles: &[&str], confirmed: bool) {
        let membership = NewMembership {
            id: Some(format!("m-{user}-{team}")),
            team: team.into(),
            user: user.into(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            confirmed,
        };
        self.database.create_membership(&project.into(), &membership).await.unwrap();
    }

    async fn session(&self, project: &str, user: &str) -> Secret {
        let lasts = Duration::from_secs(3600);
        self.database.create_session(&project.into(), &user.into(), lasts).await.unwrap().token
    }

    async fn project(&self, id: &str) -> Arc<Project> {
        self.directory.project(&id.into()).await.unwrap().unwrap()
    }

    async fn identify(&self, project: &str, credentials: &Credentials) -> Result<Identity, DirectoryError> {
        self.directory.identify(&*self.project(project).await, credentials).await
    }

    /// The user that these credentials of the shop make, or why none.
    async fn who(&self, credentials: &Credentials) -> Result<Option<String>, String> {
        who(self.identify("shop", credentials).await)
    }

    fn pass(&self, time: Duration) {
        let mut now = self.clock.0.lock().unwrap();
        *now = now.checked_add(time).unwrap();
    }

    fn jwt(&self, user: &str, session: Option<&str>) -> Secret {
        let expires = self.clock.now().checked_add(Duration::from_secs(900)).unwrap();
        self.directory.settings.jwt.issue(&user.into(), session, expires).unwrap()
    }

    /// Changes the database behind the back of its methods.
    async fn sql(&self, statement: &str) {
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(self.folder.path().join("realtime.db"));
        let pool = SqlitePool::connect_with(options).await.unwrap();
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&pool).await.unwrap();
    }
}

fn who(found: Result<Identity, DirectoryError>) -> Result<Option<String>, String> {
    match found {
        Ok(identity) => Ok(identity.user().map(ToString::to_string)),
        Err(DirectoryError::Refused(refusal)) => Err(refusal.message.into_owned()),
        Err(error) => panic!("{error}"),
    }
}

fn kind(found: Result<Identity, DirectoryError>) -> RefusalKind {
    match found {
        Err(DirectoryError::Refused(refusal)) => refusal.kind,
        other => panic!("{other:?}"),
    }
}

fn user(id: &str) -> Result<Option<String>, String> {
    Ok(Some(id.to_owned()))
}

const GUEST: Result<Option<String>, String> = Ok(None);

fn sessions(tokens: &[&Secret]) -> Credentials {
    Credentials { sessions: tokens.iter().map(|&token| token.clone()).collect(), ..Credentials::default() }
}

fn with_jwt(jwt: Secret) -> Credentials {
    Credentials { jwt: Some(jwt), ..Credentials::default() }
}

fn token(user: &str, secret: &str) -> Secret {
    Secret::new(STANDARD.encode(json!({"id": user, "secret": secret}).to_string()))
}

fn backend_jwt(claims: Value) -> Secret {
    let mut claims = claims;
    claims.as_object_mut().unwrap().entry("exp").or_insert(json!(NOW + 600));
    let key = EncodingKey::from_secret(BACKEND.as_bytes());
    Secret::new(jsonwebtoken::encode(&JwtHeader::default(), &claims, &key).unwrap())
}

fn roles(identity: &Identity) -> Vec<String> {
    identity.roles().iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_project_is_found_by_its_exact_id() {
    let world = World::new().await;
    let web = Platform { kind: "web".into(), hostname: "*.example.com".into(), key: String::new() };
    world.database.create_platform(&"shop".into(), None, "Site", &web).await.unwrap();
    let shop = world.project("shop").await;
    assert_eq!((shop.sequence.as_str(), shop.team.clone()), ("1", Some("org".into())));
    assert_eq!((shop.platforms.as_slice(), shop.realtime_enabled), (&[web][..], true));
    for id in ["Shop", "shop ", "none", "", "shop' OR 1=1 --"] {
        assert_eq!(world.directory.project(&id.into()).await.unwrap(), None, "{id}");
    }
}

#[tokio::test]
async fn the_console_is_built_in() {
    let console = World::new().await.project("console").await;
    assert_eq!((console.sequence.as_str(), console.region.as_str()), ("console", "default"));
    assert_eq!(console.platforms[0].hostname, "localhost");
}

#[tokio::test]
async fn an_owner_can_turn_realtime_off() {
    let world = World::new().await;
    world.database.set_realtime(&"shop".into(), false).await.unwrap();
    assert!(!world.project("shop").await.realtime_enabled);
    world.database.set_realtime(&"shop".into(), true).await.unwrap();
    assert!(world.project("shop").await.realtime_enabled);
}

#[test]
fn the_switch_of_websockets_outweighs_that_of_realtime() {
    let cases = [
        (None, true),
        (Some("{}"), true),
        (Some("[]"), true),
        (Some("nonsense"), true),
        (Some(r#"{"realtime":false}"#), false),
        (Some(r#"{"websocket":true,"realtime":false}"#), true),
        (Some(r#"{"websocket":false,"realtime":true}"#), false),
    ];
    for (apis, enabled) in cases {
        assert_eq!(is_enabled(apis), enabled, "{apis:?}");
    }
}

#[tokio::test]
async fn roles_are_those_that_appwrite_computes() {
    let world = World::new().await;
    let ann = world.identify("shop", &sessions(&[&world.session("shop", "ann").await])).await.unwrap();
    assert_eq!(
        roles(&ann),
        [
            "user:ann",
            "users",
            "user:ann/verified",
            "users/verified",
            "team:red",
            "member:m-ann-red",
            "team:red/owner",
            "team:red/dev",
            "label:vip",
            "label:beta"
        ]
    );
    let bob = world.identify("shop", &sessions(&[&world.session("shop", "bob").await])).await.unwrap();
    assert_eq!(roles(&bob), ["user:bob", "users", "user:bob/unverified", "users/unverified"]);
    assert_eq!(roles(&world.identify("shop", &Credentials::default()).await.unwrap()), ["guests"]);
}

#[tokio::test]
async fn the_profile_is_appwrites_account_model_in_its_order() {
    let world = World::new().await;
    world.sql(r#"UPDATE _1_users SET prefs = '{"theme":"dark","n":1.50}' WHERE _uid = 'ann'"#).await;
    world
        .sql(
            "INSERT INTO _1_targets (_uid, _createdAt, _updatedAt, userId, userInternalId, providerType, identifier) \
             VALUES ('t1', '2026-01-02 03:04:05.678', NULL, 'ann', '1', 'email', 'ann@example.com')",
        )
        .await;
    let ann = world.identify("shop", &sessions(&[&world.session("shop", "ann").await])).await.unwrap();
    let now = "2027-01-15T08:00:00.000+00:00";
    let expected = format!(
        r#"{{"$id":"ann","$createdAt":"{now}","$updatedAt":"{now}","name":"Ann","registration":"{now}","status":true,"labels":["vip","beta"],"passwordUpdate":"","email":"ann@example.com","phone":"","emailVerification":true,"emailCanonical":null,"emailIsFree":null,"emailIsDisposable":null,"emailIsCorporate":null,"emailIsCanonical":null,"phoneVerification":false,"mfa":false,"prefs":{{"theme":"dark","n":1.50}},"targets":[{{"$id":"t1","$createdAt":"2026-01-02T03:04:05.678+00:00","$updatedAt":"","name":"","userId":"ann","providerId":null,"providerType":"email","identifier":"ann@example.com","expired":false}}],"accessedAt":"","impersonator":false,"impersonatorUserId":null}}"#
    );
    let account = ann.account.unwrap();
    assert_eq!(std::str::from_utf8(&account.profile).unwrap(), expected);
    for prefs in ["'[]'", "NULL", "'nonsense'", "'null'"] {
        world.sql(&format!("UPDATE _1_users SET prefs = {prefs} WHERE _uid = 'ann'")).await;
        let account = world
            .directory
            .refresh(&*world.project("shop").await, &"ann".into())
            .await
            .unwrap()
            .unwrap()
            .account;
        let profile: Value = serde_json::from_slice(&account.profile).unwrap();
        assert_eq!(profile["prefs"], json!({}), "{prefs}");
    }
}

#[tokio::test]
async fn a_session_proves_its_user_until_it_ends() {
    let world = World::new().await;
    let ann = sessions(&[&world.session("shop", "ann").await]);
    let identity = world.identify("shop", &ann).await.unwrap();
    assert_eq!(identity.valid_for, Some(Duration::from_secs(3600)));
    world.pass(Duration::from_secs(3600));
    assert_eq!(world.who(&ann).await, user("ann"));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.who(&ann).await, GUEST);
}

#[tokio::test]
async fn a_session_that_does_not_verify_is_a_guest() {
    let world = World::new().await;
    let good = world.session("shop", "ann").await;
    let secret = SessionToken::decode(&good).unwrap().secret;
    let cases = [
        token("ann", "guessed"),
        token("bob", secret.expose()),
        token("nobody", secret.expose()),
        token("", secret.expose()),
        token("ann", ""),
        Secret::new(""),
        Secret::new("not base64!"),
        Secret::new("bnVsbA=="),
    ];
    for token in cases {
        assert_eq!(world.who(&sessions(&[&token])).await, GUEST, "{}", token.expose());
    }
    let elsewhere = who(world.identify("other", &sessions(&[&good])).await);
    assert_eq!(elsewhere, GUEST, "a session is good in its own project only");
    assert_eq!(world.who(&sessions(&[&good])).await, user("ann"));
}

#[tokio::test]
async fn the_first_session_that_says_anything_decides() {
    let world = World::new().await;
    let (ann, bob) = (world.session("shop", "ann").await, world.session("shop", "bob").await);
    let (wrong, empty, junk) = (token("ann", "wrong"), token("", ""), Secret::new("%%%"));
    assert_eq!(world.who(&sessions(&[&ann, &bob])).await, user("ann"));
    assert_eq!(world.who(&sessions(&[&bob, &ann])).await, user("bob"));
    assert_eq!(world.who(&sessions(&[&empty, &junk, &bob])).await, user("bob"));
    assert_eq!(world.who(&sessions(&[&wrong, &bob])).await, GUEST);
    assert_eq!(world.who(&sessions(&[&bob, &wrong])).await, user("bob"));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_harms_no_other() {
    let world = World::new().await;
    let (first, second) = (world.session("shop", "ann").await, world.session("shop", "ann").await);
    world.sql("UPDATE _1_sessions SET secret = 'junk' WHERE _id = 1").await;
    world.sql("UPDATE _1_memberships SET roles = 'junk' WHERE teamId = 'blue'").await;
    world.sql("INSERT INTO _1_memberships (_uid, userInternalId, confirm) VALUES ('m', '1', 1)").await;
    assert_eq!(world.who(&sessions(&[&first])).await, GUEST);
    let ann = world.identify("shop", &sessions(&[&second])).await.unwrap();
    assert!(roles(&ann).contains(&"team:red/owner".to_owned()));
    assert_eq!(ann.account.unwrap().memberships.len(), 1);
}

#[tokio::test]
async fn a_session_without_provider_or_end_proves_nothing() {
    let world = World::new().await;
    let token = world.session("shop", "ann").await;
    for column in ["provider", "expire"] {
        world.sql(&format!("CREATE TABLE backup AS SELECT {column} FROM _1_sessions")).await;
        world.sql(&format!("UPDATE _1_sessions SET {column} = NULL")).await;
        assert_eq!(world.who(&sessions(&[&token])).await, GUEST, "{column}");
        world.sql(&format!("UPDATE _1_sessions SET {column} = (SELECT {column} FROM backup)")).await;
        world.sql("DROP TABLE backup").await;
    }
    assert_eq!(world.who(&sessions(&[&token])).await, user("ann"));
}

#[tokio::test]
async fn a_jwt_stands_for_its_user() {
    let world = World::new().await;
    let ann = with_jwt(world.jwt("ann", None));
    let identity = world.identify("shop", &ann).await.unwrap();
    assert_eq!(
        (who(Ok(identity.clone())), identity.valid_for),
        (user("ann"), Some(Duration::from_secs(900)))
    );
    assert_eq!(world.who(&with_jwt(world.jwt("nobody", None))).await, GUEST);
    assert_eq!(world.who(&with_jwt(world.jwt("", None))).await, GUEST);
    assert_eq!(world.who(&with_jwt(Secret::new(""))).await, GUEST);
    world.pass(Duration::from_secs(900));
    assert_eq!(world.who(&ann).await, Err("Failed to verify JWT. Invalid token: Expired".into()));
}

#[tokio::test]
async fn a_jwt_of_a_session_lives_no_longer_than_the_session() {
    let world = World::new().await;
    let lasts = Duration::from_secs(60);
    let session = world.database.create_session(&"shop".into(), &"ann".into(), lasts).await.unwrap();
    let jwt = with_jwt(world.jwt("ann", Some(&session.id)));
    assert_eq!(world.identify("shop", &jwt).await.unwrap().valid_for, Some(lasts));
    assert_eq!(world.who(&with_jwt(world.jwt("ann", Some("none")))).await, GUEST);
    assert_eq!(world.who(&with_jwt(world.jwt("bob", Some(&session.id)))).await, GUEST);
    world.pass(Duration::from_secs(61));
    assert_eq!(world.who(&jwt).await, GUEST);
}

#[tokio::test]
async fn a_forged_jwt_is_refused() {
    let world = World::new().await;
    let forged = AppwriteJwt::new(Secret::new("guess")).issue(&"ann".into(), None, Timestamp::MAX).unwrap();
    let credentials = with_jwt(forged);
    let reason = Err("Failed to verify JWT. Invalid token: Signature failed".into());
    assert_eq!(world.who(&credentials).await, reason);
    assert_eq!(kind(world.identify("shop", &credentials).await), RefusalKind::Unauthorized);
}

#[tokio::test]
async fn a_jwt_beside_a_session_is_refused() {
    let world = World::new().await;
    let session = world.session("shop", "ann").await;
    let both = Credentials { jwt: Some(Secret::new("junk")), ..sessions(&[&session]) };
    let found = world.identify("shop", &both).await;
    assert_eq!(kind(found), RefusalKind::Forbidden);
    assert_eq!(world.who(&both).await, Err(JWT_AND_SESSION.into()));
    let stale = Credentials { jwt: Some(world.jwt("bob", None)), ..sessions(&[&token("ann", "wrong")]) };
    assert_eq!(world.who(&stale).await, user("bob"), "a session that proves nothing is no contradiction");
}

#[tokio::test]
async fn an_account_key_stands_for_a_user_of_the_console() {
    let world = World::new().await;
    let lasts = Some(Duration::from_secs(60));
    let key = world.database.create_account_key(&"boss".into(), None, "", lasts).await.unwrap();
    let other = world.database.create_account_key(&"outsider".into(), None, "", None).await.unwrap();
    let with = |key: &Secret, user: &str| Credentials {
        account_key: Some((key.clone(), user.into())),
        ..Credentials::default()
    };
    let boss = world.identify("shop", &with(&key.secret, "boss")).await.unwrap();
    assert_eq!((boss.admin, boss.valid_for), (true, lasts));
    assert_eq!(who(Ok(boss)), user("boss"));
    assert_eq!(world.who(&with(&key.secret, "outsider")).await, GUEST);
    assert_eq!(world.who(&with(&Secret::new("standard_x"), "boss")).await, GUEST);
    assert_eq!(world.who(&with(&other.secret, "outsider")).await, Err(NOT_A_MEMBER.into()));
    let session = world.session("shop", "ann").await;
    let both = Credentials { sessions: vec![session], ..with(&key.secret, "boss") };
    assert_eq!(world.who(&both).await, Err(KEY_AND_SESSION.into()));
    world.pass(Duration::from_secs(61));
    assert_eq!(world.who(&with(&key.secret, "boss")).await, Err(KEY_EXPIRED.into()));
}

#[tokio::test]
async fn in_admin_mode_users_are_those_of_the_console() {
    let world = World::new().await;
    let admin = |token: Secret| Credentials { admin: true, ..sessions(&[&token]) };
    let boss = admin(world.session("console", "boss").await);
    let identity = world.identify("shop", &boss).await.unwrap();
    assert_eq!((identity.admin, identity.user()), (true, Some(&"boss".into())));
    assert_eq!(world.who(&admin(world.session("shop", "ann").await)).await, GUEST);
    let jwt = Credentials { admin: true, ..with_jwt(world.jwt("boss", None)) };
    assert_eq!(world.who(&jwt).await, user("boss"));
    let without = sessions(&[&boss.sessions[0]]);
    assert_eq!(world.who(&without).await, GUEST, "a console session means nothing outside admin mode");
    let console = world.identify("console", &without).await.unwrap();
    assert_eq!((console.admin, console.user()), (false, Some(&"boss".into())));
}

#[tokio::test]
async fn admin_mode_is_for_the_projects_team() {
    let world = World::new().await;
    let token = world.session("console", "outsider").await;
    let outsider = Credentials { admin: true, ..sessions(&[&token]) };
    assert_eq!(world.who(&outsider).await, Err(NOT_A_MEMBER.into()));
    assert_eq!(who(world.identify("console", &outsider).await), user("outsider"));
    world.member("console", "org", "outsider", &["developer"], false).await;
    assert_eq!(world.who(&outsider).await, Err(NOT_A_MEMBER.into()), "an invitation is no membership");

    let open = World::with(|settings| settings.console_users_need_membership = false).await;
    let token = open.session("console", "outsider").await;
    let outsider = Credentials { admin: true, ..sessions(&[&token]) };
    assert_eq!(open.who(&outsider).await, user("outsider"));
}

#[tokio::test]
async fn an_impersonator_acts_as_another() {
    let world = World::new().await;
    let session = world.session("shop", "bob").await;
    let as_whom = |whom| Credentials { impersonate: Some(whom), ..sessions(&[&session]) };
    let ann = as_whom(Impersonate::Id("ann".into()));
    assert_eq!(world.who(&ann).await, user("bob"), "not everybody may");
    let may = UserChange { impersonator: Some(true), ..UserChange::default() };
    world.database.update_user(&"shop".into(), &"bob".into(), &may).await.unwrap();
    let identity = world.identify("shop", &ann).await.unwrap();
    assert_eq!(identity.user(), Some(&"ann".into()));
    let actor = identity.actor.unwrap();
    assert_eq!((&actor.project, &actor.user), (&"shop".into(), &"bob".into()));
    assert!(actor.session.is_some());
    assert_eq!(identity.valid_for, Some(Duration::from_secs(3600)));
    assert_eq!(world.who(&as_whom(Impersonate::Email("ANN@Example.com".into()))).await, user("ann"));
    assert_eq!(world.who(&as_whom(Impersonate::Phone("+1".into()))).await, user("bob"));
    let nobody = world.identify("shop", &as_whom(Impersonate::Id("nobody".into()))).await.unwrap();
    assert_eq!((nobody.actor.is_none(), nobody.user()), (true, Some(&"bob".into())));
}

#[tokio::test]
async fn whom_an_administrator_acts_as_must_be_a_member_too() {
    let world = World::new().await;
    let session = world.session("console", "boss").await;
    let may = UserChange { impersonator: Some(true), ..UserChange::default() };
    world.database.update_user(&"console".into(), &"boss".into(), &may).await.unwrap();
    let outsider = Some(Impersonate::Id("outsider".into()));
    let shown = Credentials { admin: true, impersonate: outsider, ..sessions(&[&session]) };
    assert_eq!(world.who(&shown).await, Err(NOT_A_MEMBER.into()));
    world.member("console", "org", "outsider", &["dev"], true).await;
    assert_eq!(world.who(&shown).await, user("outsider"));
}

#[tokio::test]
async fn a_development_key_is_good_in_its_project_until_it_expires() {
    let world = World::new().await;
    let lasts = Some(Duration::from_secs(60));
    let key = world.database.create_dev_key(&"shop".into(), None, "", lasts).await.unwrap();
    let with = |key: Secret| Credentials { dev_key: Some(key), ..Credentials::default() };
    let shown = with(key.secret);
    assert!(world.identify("shop", &shown).await.unwrap().dev_key);
    assert!(!world.identify("other", &shown).await.unwrap().dev_key);
    assert!(!world.identify("shop", &with(Secret::new("guess"))).await.unwrap().dev_key);
    assert!(!world.identify("shop", &with(Secret::new(""))).await.unwrap().dev_key);
    world.pass(Duration::from_secs(61));
    assert!(!world.identify("shop", &shown).await.unwrap().dev_key);
}

#[tokio::test]
async fn a_blocked_user_is_refused() {
    let world = World::new().await;
    let carol = sessions(&[&world.session("shop", "carol").await]);
    assert_eq!(world.who(&carol).await, Err(BLOCKED.into()));
    assert_eq!(kind(world.identify("shop", &carol).await), RefusalKind::Unauthorized);
    assert_eq!(world.who(&with_jwt(world.jwt("carol", None))).await, Err(BLOCKED.into()));
    assert_eq!(world.who(&with_jwt(backend_jwt(json!({"sub": "carol"})))).await, Err(BLOCKED.into()));
    assert!(matches!(
        world.directory.refresh(&*world.project("shop").await, &"carol".into()).await,
        Err(DirectoryError::Refused(refusal)) if refusal.message == BLOCKED
    ));
    let like_appwrite = World::with(|settings| settings.refuse_blocked = false).await;
    let carol = sessions(&[&like_appwrite.session("shop", "carol").await]);
    assert_eq!(like_appwrite.who(&carol).await, user("carol"));
}

#[tokio::test]
async fn a_backends_jwt_makes_a_user_of_its_claims() {
    let world = World::new().await;
    let jwt = backend_jwt(json!({"sub": "zoe", "teams": {"red": ["dev"]}, "labels": ["vip"]}));
    let zoe = world.identify("shop", &with_jwt(jwt)).await.unwrap();
    assert_eq!(zoe.valid_for, Some(Duration::from_secs(600)));
    assert_eq!(
        roles(&zoe),
        [
            "user:zoe",
            "users",
            "user:zoe/unverified",
            "users/unverified",
            "team:red",
            "member:red:zoe",
            "team:red/dev",
            "label:vip"
        ]
    );
}

#[tokio::test]
async fn what_the_directory_knows_outweighs_a_backends_claims() {
    let world = World::new().await;
    let jwt = backend_jwt(json!({"sub": "bob", "teams": ["red"], "labels": ["vip"], "verified": true}));
    let bob = world.identify("shop", &with_jwt(jwt)).await.unwrap();
    assert_eq!(roles(&bob), ["user:bob", "users", "user:bob/unverified", "users/unverified"]);
}

#[tokio::test]
async fn a_backend_does_not_speak_for_the_console() {
    let world = World::new().await;
    let boss = with_jwt(backend_jwt(json!({"sub": "boss"})));
    assert!(who(world.identify("console", &boss).await).is_err());
    let admin = Credentials { admin: true, ..boss };
    assert!(world.who(&admin).await.is_err());
}

#[tokio::test]
async fn each_jwt_is_judged_by_its_own_keys() {
    let world = World::new().await;
    let expired = world.jwt("ann", None);
    world.pass(Duration::from_secs(901));
    let reason = Err("Failed to verify JWT. Invalid token: Expired".into());
    assert_eq!(world.who(&with_jwt(expired)).await, reason, "Appwrite's verdict on its own token is final");
    // Signed with Appwrite's key, but in the form of a backend's token: no key of a backend made that signature.
    let header = JwtHeader { kid: Some("k".into()), ..JwtHeader::default() };
    let claims = json!({"sub": "zoe", "userId": "zoe", "exp": NOW + 6000});
    let key = EncodingKey::from_secret(KEY.as_bytes());
    let named = Secret::new(jsonwebtoken::encode(&header, &claims, &key).unwrap());
    let reason = Err("Failed to verify JWT. Invalid token: Signature failed".into());
    assert_eq!(world.who(&with_jwt(named)).await, reason);
    let alone = World::with(|settings| settings.backend = None).await;
    assert_eq!(alone.who(&with_jwt(backend_jwt(json!({"sub": "zoe"})))).await, reason);
}

#[tokio::test]
async fn a_message_authenticates_by_session_or_jwt() {
    let world = World::new().await;
    let shop = world.project("shop").await;
    let session = Credential::Session(world.session("shop", "ann").await);
    let ann = world.directory.authenticate(&shop, &session).await.unwrap().unwrap();
    assert_eq!((ann.user(), ann.valid_for), (Some(&"ann".into()), Some(Duration::from_secs(3600))));
    let jwt = Credential::Jwt(world.jwt("bob", None));
    let bob = world.directory.authenticate(&shop, &jwt).await.unwrap().unwrap();
    assert_eq!(bob.user(), Some(&"bob".into()));
    let console = Credential::Session(world.session("console", "boss").await);
    assert_eq!(world.directory.authenticate(&shop, &console).await.unwrap(), None);
    assert_eq!(
        world.directory.authenticate(&shop, &Credential::Session(token("ann", "x"))).await.unwrap(),
        None
    );
    assert!(world.directory.authenticate(&shop, &Credential::Jwt(Secret::new("x"))).await.is_err());
}

#[tokio::test]
async fn a_refresh_sees_what_changed() {
    let world = World::new().await;
    let shop = world.project("shop").await;
    let refresh = async || world.directory.refresh(&shop, &"bob".into()).await.unwrap();
    assert!(!refresh().await.unwrap().account.email_verified);
    let to = UserChange { verified: Some(true), labels: Some(vec!["new".into()]), ..UserChange::default() };
    world.database.update_user(&"shop".into(), &"bob".into(), &to).await.unwrap();
    let bob = refresh().await.unwrap().account;
    assert_eq!((bob.email_verified, bob.labels.as_slice()), (true, &["new".to_owned()][..]));
    world.database.remove_user(&"shop".into(), &"bob".into()).await.unwrap();
    assert_eq!(refresh().await, None);
    world.database.remove_project(&"shop".into()).await.unwrap();
    assert_eq!(refresh().await, None);
}

#[tokio::test]
async fn a_refresh_lists_the_sessions_that_are_good() {
    let world = World::new().await;
    let shop = world.project("shop").await;
    let listed = async || world.directory.refresh(&shop, &"bob".into()).await.unwrap().unwrap().sessions;
    assert!(listed().await.is_empty());
    let token = world.session("shop", "bob").await;
    let proof = sessions(&[&token]);
    let session = world.identify("shop", &proof).await.unwrap().session.unwrap();
    assert_eq!(listed().await, std::slice::from_ref(&session));
    let jwt = world.jwt("bob", Some(session.as_str()));
    let by_jwt = world.directory.authenticate(&shop, &Credential::Jwt(jwt)).await;
    assert_eq!(by_jwt.unwrap().unwrap().session, Some(session.clone()), "a token ends with its session");
    world.database.remove_session(&"shop".into(), session.as_str()).await.unwrap();
    assert!(listed().await.is_empty());
}

#[tokio::test]
async fn an_api_key_is_good_in_its_project_until_it_expires() {
    let world = World::new().await;
    let lasts = Some(Duration::from_secs(60));
    let scopes = ["events.write".to_owned()];
    let key = world.database.create_key(&"shop".into(), Some("k"), "", &scopes, lasts).await.unwrap();
    let (shop, other) = (world.project("shop").await, world.project("other").await);
    let found = world.directory.api_key(&shop, &key.secret).await.unwrap();
    assert_eq!(found, Some(ApiKey { id: "k".into(), scopes: scopes.to_vec() }));
    assert_eq!(world.directory.api_key(&other, &key.secret).await.unwrap(), None);
    for guess in ["", "standard_", "standard_guess"] {
        assert_eq!(world.directory.api_key(&shop, &Secret::new(guess)).await.unwrap(), None, "{guess}");
    }
    world.pass(Duration::from_secs(61));
    assert_eq!(world.directory.api_key(&shop, &key.secret).await.unwrap(), None);
}

#[tokio::test]
async fn a_custom_domain_belongs_to_its_project() {
    let world = World::with(|settings| settings.trusted_projects = vec!["other".into()]).await;
    world.database.create_domain(&"shop".into(), "Shop.example.com").await.unwrap();
    world.database.create_domain(&"other".into(), "other.example.com").await.unwrap();
    let (shop, other) = (world.project("shop").await, world.project("other").await);
    let owns = async |project: &Project, host| world.directory.owns_host(project, host).await.unwrap();
    assert!(owns(&shop, "shop.EXAMPLE.com").await);
    assert!(!owns(&other, "shop.example.com").await);
    assert!(owns(&shop, "other.example.com").await, "a trusted project's domain is good everywhere");
    assert!(!owns(&shop, "evil.example.com").await);
}

#[tokio::test]
async fn a_database_that_is_gone_is_an_error_and_never_a_guest() {
    let world = World::new().await;
    let ann = sessions(&[&world.session("shop", "ann").await]);
    let shop = world.project("shop").await;
    world.database.close().await;
    let found = world.directory.identify(&shop, &ann).await;
    assert!(matches!(found, Err(DirectoryError::Unavailable { directory: "sqlite", .. })), "{found:?}");
}
