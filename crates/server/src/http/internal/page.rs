//! The console's page and what belongs to it, embedded in the binary.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use http::{HeaderValue, Response, StatusCode};
use rust_embed::Embed;

use crate::http::plain;
use crate::http::problem::Problem;

/// What `npm run build` makes of `console/`.
#[derive(Embed)]
#[folder = "../../console/dist"]
struct Assets;

const INDEX: &str = "index.html";
/// Stands in the page where the nonce belongs.
const NONCE: &str = "{{nonce}}";

/// The file at a path below the console.
///
/// # Errors
/// There is none.
pub(super) fn file(path: &str) -> Result<Response<Bytes>, Problem> {
    let name = if path.is_empty() { INDEX } else { path };
    let file = Assets::get(name).ok_or_else(|| Problem::not_found(&format!("/console/{path}")))?;
    if name == INDEX {
        return Ok(index(&String::from_utf8_lossy(&file.data)));
    }
    let kind = match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let bytes = match file.data {
        std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let mut response = plain(StatusCode::OK, kind, bytes);
    // What is below `assets` is named for its contents.
    let keep = if name.starts_with("assets/") { "max-age=31536000, immutable" } else { "no-cache" };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    Ok(response)
}

/// The page, whose styles made as it runs are let through by a nonce that nobody can guess. Everything else comes from
/// the page's own origin.
fn index(text: &str) -> Response<Bytes> {
    let nonce = STANDARD_NO_PAD.encode(rand::random::<[u8; 16]>());
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut response = plain(StatusCode::OK, "text/html; charset=utf-8", text.replace(NONCE, &nonce));
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_fresh_nonce_each_time_and_lets_nothing_inline_through() {
        let seen = [file("").unwrap(), file("").unwrap()].map(|response| {
            let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
            assert!(!policy.contains("unsafe"), "{policy}");
            let (_, rest) = policy.split_once("'nonce-").unwrap();
            let nonce = rest.split('\'').next().unwrap().to_owned();
            let page = String::from_utf8(response.into_body().to_vec()).unwrap();
            assert!(page.contains(&format!("nonce=\"{nonce}\"")) && !page.contains(NONCE));
            nonce
        });
        assert_ne!(seen[0], seen[1]);
    }

    #[test]
    fn everything_that_the_page_names_is_there_and_nothing_outside() {
        let page = String::from_utf8(file("").unwrap().into_body().to_vec()).unwrap();
        let named: Vec<&str> = page.split('"').filter_map(|part| part.strip_prefix("/console/")).collect();
        assert!(named.len() >= 3, "{named:?}");
        for name in named {
            assert_eq!(file(name).unwrap().status(), StatusCode::OK, "{name}");
        }
        for name in ["none", "../Cargo.toml", "assets", "assets/../../src/main.tsx"] {
            assert!(file(name).is_err(), "{name}");
        }
    }
}
