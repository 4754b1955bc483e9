//! Values as they were written: defaults, then the file, then the environment, then the flags. Later ones win.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use hyper::http::HeaderName;

use super::ConfigError;
use super::setting::{self, Kind, SETTINGS, Setting};

/// Appwrite's variables that name hosts of its own, and what each means when it is not set.
const HOSTS: &[(&str, &str)] =
    &[("_APP_DOMAIN", "localhost"), ("_APP_CONSOLE_DOMAIN", "localhost"), ("_APP_MIGRATION_HOST", "")];

/// Variables of Appwrite's realtime service that mean nothing here, and why.
pub const IGNORED: &[(&str, &str)] = &[
    ("_APP_OPTIONS_ROUTER_PROTECTION", "realtime does not route"),
    ("_APP_WORKER_PER_CORE", "there is one thread for each processor; see shards"),
    ("_APP_CPU_NUM", "processors are counted; see shards"),
    ("_APP_CONNECTIONS_DB_CONSOLE", "the database is the one of _APP_DB_HOST"),
    ("_APP_CONNECTIONS_DB_PROJECT", "the database is the one of _APP_DB_HOST"),
    ("_APP_CONNECTIONS_CACHE", "nothing is cached in Redis"),
    ("_APP_CONNECTIONS_QUEUE", "no jobs are queued"),
    ("_APP_CONNECTIONS_MAX", "see database.connections"),
    ("_APP_CONNECTIONS_TIMEOUT", "see database.timeout"),
    ("_APP_CONNECTIONS_QUEUE_STATS_USAGE", "no usage is reported"),
    ("_APP_POOL_ADAPTER", "it is of PHP"),
    ("_APP_CONSOLE_HOSTNAMES", "see origin.hosts"),
    ("_APP_RULES_FORMAT", "custom domains are looked up by name"),
    ("_APP_LOGGING_CONFIG", "logs go to standard error; see log.format"),
    ("_APP_LOGGING_CONFIG_REALTIME", "logs go to standard error; see log.format"),
    ("_APP_LOGGING_PROVIDER", "logs go to standard error; see log.format"),
    ("_APP_LOGGING_SERVICE_IDENTIFIER", "logs go to standard error; see log.format"),
    ("_APP_VERSION", "the log names the version of this server"),
    ("_APP_TRACE_PROJECT_ID", "see log.level"),
    ("_APP_TRACE_FUNCTION_ID", "see log.level"),
    ("_APP_STATS_USAGE_QUEUE_NAME", "no usage is reported"),
    ("_APP_USAGE_STATS", "no usage is reported"),
    ("_APP_DB_ADAPTER_DOCUMENTSDB", "it holds no users"),
    ("_APP_DB_HOST_DOCUMENTSDB", "it holds no users"),
    ("_APP_DB_ADAPTER_VECTORSDB", "it holds no users"),
    ("_APP_DB_HOST_VECTORSDB", "it holds no users"),
];

/// Those of [`IGNORED`] that are set, and why they mean nothing here.
pub fn ignored_variables(
    variable: impl Fn(&str) -> Option<String>,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    IGNORED.iter().copied().filter(move |(name, _)| variable(name).is_some_and(|value| !is_unsaid(&value)))
}

/// Variables of single commands, and where the file is.
const COMMAND_VARIABLES: &[&str] = &[
    "REALTIME_CONFIG",
    "REALTIME_API_KEY",
    "REALTIME_ENDPOINT",
    "REALTIME_PROJECT",
    "REALTIME_SESSION",
    "REALTIME_JWT",
];

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(&'static str),
    /// The command line.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// A value for every setting, as text, and where it comes from.
#[derive(Clone)]
pub struct Layers(BTreeMap<&'static str, (String, Source)>);

impl Layers {
    /// The defaults alone.
    pub fn defaults() -> Self {
        let defaults =
            SETTINGS.iter().map(|setting| (setting.key, (setting.default.to_owned(), Source::Default)));
        Self(defaults.collect())
    }

    /// A TOML file on top. Tables are the parts of a key before its dots.
    pub fn with_file(mut self, path: &Path) -> Result<Self, ConfigError> {
        let read = |reason: String| ConfigError::File { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| read(error.to_string()))?;
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| read(place_of(&error, &text)))?;
        self.add_table(&table, "", path)?;
        Ok(self)
    }

    /// The environment on top. `variable` looks one up.
    pub fn with_environment(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        // Appwrite's images are told the port alone, and listen on all addresses.
        if let Some(port) = variable("PORT").filter(|port| !is_unsaid(port)) {
            self.0.insert("listen", (format!("0.0.0.0:{port}"), Source::Variable("PORT")));
        }
        let said = |name: &str| variable(name).filter(|value| !is_unsaid(value));
        if let Some((first, _)) = HOSTS.iter().find(|(name, _)| said(name).is_some()) {
            let hosts: Vec<String> =
                HOSTS.iter().map(|(name, unset)| said(name).unwrap_or_else(|| (*unset).to_owned())).collect();
            self.0.insert("origin.hosts", (hosts.join(","), Source::Variable(first)));
        }
        for setting in SETTINGS {
            let said = setting.env.iter().find_map(|name| {
                let value = variable(name)?;
                if !name.starts_with("_APP_") {
                    // Compose files hand on what is not set as an empty variable.
                    return (!value.is_empty()).then_some((value, Source::Variable(name)));
                }
                // PHP takes an empty variable and "0" for one that is not set.
                (!is_unsaid(&value)).then(|| (as_appwrite_takes_it(name, value), Source::Variable(name)))
            });
            if let Some(said) = said {
                self.0.insert(setting.key, said);
            }
        }
        self
    }

    /// A flag on top.
    pub fn with_flag(mut self, setting: &'static Setting, value: &str) -> Self {
        self.0.insert(setting.key, (value.to_owned(), Source::Flag));
        self
    }

    /// The value of a setting and where it comes from.
    pub fn get(&self, key: &'static str) -> (&str, &Source) {
        self.0.get(key).map_or(("", &Source::Default), |(value, source)| (value.as_str(), source))
    }

    fn add_table(&mut self, table: &toml::Table, prefix: &str, path: &Path) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            if let toml::Value::Table(inner) = value {
                self.add_table(inner, &format!("{key}."), path)?;
                continue;
            }
            let Some(setting) = setting::find(&key) else {
                return Err(ConfigError::UnknownKey { closest: closest(&key), key, path: path.to_owned() });
            };
            let text = text_of(value).ok_or_else(|| ConfigError::Value {
                key: setting.key,
                value: shown(setting, &value.to_string()).to_owned(),
                said_in: Source::File(path.to_owned()),
                expected: "a text, a number, a switch or a list of texts".to_owned(),
            })?;
            self.0.insert(setting.key, (text, Source::File(path.to_owned())));
        }
        Ok(())
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = SETTINGS.iter().map(|setting| {
            let (value, source) = self.get(setting.key);
            (setting.key, (shown(setting, value), source))
        });
        f.debug_map().entries(shown).finish()
    }
}

/// A value as it may be printed.
pub fn shown<'a>(setting: &Setting, value: &'a str) -> &'a str {
    match setting.kind {
        Kind::Secret if !value.is_empty() => "[set]",
        Kind::Secret
        | Kind::Text
        | Kind::List
        | Kind::Number
        | Kind::Switch
        | Kind::Duration
        | Kind::Choice(_) => value,
    }
}

fn is_unsaid(value: &str) -> bool {
    value.is_empty() || value == "0"
}

/// A value of Appwrite's as Appwrite understands it, which refuses none: whatever runs there has to start here.
fn as_appwrite_takes_it(name: &str, value: String) -> String {
    match name {
        "_APP_OPTIONS_ABUSE" => (value == "enabled").to_string(),
        "_APP_EDITION" => (value == "self-hosted").to_string(),
        "_APP_LOGGING_FORMAT" if value != "json" => "auto".to_owned(),
        "_APP_TRUSTED_HEADERS" => {
            // What is no name of a header names none that a client could send.
            let is_name = |name: &&str| name.parse::<HeaderName>().is_ok();
            let names: Vec<&str> = value.split(',').map(str::trim).filter(is_name).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(",") }
        }
        "_APP_WORKERS_NUM" if value.parse::<usize>().is_err() => "0".to_owned(),
        _ => value,
    }
}

/// What is wrong with a file and in which line, without the line itself: it may hold a secret.
fn place_of(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => format!("line {}: {}", before.matches('\n').count() + 1, error.message()),
        None => error.message().to_owned(),
    }
}

/// Environment variables that look like ours and mean nothing, each with the one that was most likely meant.
pub fn unknown_variables<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(&'a str, &'static str)> {
    let ours = || SETTINGS.iter().flat_map(|setting| setting.env).chain(COMMAND_VARIABLES).copied();
    names
        .filter(|name| name.starts_with("REALTIME_") && !ours().any(|known| known == *name))
        .map(|name| (name, ours().min_by_key(|known| edit_distance(name, known)).unwrap_or_default()))
        .collect()
}

fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(switch) => Some(switch.to_string()),
        toml::Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .map(|i| i.join(",")),
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// The known key that a mistyped one most likely stands for.
fn closest(key: &str) -> &'static str {
    let distance = |setting: &&Setting| edit_distance(key, setting.key);
    SETTINGS.iter().min_by_key(distance).map_or("", |setting| setting.key)
}

/// Letters to change, add or take away (Levenshtein 1966).
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let change = diagonal + usize::from(x != y);
            diagonal = *cell;
            *cell = change.min(diagonal + 1).min(left + 1);
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn no_variable_is_both_read_and_ignored() {
        let read = || SETTINGS.iter().flat_map(|setting| setting.env);
        for (name, _) in IGNORED {
            assert!(!read().any(|known| known == name), "{name}");
            assert!(!HOSTS.iter().any(|(known, _)| known == name), "{name}");
        }
        let set = |name: &str| matches!(name, "_APP_VERSION").then(|| "0".to_owned());
        assert_eq!(ignored_variables(set).count(), 0, "0 counts as not set");
        let set = |name: &str| (name == "_APP_WORKER_PER_CORE").then(|| "6".to_owned());
        assert_eq!(
            ignored_variables(set).map(|(name, _)| name).collect::<Vec<_>>(),
            ["_APP_WORKER_PER_CORE"]
        );
    }
    use crate::config::Config;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults() {
        let file = file("region = \"file\"\ndrain = \"1s\"\nheartbeat = \"2s\"");
        let layers = Layers::defaults().with_file(file.path()).unwrap().with_environment(|name| match name {
            "REALTIME_REGION" | "REALTIME_DRAIN" => Some("variable".to_owned()),
            _ => None,
        });
        let layers = layers.with_flag(setting::find("region").unwrap(), "flag");
        assert_eq!(layers.get("region"), ("flag", &Source::Flag));
        assert_eq!(layers.get("drain"), ("variable", &Source::Variable("REALTIME_DRAIN")));
        assert_eq!(layers.get("heartbeat"), ("2s", &Source::File(file.path().to_owned())));
        assert_eq!(layers.get("listen"), ("127.0.0.1:8080", &Source::Default));
    }

    #[test]
    fn appwrites_variables_mean_the_default_when_empty_or_zero() {
        let with = |value: &'static str| {
            Layers::defaults().with_environment(move |name| (name == "_APP_REGION").then(|| value.to_owned()))
        };
        assert_eq!(with("").get("region").0, "default");
        assert_eq!(with("0").get("region").0, "default");
        assert_eq!(with("fra").get("region").0, "fra");
    }

    #[test]
    fn an_empty_variable_says_nothing() {
        let layers = Layers::defaults().with_environment(|name| match name {
            "REALTIME_ORIGIN_HOSTS" | "REALTIME_SHARDS" => Some(String::new()),
            "_APP_WORKERS_NUM" => Some("3".to_owned()),
            _ => None,
        });
        assert_eq!(layers.get("origin.hosts"), ("localhost", &Source::Default));
        assert_eq!(layers.get("shards"), ("3", &Source::Variable("_APP_WORKERS_NUM")));
    }

    #[test]
    fn a_file_may_say_lists_numbers_and_switches_as_what_they_are() {
        let file = file(
            "shards = 3\n[origin]\nhosts = [\"a.example\", \"b.example\"]\ncheck_console = false\n[limits]\nchannels = 5",
        );
        let config = Config::resolve(&Layers::defaults().with_file(file.path()).unwrap()).unwrap();
        assert_eq!(config.shards, 3);
        assert_eq!(config.engine.origin.hosts, ["a.example", "b.example"]);
        assert!(!config.engine.check_console_origin);
        assert_eq!(config.engine.channels, 5);
    }

    #[test]
    fn a_port_alone_listens_on_all_addresses() {
        let layers = Layers::defaults().with_environment(|name| (name == "PORT").then(|| "80".to_owned()));
        assert_eq!(layers.get("listen").0, "0.0.0.0:80");
    }

    #[test]
    fn appwrites_domains_may_connect_and_each_that_is_not_set_is_localhost() {
        let with = |set: &'static [&'static str]| {
            let layers = Layers::defaults()
                .with_environment(move |name| set.contains(&name).then(|| "cloud.example.com".to_owned()));
            Config::resolve(&layers).unwrap().engine.origin.hosts
        };
        assert_eq!(with(&["_APP_DOMAIN"]), ["cloud.example.com", "localhost"]);
        assert_eq!(
            with(&["_APP_DOMAIN", "_APP_MIGRATION_HOST"]),
            ["cloud.example.com", "localhost", "cloud.example.com"]
        );
        assert_eq!(with(&["_APP_DOMAIN", "_APP_CONSOLE_DOMAIN"]), ["cloud.example.com", "cloud.example.com"]);
    }

    #[test]
    fn whatever_appwrite_starts_with_is_no_reason_not_to_start() {
        for (name, value, key, meaning) in [
            ("_APP_OPTIONS_ABUSE", "enabled", "limits.enabled", "true"),
            ("_APP_OPTIONS_ABUSE", "off", "limits.enabled", "false"),
            ("_APP_OPTIONS_ABUSE", "0", "limits.enabled", "true"),
            ("_APP_LOGGING_FORMAT", "json", "log.format", "json"),
            ("_APP_LOGGING_FORMAT", "fancy", "log.format", "auto"),
            ("_APP_TRUSTED_HEADERS", "x-real-ip, not a header", "proxy.trusted_headers", "x-real-ip"),
            ("_APP_TRUSTED_HEADERS", "not a header", "proxy.trusted_headers", "none"),
            ("_APP_WORKERS_NUM", "many", "shards", "0"),
            ("_APP_WORKERS_NUM", "3", "shards", "3"),
        ] {
            let layers =
                Layers::defaults().with_environment(|asked| (asked == name).then(|| value.to_owned()));
            assert_eq!(layers.get(key).0, meaning, "{name}={value}");
            Config::resolve(&layers).unwrap();
        }
    }

    #[test]
    fn a_broken_file_is_told_by_its_line_and_not_shown() {
        let file = file("region = \"fra\"\nsecret = \"hunter2");
        let error = Layers::defaults().with_file(file.path()).unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
        let file = self::file("secret = 47.11");
        let error = Layers::defaults().with_file(file.path()).unwrap_err().to_string();
        assert!(error.contains("secret") && !error.contains("47.11"), "{error}");
    }

    #[test]
    fn a_mistyped_variable_is_named_with_the_one_that_was_meant() {
        let names = ["REALTIME_REGOIN", "REALTIME_REGION", "REALTIME_API_KEY", "PATH"];
        assert_eq!(unknown_variables(names.into_iter()), [("REALTIME_REGOIN", "REALTIME_REGION")]);
    }

    #[test]
    fn a_mistyped_key_is_an_error_that_names_the_closest() {
        let file = file("[limits]\nchanels = 5");
        let error = Layers::defaults().with_file(file.path()).unwrap_err().to_string();
        assert!(error.contains("limits.chanels") && error.contains("limits.channels"), "{error}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let layers = Layers::defaults().with_flag(setting::find("secret").unwrap(), "hunter2");
        assert!(!format!("{layers:?}").contains("hunter2"));
    }
}
