//! A plug (transport, bus, directory) knows its own contract and nothing of the others.

use super::Finding;
use super::tree::File;

/// A folder of plugs and the parts of the server that they may name.
struct Folder {
    path: &'static str,
    may: &'static [&'static str],
}

const PLUGS: &[Folder] = &[
    // A peer opens on a shard's handle; everything else about a client is behind the peer.
    Folder { path: "crates/server/src/transport/", may: &["peer", "shard::Shard", "transport"] },
    Folder { path: "crates/server/src/bus/", may: &["bus"] },
    Folder { path: "crates/server/src/directory/", may: &["directory"] },
];

/// The engine belongs to the shards; a plug that names it goes behind their backs.
const ENGINE: &str = "realtime_core::engine";

pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    let Some(folder) = PLUGS.iter().find(|folder| file.path.starts_with(folder.path)) else { return };
    for (line, path) in uses(&file.text) {
        let allowed = match path.strip_prefix("crate::") {
            Some(inside) => {
                folder.may.iter().any(|may| names(inside, may)) && !names_sibling(file, folder, inside)
            }
            None => !names(&path, ENGINE),
        };
        if !allowed {
            findings.push(Finding::new(
                file,
                line,
                format!(
                    "a plug under {} may not use {path} (ARCHITECTURE.md, who may import what)",
                    folder.path
                ),
            ));
        }
    }
}

/// Whether a path is the module, or something in it.
fn names(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Whether a transport names another transport: each stands alone.
fn names_sibling(file: &File, folder: &Folder, inside: &str) -> bool {
    let Some(own) = file.path.strip_prefix(folder.path) else { return false };
    let own = own.split(['/', '.']).next().unwrap_or_default();
    let sibling = inside.strip_prefix("transport::").and_then(|rest| rest.split("::").next());
    // What begins with a capital is a part of the contract, not a module.
    sibling.is_some_and(|name| name != own && name.starts_with(|first: char| first.is_ascii_lowercase()))
}

/// Every path named by a `use`, one for each leaf of its braces, with the line where the `use` begins.
fn uses(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut statement: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let begins = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "];
        let begun = begins.iter().find_map(|begin| line.strip_prefix(begin));
        let (number, mut words) = match (statement.take(), begun) {
            (Some((number, words)), _) => (number, words + line),
            (None, Some(rest)) => (index + 1, rest.to_owned()),
            (None, None) => continue,
        };
        match words.find(';') {
            Some(end) => {
                words.truncate(end);
                expand("", &words, &mut |path| found.push((number, path)));
            }
            None => statement = Some((number, words)),
        }
    }
    found
}

/// `a::{b, c::{d, e}}` is `a::b`, `a::c::d`, `a::c::e`.
fn expand(prefix: &str, tree: &str, found: &mut impl FnMut(String)) {
    for part in split_outside_braces(tree) {
        match part.split_once('{') {
            Some((head, rest)) => {
                let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
                expand(&format!("{prefix}{head}"), inner, &mut *found);
            }
            None => {
                let path = part.split(" as ").next().unwrap_or(part).trim();
                found(format!("{prefix}{path}").trim_end_matches("::self").to_owned());
            }
        }
    }
}

/// Splits at the commas that are in no braces.
fn split_outside_braces(tree: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    tree.split(|letter| {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(&File { path: path.to_owned(), text: text.to_owned() }, &mut findings);
        findings.into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn nested_braces_are_taken_apart() {
        let text = "use a::{b, c::{\n    d,\n    e as f,\n}, self};\nfn main() {}\n";
        let paths: Vec<String> = uses(text).into_iter().map(|(_, path)| path).collect();
        assert_eq!(paths, ["a::b", "a::c::d", "a::c::e", "a"]);
    }

    #[test]
    fn a_transport_may_open_a_peer_on_a_shard() {
        let text =
            "use super::Body;\nuse crate::peer::Peer;\nuse crate::shard::Shard;\nuse hyper::Request;\n";
        assert_eq!(found("crates/server/src/transport/sse.rs", text), Vec::<String>::new());
    }

    #[test]
    fn a_transport_may_not_reach_the_bus_the_directory_or_the_engine() {
        for path in ["crate::bus::Bus", "crate::directory::Directory", "realtime_core::engine::Engine"] {
            let text = format!("use {path};\n");
            assert_eq!(found("crates/server/src/transport/sse.rs", &text).len(), 1, "{path}");
        }
    }

    #[test]
    fn a_transport_may_not_name_another_transport() {
        let text = "use crate::transport::websocket::frame::Frame;\n";
        assert_eq!(found("crates/server/src/transport/sse.rs", text).len(), 1);
        assert_eq!(found("crates/server/src/transport/websocket/socket.rs", text).len(), 0);
    }

    #[test]
    fn a_bus_knows_no_shard_and_a_directory_no_transport() {
        assert_eq!(found("crates/server/src/bus/redis.rs", "use crate::shard::Shard;\n").len(), 1);
        assert_eq!(found("crates/server/src/directory/sqlite.rs", "use crate::transport::Body;\n").len(), 1);
        assert_eq!(found("crates/server/src/bus/redis.rs", "use crate::bus::NodeInbox;\n").len(), 0);
    }

    #[test]
    fn braces_hide_nothing() {
        let text = "use crate::{\n    directory::Directory,\n    peer::Peer,\n};\n";
        let findings = found("crates/server/src/transport/sse.rs", text);
        assert_eq!(findings.len(), 1);
    }
}
