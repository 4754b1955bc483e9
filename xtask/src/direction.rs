//! Which crates may be under which: the core and the protocol stay free of I/O.

use std::path::Path;

use crate::process::Tool;

/// A crate, and what must not be found anywhere under it.
struct Rule {
    package: &'static str,
    never: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        package: "realtime-core",
        never: &[
            "realtime-client",
            "realtime-protocol",
            "realtime-server",
            "tokio",
            "hyper",
            "http",
            "mio",
            "socket2",
            "rustls",
            "rand",
            "getrandom",
        ],
    },
    Rule {
        package: "realtime-protocol",
        never: &[
            "realtime-client",
            "realtime-server",
            "tokio",
            "hyper",
            "mio",
            "socket2",
            "rustls",
            "rand",
            "getrandom",
        ],
    },
    // What an application depends on brings nothing of the server with it.
    Rule {
        package: "realtime-client",
        never: &["realtime-core", "realtime-protocol", "realtime-server", "hyper", "sqlx", "redis"],
    },
    // A simulated node is engines and codecs; a socket or a database would bring in another clock.
    Rule { package: "realtime-sim", never: &["realtime-server", "hyper", "sqlx", "redis"] },
];

/// Reads the tree of dependencies and fails at the first arrow that points the wrong way.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    for rule in RULES {
        let tree = Tool::cargo(root)
            .args(["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
            .args(["--package", rule.package])
            .read()?;
        let wrong = forbidden(&tree, rule.never);
        if !wrong.is_empty() {
            return Err(format!(
                "{package} depends on {wrong}, which it must do without; \
                 `cargo tree --package {package} --invert {wrong}` shows the way",
                package = rule.package,
            ));
        }
        println!("direction: {} is free of {}", rule.package, rule.never.join(", "));
    }
    Ok(())
}

/// The first package of a printed tree that is on the list, or nothing.
fn forbidden<'a>(tree: &'a str, never: &[&str]) -> &'a str {
    tree.lines()
        .filter_map(|line| line.split_whitespace().next())
        .find(|name| never.contains(name))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_package_is_found_wherever_it_stands() {
        let tree = "realtime-core v0.1.0\nbytes v1.0.0\ntokio-util v0.7.0\ntokio v1.54.0 (*)\n";
        assert_eq!(forbidden(tree, &["tokio"]), "tokio");
    }

    #[test]
    fn a_name_that_only_begins_like_a_forbidden_one_is_fine() {
        assert_eq!(forbidden("httparse v1.0.0\nbytes v1.0.0", &["http"]), "");
    }
}
