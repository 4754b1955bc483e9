//! One event under all the names that webhooks, functions and clients know it by.

use std::collections::HashSet;

use super::name::EventName;

/// Every name of an event: from the most to the least specific, each first with its ids, then with `*` for all of them
/// and for some, each followed by its twins in the other database spellings. The order is Appwrite's
/// (`Event::generateEvents`); the first name is the concrete one.
pub(super) fn expand(name: &EventName) -> Vec<String> {
    let spellings = Spelling::all_for(name);
    let mut names = Vec::new();
    let mut seen = HashSet::new();
    for prefix in prefixes(name) {
        for stars in stars(prefix.levels) {
            for spelling in spellings {
                let text = spell(name, prefix, stars, *spelling);
                if seen.insert(text.clone()) {
                    names.push(text);
                }
            }
        }
    }
    names
}

/// The beginning of a name: so many resources, and whether action and attribute follow.
#[derive(Clone, Copy)]
struct Prefix {
    levels: usize,
    action: bool,
    attribute: bool,
}

fn prefixes(name: &EventName) -> Vec<Prefix> {
    let levels = name.resources.len();
    let attribute = name.attribute.is_some();
    let bare = |levels| Prefix { levels, action: false, attribute: false };
    let with_action = Prefix { levels, action: true, attribute: false };
    let with_attribute = |levels| Prefix { levels, action: true, attribute: true };

    let mut prefixes = Vec::new();
    if levels > 1 && attribute {
        prefixes.push(with_attribute(levels));
    }
    prefixes.push(with_action);
    if levels > 1 {
        prefixes.push(bare(levels));
    }
    // Appwrite puts the root with action and attribute here at any depth, though no such thing happened to the root.
    if attribute {
        prefixes.push(with_attribute(1));
    }
    if levels > 2 {
        prefixes.push(bare(2));
    }
    prefixes.push(bare(1));
    prefixes
}

/// Which ids become `*`, in Appwrite's order.
fn stars(levels: usize) -> &'static [&'static [usize]] {
    match levels {
        1 => &[&[], &[0]],
        2 => &[&[], &[0, 1], &[1], &[0]],
        _ => &[&[], &[0, 1, 2], &[1], &[0, 1], &[0], &[2], &[0, 2], &[1, 2]],
    }
}

/// A database family's way to write one and the same name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// As the publisher wrote it.
    Own,
    /// `databases…collections…documents…attributes`.
    Collections,
    /// `databases…tables…rows…columns`.
    Tables,
}

impl Spelling {
    fn all_for(name: &EventName) -> &'static [Self] {
        match name.kinds().as_slice() {
            ["databases", "tables", ..] => &[Self::Own, Self::Collections],
            ["databases", "collections", ..] => &[Self::Own, Self::Tables],
            ["tablesdb", ..] => &[Self::Own, Self::Collections, Self::Tables],
            _ => &[Self::Own],
        }
    }

    fn word(self, kind: &str) -> &str {
        match (self, kind) {
            (Self::Own, kind) => kind,
            (_, "tablesdb") => "databases",
            (Self::Collections, "tables") => "collections",
            (Self::Collections, "rows") => "documents",
            (Self::Collections, "columns") => "attributes",
            (Self::Tables, "collections") => "tables",
            (Self::Tables, "documents") => "rows",
            (Self::Tables, "attributes") => "columns",
            (_, kind) => kind,
        }
    }
}

fn spell(name: &EventName, prefix: Prefix, stars: &[usize], spelling: Spelling) -> String {
    let mut words: Vec<&str> = Vec::with_capacity(8);
    for (level, resource) in name.resources.iter().take(prefix.levels).enumerate() {
        words.push(spelling.word(&resource.kind));
        words.push(if stars.contains(&level) { "*" } else { &resource.id });
    }
    if prefix.action {
        words.push(&name.action);
    }
    if prefix.attribute
        && let Some(attribute) = &name.attribute
    {
        words.push(attribute);
    }
    words.join(".")
}
