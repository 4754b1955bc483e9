//! Request heads and what they mean.

use std::net::Ipv4Addr;

use http::header::{FORWARDED, HeaderValue};
use proptest::prelude::*;
use realtime_core::refusal::RefusalKind;

use super::*;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

fn parts(query: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = http::Request::get(format!("/v1/realtime?{query}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn try_hello(query: &str, headers: &[(&str, &str)]) -> Result<Hello, Refusal> {
    read(&parts(query, headers), PEER, &[X_FORWARDED_FOR])
}

fn hello(query: &str, headers: &[(&str, &str)]) -> Hello {
    try_hello(query, headers).unwrap()
}

fn channels(query: &str) -> Vec<String> {
    hello(query, &[]).channels.iter().map(ToString::to_string).collect()
}

fn sessions(query: &str, headers: &[(&str, &str)]) -> Vec<String> {
    let sessions = hello(query, headers).credentials.sessions;
    sessions.iter().map(|session| session.expose().to_owned()).collect()
}

/// `slot:query,query slot:query`
fn slots_of(query: &str, param: &str) -> Option<String> {
    let hello = hello(query, &[]);
    let slots = hello.queries.get(param)?;
    let shown: Vec<String> =
        slots.iter().map(|(key, texts)| format!("{}:{}", key.0, texts.join(","))).collect();
    Some(shown.join(" "))
}

#[test]
fn the_project_is_in_the_header_then_in_the_url_and_else_the_console() {
    let project = |query, headers: &[(&str, &str)]| hello(query, headers).project.to_string();
    assert_eq!(project("project=q", &[]), "q");
    assert_eq!(project("project=q", &[("X-Appwrite-Project", "h")]), "h");
    assert_eq!(project("project=q", &[("x-appwrite-project", "")]), "q");
    assert_eq!(project("project[0][0]=q", &[("x-appwrite-project", "h")]), "h");
    for query in ["", "project=", "project=0", "project[]=q", "project=console"] {
        assert_eq!(project(query, &[]), "console", "{query}");
    }
}

#[test]
fn a_request_without_a_query_string_is_the_console_without_channels() {
    let parts = http::Request::get("/v1/realtime").body(()).unwrap().into_parts().0;
    let hello = read(&parts, PEER, &[]).unwrap();
    assert!(hello.project.is_console());
    assert_eq!((hello.path.as_str(), hello.channels.len(), hello.since), ("/v1/realtime", 0, None));
}

#[test]
fn channels_are_listed_in_any_form() {
    assert_eq!(channels("channels[]=account&channels[]=files"), ["account", "files"]);
    assert_eq!(channels("channels[0]=account&channels[1]=files"), ["account", "files"]);
    assert_eq!(channels("channels%5B%5D=account"), ["account"]);
    assert_eq!(channels("channels[][]=nested&channels[]=files"), ["files"]);
    assert_eq!(channels(""), [""; 0]);
}

#[test]
fn a_scalar_channel_counts_beside_listed_ones_and_alone() {
    assert_eq!(channels("project=X&channels[]=account&channels=documents.X"), ["account", "documents.X"]);
    assert_eq!(channels("channels=documents"), ["documents"]);
    assert_eq!(channels("channels=a&channels=b"), ["a", "b"]);
}

#[test]
fn more_channels_than_the_limit_are_refused_with_its_number() {
    // A URI of the `http` crate has 64 KiB at most, so the list is read without one.
    let text = "channels[]=a&".repeat(1_000_000);
    assert!(QueryString::parse_with_list(text.as_bytes(), CHANNELS, MAX_CHANNELS).is_err());
    let many = "channels&".repeat(7_000);
    assert_eq!(hello(&many, &[]).channels.len(), 7_000);
}

#[test]
fn session_tokens_are_shown_in_appwrites_order() {
    let everything = [
        ("x-fallback-cookies", r#"{"a_session_P":"fallback"}"#),
        ("x-appwrite-session", "header"),
        ("cookie", "a_session_P=exact; a_session_p=lower%3D; a_session_P_legacy=legacy"),
    ];
    assert_eq!(sessions("project=P", &everything), ["exact", "lower=", "header", "fallback"]);
    assert_eq!(sessions("project=P", &[("cookie", "a_session_p_legacy=legacy")]), ["legacy"]);
    assert_eq!(sessions("project=my.app", &[("cookie", "a_session_my_app=t")]), ["t"]);
    assert_eq!(sessions("project=P", &[("cookie", "a_session_Q=other")]), [""; 0]);
}

#[test]
fn one_token_shown_twice_is_one_token() {
    let headers = [("cookie", "a_session_p=t"), ("x-appwrite-session", "t")];
    assert_eq!(sessions("project=P", &headers), ["t"]);
}

#[test]
fn fallback_cookies_that_are_not_json_are_no_session() {
    for value in ["[]", "a_session_P=t", r#"{"a_session_P":1}"#, r#"{"other":"t"}"#] {
        assert_eq!(sessions("project=P", &[("x-fallback-cookies", value)]), [""; 0], "{value}");
    }
}

#[test]
fn in_admin_mode_the_session_is_the_consoles() {
    let cookies = [("cookie", "a_session_console=root; a_session_p=user")];
    assert_eq!(sessions("project=p&mode=admin", &cookies), ["root"]);
    assert_eq!(sessions("project=p&mode=default", &cookies), ["user"]);
    assert_eq!(sessions("project=p", &[cookies[0], ("x-appwrite-mode", "admin")]), ["root"]);
    assert!(hello("mode=admin", &[]).credentials.admin);
    assert!(!hello("mode=default", &[("x-appwrite-mode", "admin")]).credentials.admin);
}

#[test]
fn a_jwt_comes_in_the_header_or_the_url() {
    let jwt = |query, headers: &[(&str, &str)]| hello(query, headers).credentials.jwt;
    assert_eq!(jwt("jwt=url", &[]), Some(Secret::new("url")));
    assert_eq!(jwt("jwt=url", &[("x-appwrite-jwt", "header")]), Some(Secret::new("header")));
    assert_eq!(jwt("jwt=", &[]), None);
    assert_eq!(jwt("jwt[]=url", &[]), None);
}

#[test]
fn an_account_key_counts_only_with_its_user() {
    let key = |headers: &[(&str, &str)]| hello("", headers).credentials.account_key;
    let both = [("x-appwrite-key", "k"), ("x-appwrite-user", "u")];
    assert_eq!(key(&both), Some((Secret::new("k"), UserId::new("u"))));
    assert_eq!(key(&both[..1]), None);
    assert_eq!(key(&both[1..]), None);
}

#[test]
fn whom_to_act_as_is_named_by_id_then_email_then_phone() {
    let who = |query, headers: &[(&str, &str)]| hello(query, headers).credentials.impersonate;
    assert_eq!(
        who("impersonatephone=1&impersonateEmail=e@x", &[("x-appwrite-impersonate-user-id", "u")]),
        Some(Impersonate::Id(UserId::new("u")))
    );
    assert_eq!(
        who("impersonateuserid=low&impersonateUserId=camel", &[]),
        Some(Impersonate::Id(UserId::new("low")))
    );
    assert_eq!(
        who("impersonatephone=1&impersonateEmail=e@x", &[]),
        Some(Impersonate::Email("e@x".to_owned()))
    );
    assert_eq!(who("impersonatePhone=%2B1", &[]), Some(Impersonate::Phone("+1".to_owned())));
    assert_eq!(who("", &[]), None);
}

#[test]
fn a_development_key_origin_and_referer_are_read() {
    let hello = hello("devKey=d", &[("origin", "http://localhost"), ("referer", "http://localhost/page")]);
    assert_eq!(hello.credentials.dev_key, Some(Secret::new("d")));
    assert_eq!(
        (hello.origin.as_str(), hello.referer.as_str()),
        ("http://localhost", "http://localhost/page")
    );
}

#[test]
fn the_address_is_the_leftmost_of_the_first_trusted_header_that_has_one() {
    let trusted = [X_FORWARDED_FOR, FORWARDED];
    let address =
        |headers: &[(&str, &str)]| client_address(&parts("", headers).headers, PEER, &trusted).to_string();
    assert_eq!(address(&[("x-forwarded-for", " 203.0.113.7 , 10.0.0.1")]), "203.0.113.7");
    assert_eq!(
        address(&[("x-forwarded-for", "unknown, 10.0.0.1"), ("forwarded", "2001:db8::1")]),
        "2001:db8::1"
    );
    assert_eq!(address(&[("x-forwarded-for", "::ffff:203.0.113.7")]), "203.0.113.7");
    assert_eq!(address(&[("x-forwarded-for", "")]), "192.0.2.1");
    assert_eq!(address(&[]), "192.0.2.1");
    let spoofed = parts("", &[("x-forwarded-for", "203.0.113.7")]);
    assert_eq!(client_address(&spoofed.headers, PEER, &[]), PEER);
}

#[test]
fn the_last_event_is_in_the_header_or_the_url() {
    assert_eq!(hello("since=u", &[]).since, Some(EventId::new("u")));
    assert_eq!(hello("since=u", &[("last-event-id", "h")]).since, Some(EventId::new("h")));
    assert_eq!(hello("since=0", &[("last-event-id", "")]).since, Some(EventId::new("0")));
    assert_eq!(hello("since=", &[]).since, None);
}

#[test]
fn queries_of_a_channel_stand_under_its_name_with_underscores() {
    let query =
        "channels[]=databases.D.documents&databases_D_documents[1][]=q1&databases_D_documents[1][]=q2";
    assert_eq!(slots_of(query, "databases_D_documents").as_deref(), Some("1:q1,q2"));
    let dotted = "channels[]=documents.X&documents.X[a]=q";
    assert_eq!(slots_of(dotted, "documents_X").as_deref(), Some("a:q"));
}

#[test]
fn a_flat_list_of_queries_is_a_slot_for_each_and_a_text_is_slot_0() {
    let channel = "channels[]=documents&";
    assert_eq!(
        slots_of(&format!("{channel}documents[]=q1&documents[]=q2"), "documents").as_deref(),
        Some("0:q1 1:q2")
    );
    assert_eq!(slots_of(&format!("{channel}documents=q"), "documents").as_deref(), Some("0:q"));
    assert_eq!(slots_of(channel, "documents"), None);
}

#[test]
fn a_text_under_project_is_the_project_and_a_list_holds_queries() {
    assert_eq!(slots_of("channels[]=project&project=p", "project"), None);
    assert_eq!(slots_of("channels[]=project&project[0][0]=select", "project").as_deref(), Some("0:select"));
}

#[test]
fn parameters_of_no_channel_are_not_carried() {
    assert_eq!(hello("channels[]=files&documents[]=q&jwt=t&mode=admin", &[]).queries.len(), 0);
}

#[test]
fn queries_of_the_users_own_account_channel_are_carried() {
    assert_eq!(slots_of("channels[]=account&account.U=q", "account_U").as_deref(), Some("0:q"));
}

#[test]
fn a_query_that_is_a_list_is_refused() {
    let refusal = try_hello("channels[]=files&files[0][0][]=q", &[]).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Policy);
    assert_eq!(refusal.message, "Invalid query. Must be a string, got array");
    assert!(try_hello("channels[]=documents&files[0][0][]=q", &[]).is_ok());
}

#[test]
fn credentials_are_not_shown() {
    let headers =
        [("cookie", "a_session_p=s3cr3t"), ("x-appwrite-jwt", "s3cr3t"), ("x-appwrite-key", "s3cr3t")];
    assert!(!format!("{:?}", hello("project=p&devKey=s3cr3t", &headers)).contains("s3cr3t"));
}

fn header_value() -> impl Strategy<Value = HeaderValue> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        "[a-z_=;{}\":, .%+-]{0,60}".prop_map(String::into_bytes),
    ]
    .prop_filter_map("a header value has no control characters", |bytes| HeaderValue::from_bytes(&bytes).ok())
}

const HEADERS: [&str; 10] = [
    "cookie",
    "origin",
    "last-event-id",
    "x-appwrite-project",
    "x-appwrite-session",
    "x-fallback-cookies",
    "x-appwrite-jwt",
    "x-appwrite-mode",
    "x-appwrite-key",
    "x-forwarded-for",
];

proptest! {
    #[test]
    fn any_head_is_read_without_panic(
        path in proptest::collection::vec(any::<u8>(), 0..200),
        query in "(channels|project|files|jwt|account_a|mode)[a-z\\[\\]=&%0-9.+]{0,80}",
        values in proptest::collection::vec((0..HEADERS.len(), header_value()), 0..8),
    ) {
        let uris = [http::Uri::from_maybe_shared(path).ok(), format!("/?{query}").parse().ok()];
        for uri in uris.into_iter().flatten() {
            let mut parts = http::Request::get(uri).body(()).unwrap().into_parts().0;
            for (place, value) in &values {
                let name = HEADERS.get(*place).unwrap();
                parts.headers.append(*name, value.clone());
            }
            let _ = read(&parts, PEER, &[X_FORWARDED_FOR]);
        }
    }
}
