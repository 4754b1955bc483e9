//! How a connection begins: everything that the head of an HTTP request says, for any transport that starts with one.
//!
//! ```
//! use std::net::{IpAddr, Ipv4Addr};
//!
//! use realtime_protocol::appwrite::hello;
//!
//! let uri = "/v1/realtime?project=shop&channels[]=account&channels=documents.X";
//! let (parts, ()) = http::Request::get(uri).body(()).unwrap().into_parts();
//! let hello = hello::read(&parts, IpAddr::V4(Ipv4Addr::LOCALHOST), &[]).unwrap();
//! assert_eq!(hello.project.as_str(), "shop");
//! assert_eq!(hello.channels, ["account".into(), "documents.X".into()]);
//! ```

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use http::header::{COOKIE, HeaderMap, HeaderName, ORIGIN, REFERER};
use http::request::Parts;
use realtime_core::channel::Channel;
use realtime_core::command::{Hello, SlotKey};
use realtime_core::id::{EventId, ProjectId, UserId};
use realtime_core::identity::{Credentials, Impersonate};
use realtime_core::refusal::Refusal;
use realtime_core::secret::Secret;
use serde_json::Value;

use super::cookie::Cookies;
use super::query_string::{Param, QueryString};

/// How many channels a URL may name. A head of 64 KiB, which is Appwrite's limit, cannot hold as many.
pub const MAX_CHANNELS: usize = 10_000;

/// The parameter that lists channels.
const CHANNELS: &str = "channels";
/// The parameter that names the project; as a list it holds the queries of the channel `project`.
const PROJECT: &str = "project";
/// The slot of queries that came without one.
const DEFAULT_SLOT: &str = "0";

/// The parameter by which a client asks to be told when events may be missing; not Appwrite's.
const GAPS: &str = "gaps";

/// Slots of a channel's queries, in the order given.
type Slots = Vec<(SlotKey, Vec<String>)>;

/// Reads the head of a request. `peer` is the other end of the link; `trusted` names headers that a proxy in front sets
/// to the client's address.
///
/// Fails if the URL names more than [`MAX_CHANNELS`] channels, or gives queries that are not text.
///
/// Wider than Appwrite: `channels=a` is one channel, and may stand beside `channels[]=b`; a session cookie is also found
/// under the project's id in lower case or mangled by PHP; an empty header does not hide a parameter.
pub fn read(parts: &Parts, peer: IpAddr, trusted: &[HeaderName]) -> Result<Hello, Refusal> {
    let text = parts.uri.query().unwrap_or_default();
    let query = QueryString::parse_with_list(text.as_bytes(), CHANNELS, MAX_CHANNELS).map_err(|too_long| {
        Refusal::policy(format!(
            "Too many channels: a URL may name {}. Open the connection without channels and subscribe in messages.",
            too_long.limit
        ))
    })?;
    let head = Head { headers: &parts.headers, query };
    let project =
        head.given("x-appwrite-project", &[PROJECT]).map_or_else(ProjectId::console, ProjectId::new);
    let channels = head.channels();
    Ok(Hello {
        credentials: head.credentials(&project),
        address: client_address(&parts.headers, peer, trusted),
        path: parts.uri.path().to_owned(),
        origin: head.header(ORIGIN.as_str()).unwrap_or_default(),
        referer: head.header(REFERER.as_str()).unwrap_or_default(),
        queries: head.queries(&channels)?,
        since: head.since(),
        wants_gaps: head.query.text(GAPS).is_some_and(|value| value == "1"),
        channels,
        project,
    })
}

/// The client's address: the leftmost entry of the first trusted header that begins with an address, else the peer's.
/// IPv4 in IPv6's clothes comes back as IPv4.
pub fn client_address(headers: &HeaderMap, peer: IpAddr, trusted: &[HeaderName]) -> IpAddr {
    let forwarded = trusted.iter().find_map(|name| {
        let value = headers.get(name)?.to_str().ok()?;
        value.split(',').next()?.trim().parse::<IpAddr>().ok()
    });
    forwarded.unwrap_or(peer).to_canonical()
}

/// A request's head, and its query string read once.
struct Head<'a> {
    headers: &'a HeaderMap,
    query: QueryString,
}

impl Head<'_> {
    /// A header's value; repeated ones are joined as RFC 9110 §5.3 allows and Appwrite does.
    fn header(&self, name: &str) -> Option<String> {
        let mut values =
            self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let first = values.next()?.into_owned();
        Some(values.fold(first, |joined, value| joined + ", " + &value))
    }

    /// What stands in a header, else in the first of the parameters. To PHP, which Appwrite's checks are written in,
    /// `"0"` is as good as nothing.
    fn given(&self, header: &str, params: &[&str]) -> Option<String> {
        let params = params.iter().filter_map(|name| self.query.text(name).map(str::to_owned));
        self.header(header).into_iter().chain(params).find(|text| !matches!(text.as_str(), "" | "0"))
    }

    fn since(&self) -> Option<EventId> {
        let header = self.header("last-event-id").filter(|id| !id.is_empty());
        let id = header.or_else(|| self.query.text("since").map(str::to_owned))?;
        (!id.is_empty()).then(|| EventId::new(id))
    }

    fn channels(&self) -> Vec<Channel> {
        let members = self.query.list(CHANNELS).into_iter().flat_map(|list| list.iter());
        members.filter_map(|(_, name)| name.as_text()).map(Channel::new).collect()
    }

    fn credentials(&self, project: &ProjectId) -> Credentials {
        let mode = self.query.text("mode").map(str::to_owned).or_else(|| self.header("x-appwrite-mode"));
        let admin = mode.as_deref() == Some("admin");
        let secret = |header, params| self.given(header, params).map(Secret::new);
        Credentials {
            sessions: self.sessions(if admin { ProjectId::CONSOLE } else { project.as_str() }),
            jwt: secret("x-appwrite-jwt", &["jwt"]),
            account_key: secret("x-appwrite-key", &[])
                .zip(self.given("x-appwrite-user", &[]).map(UserId::new)),
            dev_key: secret("x-appwrite-dev-key", &["devKey"]),
            admin,
            impersonate: self.impersonate(),
        }
    }

    /// Every session token that was shown, the one to prefer first.
    fn sessions(&self, project: &str) -> Vec<Secret> {
        let key = format!("a_session_{project}");
        // Appwrite sets cookies under lower-cased names, whatever the project's id.
        let lower = key.to_lowercase();
        let cookies = Cookies::of(self.headers.get_all(COOKIE).iter().map(|value| value.as_bytes()));
        let mut shown: Vec<String> =
            [&key, &lower].into_iter().filter_map(|name| cookies.get(name)).collect();
        if shown.is_empty() {
            let legacy = [format!("{key}_legacy"), format!("{lower}_legacy")];
            shown.extend(legacy.iter().filter_map(|name| cookies.get(name)));
        }
        shown.extend(self.header("x-appwrite-session"));
        shown.extend(self.fallback_cookie(&key).or_else(|| self.fallback_cookie(&lower)));
        let mut sessions: Vec<Secret> = Vec::new();
        for text in shown.into_iter().filter(|text| !text.is_empty()) {
            let session = Secret::new(text);
            if !sessions.contains(&session) {
                sessions.push(session);
            }
        }
        sessions
    }

    /// Cookies that a browser would not keep for a foreign domain, which the web SDK sends as JSON in a header.
    fn fallback_cookie(&self, key: &str) -> Option<String> {
        let cookies: Value = serde_json::from_str(&self.header("x-fallback-cookies")?).ok()?;
        cookies.get(key)?.as_str().map(str::to_owned)
    }

    fn impersonate(&self) -> Option<Impersonate> {
        let id = self
            .given("x-appwrite-impersonate-user-id", &["impersonateuserid", "impersonateUserId"])
            .map(|id| Impersonate::Id(UserId::new(id)));
        let email = || {
            self.given("x-appwrite-impersonate-user-email", &["impersonateemail", "impersonateEmail"])
                .map(Impersonate::Email)
        };
        let phone = || {
            self.given("x-appwrite-impersonate-user-phone", &["impersonatephone", "impersonatePhone"])
                .map(Impersonate::Phone)
        };
        id.or_else(email).or_else(phone)
    }

    /// The queries of every channel that may turn out to be subscribed to, under the channel's parameter name.
    fn queries(&self, channels: &[Channel]) -> Result<HashMap<String, Slots>, Refusal> {
        let asked: HashSet<String> =
            channels.iter().map(|channel| channel.as_str().replace('.', "_")).collect();
        // `account` becomes `account.ID` once the user is known.
        let asks_account = channels.iter().any(|channel| channel.as_str().starts_with("account"));
        let mut queries = HashMap::new();
        for (name, param) in self.query.iter() {
            let wanted = asked.contains(name) || (asks_account && name.starts_with("account_"));
            let reserved = name == CHANNELS || (name == PROJECT && param.as_text().is_some());
            if wanted && !reserved {
                queries.insert(name.to_owned(), slots(param)?);
            }
        }
        Ok(queries)
    }
}

/// `a=q`, `a[]=q&a[]=r` (two slots) or `a[1][]=q&a[1][]=r` (both queries in slot 1).
fn slots(param: &Param) -> Result<Slots, Refusal> {
    match param {
        Param::Text(text) => Ok(vec![(SlotKey(DEFAULT_SLOT.to_owned()), vec![text.clone()])]),
        Param::List(list) => {
            list.iter().map(|(key, slot)| Ok((SlotKey(key.to_owned()), texts(slot)?))).collect()
        }
    }
}

fn texts(slot: &Param) -> Result<Vec<String>, Refusal> {
    match slot {
        Param::Text(text) => Ok(vec![text.clone()]),
        Param::List(list) => list
            .iter()
            .map(|(_, query)| {
                let text = query.as_text().map(str::to_owned);
                text.ok_or_else(|| Refusal::policy("Invalid query. Must be a string, got array"))
            })
            .collect(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
