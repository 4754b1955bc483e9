//! Targets for tokens: whoever does not hold the key is nobody, and whoever does is bound by the claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use realtime_core::id::ProjectId;
use realtime_core::secret::Secret;
use realtime_server::directory::appwrite_jwt::AppwriteJwt;
use realtime_server::directory::backend_jwt::{BackendJwt, BackendJwtSettings, BackendKey};
use sha2::Sha256;

const KEY: &str = "a key of thirty-two bytes or more";

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("it is in range")
}

/// A header in the first line, claims in the others, for a token that Appwrite might have issued.
pub fn appwrite_jwt(data: &[u8]) {
    let jwt = AppwriteJwt::new(Secret::new(KEY));
    let verify = |token: &str| jwt.verify(token, now());
    verify(&String::from_utf8_lossy(data)).expect_err("nobody has signed it");
    let [token, forged] = tokens(data);
    verify(&forged).expect_err("it was signed with another key");
    if let Ok(claims) = verify(&token) {
        assert!(claims.expires.is_none_or(|expires| expires > now()));
    }
}

/// The same for a token of a backend that has users of its own: it speaks of somebody who is safe in a role.
pub fn backend_jwt(data: &[u8]) {
    let settings = BackendJwtSettings {
        keys: vec![BackendKey::Hs256(Secret::new(KEY))],
        audiences: vec!["realtime".to_owned()],
        leeway: SignedDuration::from_secs(10),
    };
    let jwt = BackendJwt::new(settings).expect("the key is long enough");
    let verify = |token: &str| jwt.verify(token, &ProjectId::new("p"), now());
    verify(&String::from_utf8_lossy(data)).expect_err("nobody has signed it");
    let [token, forged] = tokens(data);
    verify(&forged).expect_err("it was signed with another key");
    let Ok(speaker) = verify(&token) else { return };
    assert!(speaker.expires > now());
    let account = speaker.account;
    let teams = account.memberships.iter().map(|membership| membership.team.as_str());
    let roles = account.memberships.iter().flat_map(|membership| &membership.roles).map(String::as_str);
    let labels = account.labels.iter().map(String::as_str);
    for name in [account.id.as_str()].into_iter().chain(teams).chain(roles).chain(labels) {
        assert!(!name.is_empty() && !name.contains(['/', ' ', '\n']), "{name:?} is not safe in a role");
    }
    serde_json::from_slice::<serde_json::Map<_, _>>(&account.profile).expect("the profile is an object");
}

/// The header and claims in `data`, signed with the key and with another one.
fn tokens(data: &[u8]) -> [String; 2] {
    let (header, claims) = match data.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &b""[..]),
    };
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    [KEY, "another key of thirty-two bytes or more"].map(|key| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("any key will do");
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    })
}
