//! Tokens of backends: forged, stale, misdirected, and right.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::time::{Duration, SystemTime};

use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{EncodingKey, Header as JwtHeader};
use proptest::prelude::*;
use serde_json::json;

use super::*;

// Key pairs made for these tests; they protect nothing.
const RSA: &str = include_str!("keys/rsa.private.pem");
const RSA_PUBLIC: &str = include_str!("keys/rsa.public.pem");
const P256: &str = include_str!("keys/p256.private.pem");
const P256_PUBLIC: &str = include_str!("keys/p256.public.pem");
const P384_PUBLIC: &str = include_str!("keys/p384.public.pem");
const ED25519: &str = include_str!("keys/ed25519.private.pem");
const ED25519_PUBLIC: &str = include_str!("keys/ed25519.public.pem");
const SECRET: &str = "0123456789abcdef0123456789abcdef";

const NOW: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn encoding(algorithm: Algorithm) -> EncodingKey {
    if algorithm == Algorithm::RS256 {
        EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap()
    } else if algorithm == Algorithm::ES256 {
        EncodingKey::from_ec_pem(P256.as_bytes()).unwrap()
    } else if algorithm == Algorithm::EdDSA {
        EncodingKey::from_ed_pem(ED25519.as_bytes()).unwrap()
    } else {
        EncodingKey::from_secret(SECRET.as_bytes())
    }
}

fn signed(algorithm: Algorithm, name: Option<&str>, claims: &Value) -> String {
    let mut header = JwtHeader::new(algorithm);
    header.kid = name.map(str::to_owned);
    jsonwebtoken::encode(&header, claims, &encoding(algorithm)).unwrap()
}

fn with(keys: Vec<BackendKey>) -> BackendJwt {
    BackendJwt::new(BackendJwtSettings { keys, ..BackendJwtSettings::default() }).unwrap()
}

fn shared() -> BackendKey {
    BackendKey::Hs256(Secret::new(SECRET))
}

fn public(pem: &str) -> BackendKey {
    BackendKey::PublicPem(pem.to_owned())
}

fn verdict(backend: &BackendJwt, token: &str) -> Result<Speaker, BackendJwtError> {
    backend.verify(token, &"shop".into(), at(NOW))
}

/// What a backend with the shared secret gets for these claims, expiry added.
fn said(mut claims: Value) -> Result<Account, BackendJwtError> {
    let object = claims.as_object_mut().unwrap();
    object.entry("exp").or_insert(json!(NOW + 60));
    object.entry("sub").or_insert(json!("ann"));
    verdict(&with(vec![shared()]), &signed(Algorithm::HS256, None, &claims)).map(|speaker| speaker.account)
}

fn roles(account: &Account) -> Vec<String> {
    realtime_core::identity::roles_of(account).iter().map(ToString::to_string).collect()
}

fn good() -> Value {
    json!({"sub": "ann", "exp": NOW + 60})
}

#[test]
fn each_algorithm_verifies_with_its_key() {
    let cases = [
        (Algorithm::HS256, shared()),
        (Algorithm::RS256, public(RSA_PUBLIC)),
        (Algorithm::ES256, public(P256_PUBLIC)),
        (Algorithm::EdDSA, public(ED25519_PUBLIC)),
    ];
    for (algorithm, key) in cases {
        let speaker = verdict(&with(vec![key]), &signed(algorithm, None, &good())).unwrap();
        assert_eq!(speaker.account.id.as_str(), "ann", "{algorithm:?}");
        assert_eq!(speaker.expires, at(NOW + 60));
    }
}

#[test]
fn no_key_verifies_a_token_of_another_algorithm() {
    let all = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    let keys = [shared(), public(RSA_PUBLIC), public(P256_PUBLIC), public(ED25519_PUBLIC)];
    for (key, own) in keys.into_iter().zip(all) {
        let backend = with(vec![key]);
        for algorithm in all.into_iter().filter(|algorithm| *algorithm != own) {
            let token = signed(algorithm, None, &good());
            assert_eq!(
                verdict(&backend, &token),
                Err(BackendJwtError::SignatureFailed),
                "{own:?} {algorithm:?}"
            );
        }
    }
}

#[test]
fn a_public_key_is_never_a_shared_secret() {
    let backend = with(vec![public(RSA_PUBLIC)]);
    for secret in [RSA_PUBLIC, RSA_PUBLIC.trim()] {
        let key = EncodingKey::from_secret(secret.as_bytes());
        let token = jsonwebtoken::encode(&JwtHeader::new(Algorithm::HS256), &good(), &key).unwrap();
        assert_eq!(verdict(&backend, &token), Err(BackendJwtError::SignatureFailed));
    }
    let as_secret = BackendJwt::new(BackendJwtSettings {
        keys: vec![BackendKey::Hs256(Secret::new(RSA_PUBLIC))],
        ..BackendJwtSettings::default()
    });
    assert_eq!(as_secret.unwrap_err(), BackendKeyError::PemAsSecret);
}

#[test]
fn an_unsigned_token_is_refused() {
    let claims = URL_SAFE_NO_PAD.encode(good().to_string());
    for algorithm in ["none", "None", "NONE", "", "HS384", "RS512", "PS256", "ES384"] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm}).to_string());
        let reason = verdict(&with(vec![shared()]), &format!("{header}.{claims}."));
        assert_eq!(reason, Err(BackendJwtError::UnsupportedAlgorithm), "{algorithm}");
    }
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let reason = verdict(&with(vec![shared()]), &format!("{header}.{claims}."));
    assert_eq!(reason, Err(BackendJwtError::SignatureFailed));
}

#[test]
fn a_changed_token_is_refused() {
    let token = signed(Algorithm::HS256, None, &good());
    let (header, rest) = token.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let claims = URL_SAFE_NO_PAD.encode(json!({"sub": "root", "exp": NOW + 60}).to_string());
    let forged = format!("{header}.{claims}.{signature}");
    assert_eq!(verdict(&with(vec![shared()]), &forged), Err(BackendJwtError::SignatureFailed));
}

#[test]
fn a_header_that_demands_understanding_is_refused() {
    let claims = URL_SAFE_NO_PAD.encode(good().to_string());
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#);
    let signature = jsonwebtoken::crypto::sign(
        format!("{header}.{claims}").as_bytes(),
        &encoding(Algorithm::HS256),
        Algorithm::HS256,
    );
    let token = format!("{header}.{claims}.{}", signature.unwrap());
    assert_eq!(verdict(&with(vec![shared()]), &token), Err(BackendJwtError::Critical));
}

#[test]
fn a_token_is_good_between_its_times_give_or_take_the_leeway() {
    let strict = with(vec![shared()]);
    let settings = BackendJwtSettings {
        keys: vec![shared()],
        leeway: SignedDuration::from_secs(10),
        ..Default::default()
    };
    let lenient = BackendJwt::new(settings).unwrap();
    let cases = [
        (json!({"sub": "a", "exp": NOW + 1}), None, None),
        (json!({"sub": "a", "exp": NOW}), Some(BackendJwtError::Expired), None),
        (
            json!({"sub": "a", "exp": NOW - 10}),
            Some(BackendJwtError::Expired),
            Some(BackendJwtError::Expired),
        ),
        (json!({"sub": "a", "exp": NOW + 60, "nbf": NOW}), None, None),
        (json!({"sub": "a", "exp": NOW + 60, "nbf": NOW + 10}), Some(BackendJwtError::NotNow), None),
        (
            json!({"sub": "a", "exp": NOW + 60, "nbf": NOW + 11}),
            Some(BackendJwtError::NotNow),
            Some(BackendJwtError::NotNow),
        ),
        (json!({"sub": "a"}), Some(BackendJwtError::NoExpiry), Some(BackendJwtError::NoExpiry)),
        (json!({"sub": "a", "exp": "soon"}), Some(BackendJwtError::Expired), Some(BackendJwtError::Expired)),
    ];
    for (claims, by_strict, by_lenient) in cases {
        let token = signed(Algorithm::HS256, None, &claims);
        assert_eq!(verdict(&strict, &token).err(), by_strict, "{claims}");
        assert_eq!(verdict(&lenient, &token).err(), by_lenient, "{claims}");
    }
}

#[test]
fn a_token_for_somebody_else_is_refused() {
    let open = with(vec![shared()]);
    let settings =
        BackendJwtSettings { keys: vec![shared()], audiences: vec!["realtime".into()], ..Default::default() };
    let named = BackendJwt::new(settings).unwrap();
    let cases = [
        (json!({}), true, false),
        (json!({"project": "shop"}), true, false),
        (json!({"project": "Shop"}), false, false),
        (json!({"project": ["shop"]}), false, false),
        (json!({"aud": "shop"}), true, true),
        (json!({"aud": ["other", "shop"]}), true, true),
        (json!({"aud": "realtime"}), false, true),
        (json!({"aud": "other"}), false, false),
        (json!({"aud": []}), false, false),
        (json!({"aud": "realtime", "project": "other"}), false, false),
    ];
    for (mut claims, by_open, by_named) in cases {
        claims.as_object_mut().unwrap().extend(good().as_object().unwrap().clone());
        let token = signed(Algorithm::HS256, None, &claims);
        assert_eq!(verdict(&open, &token).is_ok(), by_open, "{claims}");
        assert_eq!(verdict(&named, &token).is_ok(), by_named, "{claims}");
    }
}

#[test]
fn claims_become_roles() {
    let account = said(json!({
        "sub": "ann", "verified": true, "labels": ["vip"], "teams": [{"id": "red", "roles": ["owner"]}, "blue"]
    }))
    .unwrap();
    assert_eq!(
        roles(&account),
        [
            "user:ann",
            "users",
            "user:ann/verified",
            "users/verified",
            "team:red",
            "member:red:ann",
            "team:red/owner",
            "team:blue",
            "member:blue:ann",
            "label:vip"
        ]
    );
}

#[test]
fn teams_may_be_a_list_or_a_map() {
    let lists = said(json!({"teams": [{"id": "red", "roles": ["owner"]}, {"id": "blue"}]})).unwrap();
    let map = said(json!({"teams": {"red": ["owner"], "blue": []}})).unwrap();
    assert_eq!(lists.memberships, map.memberships);
    assert_eq!(said(json!({"teams": ["red"]})).unwrap().memberships.len(), 1);
}

#[test]
fn names_that_would_be_another_role_are_refused() {
    for id in ["ann/verified", "", "ann bob", "ann\n", &"a".repeat(256)] {
        assert_eq!(said(json!({"sub": id})), Err(BackendJwtError::User), "{id:?}");
    }
    for teams in
        [json!(["red/owner"]), json!([{"id": ""}]), json!({"red": ["a/b"]}), json!([7]), json!("red")]
    {
        assert_eq!(said(json!({"teams": teams})), Err(BackendJwtError::Rights), "{teams}");
    }
    assert_eq!(said(json!({"labels": [1]})), Err(BackendJwtError::Rights));
    assert_eq!(said(json!({"sub": 7})), Err(BackendJwtError::User));
}

#[test]
fn a_token_that_names_two_users_is_refused() {
    assert_eq!(said(json!({"sub": "ann", "userId": "bob"})), Err(BackendJwtError::User));
    assert_eq!(said(json!({"sub": "ann", "userId": "ann"})).unwrap().id.as_str(), "ann");
}

#[test]
fn only_true_is_verified() {
    assert!(said(json!({"email_verified": true})).unwrap().email_verified);
    for value in [json!(false), json!("true"), json!(1), json!(null)] {
        assert!(
            !said(json!({"email_verified": value, "verified": value})).unwrap().email_verified,
            "{value}"
        );
    }
}

#[test]
fn claims_have_the_shape_of_an_account() {
    let account = said(json!({"sub": "ann", "name": "Ann", "email": "ann@example.com", "labels": ["vip"]}));
    let profile: Value = serde_json::from_slice(&account.unwrap().profile).unwrap();
    let (id, name, email) = (&profile["$id"], &profile["name"], &profile["email"]);
    assert_eq!((id, name, email), (&json!("ann"), &json!("Ann"), &json!("ann@example.com")));
    assert_eq!(
        (&profile["labels"], &profile["status"], &profile["prefs"]),
        (&json!(["vip"]), &json!(true), &json!({}))
    );
}

#[test]
fn keys_that_cannot_be_used_are_refused_with_advice() {
    let refusal =
        |key| BackendJwt::new(BackendJwtSettings { keys: vec![key], ..Default::default() }).unwrap_err();
    assert_eq!(refusal(BackendKey::Hs256(Secret::new("short"))), BackendKeyError::ShortSecret(5));
    assert_eq!(refusal(public(RSA)), BackendKeyError::PrivateKey);
    assert_eq!(refusal(public(P384_PUBLIC)), BackendKeyError::UnknownKey);
    assert_eq!(refusal(public("no key")), BackendKeyError::UnknownKey);
    let missing = refusal(BackendKey::KeySetFile("/does/not/exist.json".into()));
    assert!(missing.to_string().contains("/does/not/exist.json"));
}

fn jwk(algorithm: Algorithm, name: &str) -> Value {
    let mut jwk = Jwk::from_encoding_key(&encoding(algorithm), algorithm).unwrap();
    assert!(jwk.thumbprint(ThumbprintHash::SHA256).is_ok());
    jwk.common.key_id = Some(name.to_owned());
    serde_json::to_value(jwk).unwrap()
}

#[test]
fn a_key_set_offers_its_keys_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let oct = json!({"kty": "oct", "kid": "shared", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET)});
    let short = json!({"kty": "OKP", "crv": "Ed25519", "kid": "short", "x": "AAAA"});
    let set = json!({"keys": [
        {"kty": "new"}, 7, oct, short,
        jwk(Algorithm::RS256, "r"), jwk(Algorithm::ES256, "e"), jwk(Algorithm::EdDSA, "d")
    ]});
    std::fs::write(&path, set.to_string()).unwrap();
    let backend = with(vec![BackendKey::KeySetFile(path)]);
    for (algorithm, name) in [(Algorithm::RS256, "r"), (Algorithm::ES256, "e"), (Algorithm::EdDSA, "d")] {
        assert!(verdict(&backend, &signed(algorithm, Some(name), &good())).is_ok(), "{name}");
        assert!(verdict(&backend, &signed(algorithm, None, &good())).is_ok(), "{name} unnamed");
        let misnamed = verdict(&backend, &signed(algorithm, Some("other"), &good()));
        assert_eq!(misnamed, Err(BackendJwtError::SignatureFailed), "{name} misnamed");
    }
    let shared = verdict(&backend, &signed(Algorithm::HS256, Some("shared"), &good()));
    assert_eq!(shared, Err(BackendJwtError::SignatureFailed), "a key set holds public keys only");
}

#[test]
fn a_changed_key_set_is_read_again_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let mut writes = 0;
    let mut write = |text: &str| {
        writes += 1;
        std::fs::write(&path, text).unwrap();
        let file = std::fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(writes)).unwrap();
    };
    write(&json!({"keys": [jwk(Algorithm::ES256, "e")]}).to_string());
    let backend = with(vec![BackendKey::KeySetFile(path.clone())]);
    let (old, new) =
        (signed(Algorithm::ES256, Some("e"), &good()), signed(Algorithm::EdDSA, Some("d"), &good()));
    assert_eq!((verdict(&backend, &old).is_ok(), verdict(&backend, &new).is_ok()), (true, false));
    write(&json!({"keys": [jwk(Algorithm::EdDSA, "d")]}).to_string());
    assert_eq!((verdict(&backend, &old).is_ok(), verdict(&backend, &new).is_ok()), (false, true));
    for broken in ["", "{}", r#"{"keys":[]}"#] {
        write(broken);
        assert_eq!(
            (verdict(&backend, &old).is_ok(), verdict(&backend, &new).is_ok()),
            (false, true),
            "{broken}"
        );
    }
    std::fs::remove_file(&path).unwrap();
    assert!(verdict(&backend, &new).is_ok());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z/ ]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("id|roles|[a-z/]{0,3}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_token_panics(token in r"[A-Za-z0-9_\-=é.]{0,120}") {
        prop_assert!(verdict(&with(vec![shared(), public(ED25519_PUBLIC)]), &token).is_err());
    }

    #[test]
    fn no_claims_panic(claims in prop::collection::btree_map(
        "sub|userId|exp|nbf|aud|project|teams|labels|verified|name|email", any_json(), 0..6,
    )) {
        let claims = Value::Object(claims.into_iter().collect());
        let _ = verdict(&with(vec![shared()]), &signed(Algorithm::HS256, None, &claims));
    }
}
