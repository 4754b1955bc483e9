//! Which web pages and apps may open a connection to a project.
//!
//! A browser names the page in the `Origin` header; the SDKs of native apps name themselves in it. Origins are read
//! as PHP's `parse_url` reads them, quirks included, since that is what registered platforms were tried against.

use std::net::Ipv6Addr;

use crate::id::ProjectId;
use crate::project::{Platform, Project};
use crate::refusal::Refusal;

/// What the node lets into every project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginSettings {
    /// Hosts (Appwrite `_APP_DOMAIN`, `_APP_CONSOLE_DOMAIN`, `_APP_MIGRATION_HOST`); may begin with `*`.
    pub hosts: Vec<String>,
    /// URL schemes of native apps (Appwrite `_APP_CONSOLE_SCHEMA`).
    pub schemes: Vec<String>,
}

impl Default for OriginSettings {
    /// `localhost` and no schemes, as Appwrite's service has it when it is told nothing.
    fn default() -> Self {
        Self { hosts: vec!["localhost".into()], schemes: Vec::new() }
    }
}

/// What may connect to one project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OriginRules {
    /// Hosts in lower case, for web origins. `*` is any, a leading `*` stands for any beginning; an empty list lets
    /// every host in.
    hosts: Vec<String>,
    /// Schemes of native apps, whatever their host.
    schemes: Vec<String>,
}

impl OriginRules {
    /// The rules of a project on a node.
    pub fn of(project: &Project, node: &OriginSettings) -> Self {
        let mut rules = Self {
            hosts: node.hosts.iter().map(|host| host.to_lowercase()).collect(),
            schemes: node.schemes.clone(),
        };
        rules.schemes.push("exp".into());
        rules.schemes.push(callback_scheme(&project.id));
        for platform in &project.platforms {
            rules.admit(platform);
        }
        rules
    }

    fn admit(&mut self, platform: &Platform) {
        let key = platform.key.to_lowercase();
        let schemes: &[&str] = match platform.kind.to_lowercase().as_str() {
            "web" | "flutter-web" | "unity" => {
                self.admit_host(platform.hostname.to_lowercase());
                return;
            }
            "scheme" => {
                if is_custom_scheme(&key) {
                    self.schemes.push(key);
                }
                return;
            }
            "android" | "flutter-android" | "react-native-android" => &["appwrite-android"],
            "apple" | "apple-ios" | "apple-macos" | "apple-watchos" | "apple-tvos" | "flutter-ios"
            | "flutter-macos" | "react-native-ios" => {
                &["appwrite-ios", "appwrite-macos", "appwrite-watchos", "appwrite-tvos"]
            }
            "windows" | "flutter-windows" => &["appwrite-windows"],
            "linux" | "flutter-linux" => &["appwrite-linux"],
            _ => return,
        };
        self.admit_host(key);
        self.schemes.extend(schemes.iter().map(|&scheme| scheme.to_owned()));
    }

    fn admit_host(&mut self, host: String) {
        if !host.is_empty() {
            self.hosts.push(host);
        }
    }

    fn admits_host(&self, host: &str) -> bool {
        self.hosts.is_empty()
            || self.hosts.iter().any(|entry| match entry.strip_prefix('*') {
                Some(end) => host.ends_with(end),
                None => host == entry,
            })
    }
}

fn callback_scheme(project: &ProjectId) -> String {
    format!("appwrite-callback-{project}")
}

fn is_custom_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '.' | '-'))
}

/// Judges the `Origin` header of a connection. One that has none is let in: it does not come from a web page.
///
/// `dev_key` says that the client showed a valid development key, which opens the project to any origin that is a URL;
/// `owns_host` that the origin's host ([`host_of`]) is a custom domain of this project.
pub fn check(origin: &str, rules: &OriginRules, dev_key: bool, owns_host: bool) -> Result<(), Refusal> {
    if origin.is_empty() {
        return Ok(());
    }
    if dev_key {
        return if is_url(origin) { Ok(()) } else { Err(Refusal::policy("Value must be a valid URL")) };
    }
    let Origin { scheme, host } = Origin::read(origin);
    let admitted = if is_web(&scheme) {
        let name = host.to_lowercase();
        let loopback = matches!(name.as_str(), "127.0.0.1" | "[::1]");
        is_plausible(&name) && (owns_host || rules.admits_host(&name))
            || loopback && rules.admits_host("localhost")
    } else {
        !scheme.is_empty() && rules.schemes.contains(&scheme)
    };
    if admitted { Ok(()) } else { Err(refusal(origin, &scheme, &host)) }
}

/// The host of an origin or referrer, in lower case, for looking up whose custom domain it is.
pub fn host_of(origin: &str) -> Option<String> {
    let host = Origin::read(origin).host;
    if host.is_empty() { None } else { Some(host.to_lowercase()) }
}

fn refusal(origin: &str, scheme: &str, host: &str) -> Refusal {
    if scheme.is_empty() && host.is_empty() {
        return Refusal::policy("Invalid Origin.");
    }
    let Some(platform) = platform_name(scheme) else {
        return Refusal::policy(format!(
            "Invalid Scheme. The scheme used ({scheme}) in the Origin ({origin}) is not supported. If you are using a \
             custom scheme, please change it to `appwrite-callback-<PROJECT_ID>`"
        ));
    };
    // Two spaces remain where there is no host, as in Appwrite.
    let host = if host.is_empty() { String::new() } else { format!("({host})") };
    Refusal::policy(format!(
        "Invalid Origin. Register your new client {host} as a new {platform} platform on your project console dashboard"
    ))
}

/// What Appwrite's console calls the platform that uses a scheme.
fn platform_name(scheme: &str) -> Option<&'static str> {
    Some(match scheme {
        "http" | "https" => "Web",
        "appwrite-ios" => "iOS",
        "appwrite-macos" => "macOS",
        "appwrite-watchos" => "watchOS",
        "appwrite-tvos" => "tvOS",
        "appwrite-android" => "Android",
        "appwrite-windows" => "Windows",
        "appwrite-linux" => "Linux",
        "chrome-extension" => "Web (Chrome Extension)",
        "moz-extension" => "Web (Firefox Extension)",
        "safari-web-extension" => "Web (Safari Extension)",
        "ms-browser-extension" => "Web (Edge Extension)",
        "tauri" => "Web (Tauri)",
        _ => return None,
    })
}

/// Whether it can be a host at all. The longest name is 253 characters long (RFC 1035, section 2.3.4).
fn is_plausible(host: &str) -> bool {
    !host.is_empty() && host.len() <= 253 && !host.contains(['/', ':'])
}

/// Whether origins of this scheme are judged by their host.
fn is_web(scheme: &str) -> bool {
    platform_name(scheme).is_some_and(|name| name.starts_with("Web"))
}

/// Scheme and host as far as they can be made out; empty is none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
}

impl Origin {
    fn read(text: &str) -> Self {
        parse(text).unwrap_or_else(|| {
            let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
            let scheme = if is_custom_scheme(&scheme.to_lowercase()) { scheme } else { "" };
            Self { scheme: scheme.to_owned(), host: String::new() }
        })
    }
}

/// PHP's `parse_url`, as far as scheme and host; `None` where it gives up.
fn parse(text: &str) -> Option<Origin> {
    let relative = text.strip_prefix("//");
    let Some((before, after)) = text.split_once(':') else {
        return relative.map_or(Some(Origin::default()), |rest| authority("", rest, false));
    };
    if before.is_empty() {
        return port_or_path(text, after);
    }
    if !before.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-')) {
        return if !after.is_empty() && !before.contains(['?', '#']) {
            port_or_path(text, after)
        } else {
            relative.map_or(Some(Origin::default()), |rest| authority("", rest, false))
        };
    }
    let scheme_only = Some(Origin { scheme: before.to_owned(), host: String::new() });
    if let Some(rest) = after.strip_prefix("//") {
        let local_file = before.eq_ignore_ascii_case("file") && rest.starts_with('/');
        return if local_file { scheme_only } else { authority(before, rest, false) };
    }
    let (digits, rest) = leading_digits(after);
    if !after.is_empty()
        && !after.starts_with('/')
        && digits.len() < 6
        && (rest.is_empty() || rest.starts_with('/'))
    {
        return port_or_path(text, after);
    }
    scheme_only
}

/// Text whose first colon does not end a scheme: `example.com:80`, or a path.
fn port_or_path(text: &str, after: &str) -> Option<Origin> {
    let relative = text.strip_prefix("//");
    let (digits, rest) = leading_digits(after);
    if (1..6).contains(&digits.len()) && (rest.is_empty() || rest.starts_with('/')) {
        let port = digits.parse::<u16>().ok()?;
        return authority("", relative.unwrap_or(text), port != 0);
    }
    if after.is_empty() {
        return None;
    }
    relative.map_or(Some(Origin::default()), |rest| authority("", rest, false))
}

/// `user@host:port` and what follows. With `port_known`, PHP does not look at the port again.
fn authority(scheme: &str, text: &str, port_known: bool) -> Option<Origin> {
    let authority = text.split(['/', '?', '#']).next().unwrap_or_default();
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let host = if address.starts_with('[') && address.ends_with(']') {
        address
    } else if let Some((host, port)) = address.rsplit_once(':') {
        if !port_known && !port.is_empty() && !is_port(port) {
            return None;
        }
        host
    } else {
        address
    };
    if host.is_empty() {
        return None;
    }
    let host = host.chars().map(|c| if c.is_ascii_control() { '_' } else { c }).collect();
    Some(Origin { scheme: scheme.to_owned(), host })
}

/// At most five characters that C's `strtol` begins to read as a number up to 65535.
fn is_port(text: &str) -> bool {
    let number = text.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    let (negative, number) = match number.strip_prefix(['+', '-']) {
        Some(rest) => (number.starts_with('-'), rest),
        None => (false, number),
    };
    let (digits, _) = leading_digits(number);
    text.len() <= 5 && digits.parse::<u16>().is_ok_and(|port| !negative || port == 0)
}

fn leading_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// PHP's `FILTER_VALIDATE_URL`, user information aside.
fn is_url(text: &str) -> bool {
    let Some(origin) = parse(text) else { return false };
    let host_is_optional = matches!(origin.scheme.as_str(), "mailto" | "news" | "file");
    text.bytes().all(|byte| byte.is_ascii_graphic())
        && !origin.scheme.is_empty()
        && match origin.scheme.to_lowercase().as_str() {
            "http" | "https" => is_host_name(&origin.host),
            _ => host_is_optional || !origin.host.is_empty(),
        }
}

fn is_host_name(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn origins_are_read_as_php_reads_them() {
        let table = include_str!("../tests/php-parse-url.txt");
        let rows: Vec<&str> = table.lines().filter(|line| !line.starts_with("# ")).collect();
        assert!(rows.len() > 100, "the table is there");
        for row in rows {
            let (text, scheme, host, url): (String, Option<String>, Option<String>, bool) =
                serde_json::from_str(row).unwrap();
            let expected = scheme.zip(host).map(|(scheme, host)| Origin { scheme, host });
            assert_eq!(parse(&text), expected, "{text:?}");
            assert_eq!(is_url(&text), url, "whether {text:?} is a URL");
        }
    }

    #[test]
    fn a_scheme_is_still_found_where_php_gives_up() {
        for (text, scheme) in [
            ("appwrite-callback-abc://", "appwrite-callback-abc"),
            ("file://", "file"),
            ("://", ""),
            ("1://", ""),
        ] {
            assert_eq!(Origin::read(text), Origin { scheme: scheme.into(), host: String::new() }, "{text}");
        }
    }

    #[test]
    fn no_origin_at_all_is_let_in() {
        assert_eq!(judged("", &[]), None);
    }

    #[test]
    fn a_registered_web_host_is_let_in_on_any_port_and_in_any_case() {
        let rules = [platform("web", "Example.com", "")];
        for origin in
            ["https://example.com", "http://example.com:3000", "https://EXAMPLE.com", "tauri://example.com"]
        {
            assert_eq!(judged(origin, &rules), None, "{origin}");
        }
        for origin in ["https://a.example.com", "https://example.com.evil.org", "https://evilexample.com"] {
            assert!(judged(origin, &rules).is_some(), "{origin}");
        }
    }

    #[test]
    fn a_leading_star_stands_for_any_beginning() {
        let rules = [platform("web", "*.example.com", "")];
        assert_eq!(judged("https://a.b.example.com", &rules), None);
        assert!(judged("https://example.com", &rules).is_some());
        let all = [platform("web", "*", "")];
        assert_eq!(judged("https://anything.org", &all), None);
        assert!(judged("https://[::2]", &all).is_some(), "a host with a colon never matches");
        assert!(judged(&format!("https://{}", "a".repeat(254)), &all).is_some(), "nor one that is too long");
    }

    #[test]
    fn loopback_addresses_go_with_localhost() {
        for origin in ["http://localhost:3000", "http://127.0.0.1:3000", "http://[::1]:3000"] {
            assert_eq!(judged(origin, &[]), None, "{origin}");
            let rules = OriginRules { hosts: vec!["example.com".into()], schemes: Vec::new() };
            assert!(check(origin, &rules, false, false).is_err(), "{origin}");
        }
        assert!(judged("http://127.0.0.2", &[]).is_some());
    }

    #[test]
    fn an_empty_list_lets_every_host_in_but_no_scheme() {
        let rules = OriginRules::default();
        assert_eq!(check("https://anything.org", &rules, false, false), Ok(()));
        assert!(check("https://", &rules, false, false).is_err());
        assert!(check("appwrite-ios://x", &rules, false, false).is_err());
    }

    #[test]
    fn native_platforms_bring_their_schemes_whatever_the_host() {
        for (kind, scheme) in [
            ("android", "appwrite-android"),
            ("flutter-android", "appwrite-android"),
            ("react-native-android", "appwrite-android"),
            ("apple-ios", "appwrite-macos"),
            ("Flutter-iOS", "appwrite-tvos"),
            ("flutter-macos", "appwrite-watchos"),
            ("react-native-ios", "appwrite-ios"),
            ("windows", "appwrite-windows"),
            ("flutter-windows", "appwrite-windows"),
            ("linux", "appwrite-linux"),
            ("flutter-linux", "appwrite-linux"),
        ] {
            let rules = [platform(kind, "", "com.Example.app")];
            assert_eq!(judged(&format!("{scheme}://com.other.app"), &rules), None, "{kind}");
            assert_eq!(judged("https://com.example.app", &rules), None, "the key of {kind} is a host too");
            assert!(judged(&format!("{scheme}://com.example.app"), &[]).is_some(), "{scheme} without {kind}");
        }
        assert!(judged("appwrite-fridge://x", &[platform("fridge", "x", "x")]).is_some());
    }

    #[test]
    fn custom_expo_and_callback_schemes_are_let_in() {
        let rules = [platform("scheme", "", "MyApp"), platform("scheme", "", "no scheme")];
        for origin in
            ["myapp://x", "myapp:", "exp://1.2.3.4:8081", "exp:", "appwrite-callback-p1://", "extra://x"]
        {
            assert_eq!(judged(origin, &rules), None, "{origin}");
        }
        for origin in
            ["MyApp://x", "no scheme://x", "appwrite-callback-p2://", "file://", "HTTPS://localhost"]
        {
            assert!(judged(origin, &rules).is_some(), "{origin}");
        }
    }

    #[test]
    fn a_custom_domain_is_let_in_for_the_web_only() {
        let rules = OriginRules::of(&project(&[]), &OriginSettings::default());
        assert_eq!(check("https://app.example.org", &rules, false, true), Ok(()));
        assert!(check("appwrite-ios://app.example.org", &rules, false, true).is_err());
        assert!(check("https://[::2]", &rules, false, true).is_err());
    }

    #[test]
    fn a_development_key_opens_the_project_to_every_url() {
        let rules = OriginRules::of(&project(&[]), &OriginSettings::default());
        assert_eq!(check("https://anything.org", &rules, true, false), Ok(()));
        assert_eq!(check("fridge://x", &rules, true, false), Ok(()));
        for origin in ["null", "https://", "https://a_b.org", "fridge:"] {
            let refused = check(origin, &rules, true, false).unwrap_err();
            assert_eq!(refused, Refusal::policy("Value must be a valid URL"), "{origin}");
        }
    }

    #[test]
    fn refusals_say_what_to_do_in_appwrites_words() {
        let web = |host: &str, name: &str| {
            format!(
                "Invalid Origin. Register your new client {host} as a new {name} platform on your project console dashboard"
            )
        };
        for (origin, text) in [
            ("https://example.com:3000", web("(example.com)", "Web")),
            ("https:", web("", "Web")),
            ("appwrite-ios://com.x.y", web("(com.x.y)", "iOS")),
            ("appwrite-macos://a", web("(a)", "macOS")),
            ("appwrite-watchos://a", web("(a)", "watchOS")),
            ("appwrite-tvos://a", web("(a)", "tvOS")),
            ("appwrite-android://a", web("(a)", "Android")),
            ("appwrite-windows://a", web("(a)", "Windows")),
            ("appwrite-linux://a", web("(a)", "Linux")),
            ("chrome-extension://a", web("(a)", "Web (Chrome Extension)")),
            ("moz-extension://a", web("(a)", "Web (Firefox Extension)")),
            ("safari-web-extension://a", web("(a)", "Web (Safari Extension)")),
            ("ms-browser-extension://a", web("(a)", "Web (Edge Extension)")),
            ("tauri://a", web("(a)", "Web (Tauri)")),
            ("null", "Invalid Origin.".into()),
            (
                "fridge://a",
                "Invalid Scheme. The scheme used (fridge) in the Origin (fridge://a) is not supported. If you are using \
                 a custom scheme, please change it to `appwrite-callback-<PROJECT_ID>`"
                    .into(),
            ),
        ] {
            assert_eq!(judged(origin, &[]), Some(text), "{origin}");
        }
    }

    #[test]
    fn the_host_for_a_custom_domain_is_found_in_lower_case() {
        assert_eq!(host_of("https://App.Example.org:8080/page?x").as_deref(), Some("app.example.org"));
        assert_eq!(host_of("null"), None);
        assert_eq!(host_of(""), None);
    }

    proptest! {
        #[test]
        fn no_origin_panics(text in "[a-z:/?#@\\[\\]0-9.\u{1}é]{0,24}|\\PC{0,40}", dev in any::<bool>(), owns in any::<bool>()) {
            let rules = OriginRules::of(&project(&[]), &OriginSettings::default());
            let _ = check(&text, &rules, dev, owns);
            let _ = host_of(&text);
        }

        #[test]
        fn a_web_origin_is_let_in_if_and_only_if_its_host_is(
            host in "[a-z]{1,3}(\\.[a-z]{1,3}){0,2}", entry in "\\*?(\\.?[a-z]{1,2}){0,3}", port in any::<u16>(),
        ) {
            let rules = OriginRules { hosts: vec![entry.clone()], schemes: Vec::new() };
            let expected = host == entry || entry.starts_with('*') && host.ends_with(entry.trim_start_matches('*'));
            prop_assert_eq!(check(&format!("https://{host}:{port}"), &rules, false, false).is_ok(), expected);
        }
    }

    /// The text of the refusal of an origin by a project on a node with an extra scheme.
    fn judged(origin: &str, platforms: &[Platform]) -> Option<String> {
        let node = OriginSettings { schemes: vec!["extra".into()], ..OriginSettings::default() };
        let rules = OriginRules::of(&project(platforms), &node);
        check(origin, &rules, false, false).err().map(|refusal| refusal.message.into_owned())
    }

    fn project(platforms: &[Platform]) -> Project {
        Project {
            id: ProjectId::new("p1"),
            sequence: "1".into(),
            database: String::new(),
            team: None,
            region: String::new(),
            realtime_enabled: true,
            platforms: platforms.to_vec(),
        }
    }

    fn platform(kind: &str, hostname: &str, key: &str) -> Platform {
        Platform { kind: kind.into(), hostname: hostname.into(), key: key.into() }
    }
}
