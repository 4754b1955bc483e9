//! The query string of a URL, read the way PHP reads it.
//!
//! SDKs write their opening requests for PHP's parser: `channels[]=a` appends to a list, `documents[1][]=q` nests, and
//! in the name of a variable `.` and space become `_`.
//!
//! ```
//! use realtime_protocol::appwrite::query_string::QueryString;
//!
//! let query = QueryString::parse(b"project=p&channels[]=files&databases.D[1][]=first&databases.D[1][]=second");
//! assert_eq!(query.text("project"), Some("p"));
//! let slots = query.list("databases_D").unwrap();
//! let queries = slots.get("1").and_then(|slot| slot.as_list()).unwrap();
//! assert_eq!(queries.iter().filter_map(|(_, query)| query.as_text()).collect::<Vec<_>>(), ["first", "second"]);
//! ```

use std::collections::HashMap;

use super::percent::{self, Plus};

/// Variables beyond this many are ignored (PHP `max_input_vars`).
pub const MAX_VARIABLES: usize = 1_000;

/// A variable with more pairs of brackets than this is ignored (PHP `max_input_nesting_level`).
pub const MAX_NESTING: usize = 64;

/// A list with this many members finds them by a map instead of by looking at each.
const INDEXED: usize = 32;

/// A query string that was read. No input fails; what PHP would ignore is ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryString(List);

/// What stands behind a name or a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Param {
    /// `a=text`.
    Text(String),
    /// `a[]=…`, `a[key]=…`.
    List(Box<List>),
}

/// Members by key, in the order of their first mention. `[]` takes the number after the largest so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    members: Vec<(String, Param)>,
    /// Where each key is; empty while there are few.
    places: HashMap<String, usize>,
    largest: Option<i64>,
}

/// A list that is longer than the reader asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the list has more than {limit} members")]
pub struct ListTooLong {
    /// How long it may be.
    pub limit: usize,
}

impl QueryString {
    /// Reads what stands behind the `?`.
    pub fn parse(text: &[u8]) -> Self {
        let mut query = Self::default();
        for (name, value) in pairs(text).take(MAX_VARIABLES) {
            if let Some(place) = Place::parse(name) {
                query.put(place, value);
            }
        }
        query
    }

    /// The same, but every mention of the variable `list` adds a member to it: `list=a` and `list[7]=a` mean `list[]=a`.
    /// Its members do not count as variables and have a limit of their own.
    pub fn parse_with_list(text: &[u8], list: &str, limit: usize) -> Result<Self, ListTooLong> {
        let mut query = Self::default();
        let (mut variables, mut members) = (0, 0);
        for (name, value) in pairs(text) {
            let place = Place::parse(name);
            match place {
                Some(mut place) if place.name == list => {
                    members += 1;
                    if members > limit {
                        return Err(ListTooLong { limit });
                    }
                    match place.keys.first_mut() {
                        Some(key) => *key = None,
                        None => place.keys.push(None),
                    }
                    query.put(place, value);
                }
                place => {
                    variables += 1;
                    if let Some(place) = place.filter(|_| variables <= MAX_VARIABLES) {
                        query.put(place, value);
                    }
                }
            }
        }
        Ok(query)
    }

    /// What stands behind a name, if anything.
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.0.get(name)
    }

    /// The text behind a name; `None` for a list.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    /// The list behind a name; `None` for a text.
    pub fn list(&self, name: &str) -> Option<&List> {
        self.get(name)?.as_list()
    }

    /// Every variable, in the order of first mention.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Param)> {
        self.0.iter()
    }

    fn put(&mut self, place: Place, value: &[u8]) {
        let mut list = &mut self.0;
        let mut key = Some(place.name);
        for inner in place.keys {
            let Some(param) = list.member(key) else { return };
            list = param.as_list_anyway();
            key = inner;
        }
        if let Some(param) = list.member(key) {
            *param = Param::Text(percent::decode_text(value, Plus::Space));
        }
    }
}

impl Param {
    /// The text, unless it is a list.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::List(_) => None,
        }
    }

    /// The list, unless it is a text.
    pub fn as_list(&self) -> Option<&List> {
        match self {
            Self::List(list) => Some(list),
            Self::Text(_) => None,
        }
    }

    /// A text gives way to a list.
    fn as_list_anyway(&mut self) -> &mut List {
        if let Self::Text(_) = self {
            *self = Self::List(Box::default());
        }
        match self {
            Self::List(list) => list,
            Self::Text(_) => unreachable!("it has just become a list"),
        }
    }
}

impl List {
    /// The member with this key.
    pub fn get(&self, key: &str) -> Option<&Param> {
        self.members.get(self.place(key)?).map(|(_, param)| param)
    }

    /// Every member, in the order of first mention.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Param)> {
        self.members.iter().map(|(key, param)| (key.as_str(), param))
    }

    /// The member with this key, or with the next number. A new one is an empty text. `None` if numbers have run out.
    fn member(&mut self, key: Option<String>) -> Option<&mut Param> {
        let key = match key {
            Some(key) => key,
            None => self.largest.map_or(Some(0), |largest| largest.checked_add(1))?.to_string(),
        };
        let place = match self.place(&key) {
            Some(place) => place,
            None => self.add(key),
        };
        self.members.get_mut(place).map(|(_, param)| param)
    }

    fn place(&self, key: &str) -> Option<usize> {
        if self.places.is_empty() {
            self.members.iter().position(|(known, _)| known == key)
        } else {
            self.places.get(key).copied()
        }
    }

    fn add(&mut self, key: String) -> usize {
        let place = self.members.len();
        // PHP takes a key for a number only if it is written as PHP would write that number.
        if let Some(number) = key.parse::<i64>().ok().filter(|number| number.to_string() == key) {
            self.largest = self.largest.max(Some(number));
        }
        if !self.places.is_empty() {
            self.places.insert(key.clone(), place);
        }
        self.members.push((key, Param::Text(String::new())));
        if self.members.len() == INDEXED {
            let keys = self.members.iter().enumerate();
            self.places = keys.map(|(place, (key, _))| (key.clone(), place)).collect();
        }
        place
    }
}

/// Names and values, still encoded. A variable without `=` has an empty value.
fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
    })
}

/// Where a variable belongs: its name, then a key for each pair of brackets, `None` for an empty pair.
struct Place {
    name: String,
    keys: Vec<Option<String>>,
}

impl Place {
    /// Takes a name apart (PHP `php_register_variable_ex`). `None` for a name that PHP ignores.
    fn parse(encoded: &[u8]) -> Option<Self> {
        let decoded = percent::decode(encoded, Plus::Space);
        // To PHP a zero byte ends a name.
        let name = decoded.split(|byte| *byte == 0).next().unwrap_or_default();
        let start = name.iter().position(|byte| *byte != b' ')?;
        let (_, name) = name.split_at_checked(start)?;
        let plain_length = name.iter().position(|byte| *byte == b'[').unwrap_or(name.len());
        let (plain, mut rest) = name.split_at_checked(plain_length)?;
        if plain.is_empty() {
            return None;
        }
        let mut keys = Vec::new();
        while let Some(inside) = rest.strip_prefix(b"[") {
            if keys.len() == MAX_NESTING {
                return None;
            }
            let Some(end) = inside.iter().position(|byte| *byte == b']') else {
                // A bracket that nothing closes is part of the name, or the end of the last key.
                let name = if keys.is_empty() { name } else { plain };
                return Some(Self { name: mangled(name), keys });
            };
            let (key, after) = inside.split_at_checked(end)?;
            let blank = matches!(key, [] | [b' ' | b'\t' | b'\n' | 0x0B | 0x0C | b'\r']);
            keys.push((!blank).then(|| String::from_utf8_lossy(key).into_owned()));
            // Whatever else follows the bracket is ignored.
            rest = after.strip_prefix(b"]")?;
        }
        Some(Self { name: mangled(plain), keys })
    }
}

/// A name as PHP would spell it as a variable.
pub(super) fn mangled(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace(['.', ' ', '['], "_")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `{name:value,list:{key:value}}`
    fn shown(list: &List) -> String {
        let members: Vec<String> = list
            .iter()
            .map(|(key, param)| match param {
                Param::Text(text) => format!("{key}:{text}"),
                Param::List(list) => format!("{key}:{}", shown(list)),
            })
            .collect();
        format!("{{{}}}", members.join(","))
    }

    fn read(text: &str) -> String {
        shown(&QueryString::parse(text.as_bytes()).0)
    }

    #[test]
    fn variables_are_read_as_php_reads_them() {
        for (text, expected) in [
            ("", "{}"),
            ("&&", "{}"),
            ("a=1&b=2", "{a:1,b:2}"),
            ("a", "{a:}"),
            ("a=1=2", "{a:1=2}"),
            ("=1", "{}"),
            ("a=1&b=2&a=3", "{a:3,b:2}"),
            ("a%20b=%C3%A9+%2B", "{a_b:é +}"),
            ("++a=1", "{a:1}"),
            ("a.b=1&a b=2", "{a_b:2}"),
            ("a[]=x&a[]=y", "{a:{0:x,1:y}}"),
            ("a%5B%5D=x", "{a:{0:x}}"),
            ("a[ ]=x", "{a:{0:x}}"),
            ("a[3]=x&a[]=y", "{a:{3:x,4:y}}"),
            ("a[-5]=x&a[]=y", "{a:{-5:x,-4:y}}"),
            ("a[03]=x&a[]=y", "{a:{03:x,0:y}}"),
            ("a[9223372036854775807]=x&a[]=y", "{a:{9223372036854775807:x}}"),
            ("a[3][]=x&a[3][]=y", "{a:{3:{0:x,1:y}}}"),
            ("a[k][l][m]=x", "{a:{k:{l:{m:x}}}}"),
            ("a[k.l]=x", "{a:{k.l:x}}"),
            ("a.b[c]=x", "{a_b:{c:x}}"),
            ("a=1&a[]=2", "{a:{0:2}}"),
            ("a[]=2&a=1", "{a:1}"),
            ("a[b=1", "{a_b:1}"),
            ("a[b.c[d=1", "{a_b_c_d:1}"),
            ("a[b][c=1", "{a:{b:1}}"),
            ("a[b]c=1", "{a:{b:1}}"),
            ("a[b]c[d]=1", "{a:{b:1}}"),
            ("[a]=1", "{}"),
            ("[a=1", "{}"),
            ("a%00b=1", "{a:1}"),
            ("a]=1", "{a]:1}"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn variables_beyond_the_limit_are_ignored() {
        let text: Vec<String> = (0..2 * MAX_VARIABLES).map(|number| format!("a{number}=1")).collect();
        let query = QueryString::parse(text.join("&").as_bytes());
        assert_eq!(query.iter().count(), MAX_VARIABLES);
        assert!(query.get("a999").is_some());
        assert!(query.get("a1000").is_none());
    }

    #[test]
    fn a_variable_nested_too_deep_is_ignored() {
        let deep = |levels: usize| format!("a{}=1&b=2", "[]".repeat(levels));
        assert!(QueryString::parse(deep(MAX_NESTING).as_bytes()).get("a").is_some());
        let query = QueryString::parse(deep(MAX_NESTING + 1).as_bytes());
        assert!(query.get("a").is_none());
        assert_eq!(query.text("b"), Some("2"));
    }

    #[test]
    fn every_mention_of_a_named_list_adds_a_member() {
        for text in ["c[]=a&c=b", "c[0]=a&c[1]=b", "c=a&c[]=b", "c=a&x=1&c=b", "c=a&c[0]=b", "c[3]=a&c[3]=b"]
        {
            let query = QueryString::parse_with_list(text.as_bytes(), "c", 10).unwrap();
            let members: Vec<&str> =
                query.list("c").unwrap().iter().filter_map(|(_, param)| param.as_text()).collect();
            assert_eq!(members, ["a", "b"], "{text}");
        }
    }

    #[test]
    fn a_named_list_has_a_limit_of_its_own() {
        let text = "c[]=a&".repeat(MAX_VARIABLES + 1) + "x=1";
        let query = QueryString::parse_with_list(text.as_bytes(), "c", MAX_VARIABLES + 1).unwrap();
        assert_eq!(query.list("c").unwrap().iter().count(), MAX_VARIABLES + 1);
        assert_eq!(query.text("x"), Some("1"));
        let refused = QueryString::parse_with_list(text.as_bytes(), "c", MAX_VARIABLES);
        assert_eq!(refused, Err(ListTooLong { limit: MAX_VARIABLES }));
    }

    fn encoded(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02x}")).collect()
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            QueryString::parse(&text);
            let _ = QueryString::parse_with_list(&text, "a", 3);
        }

        #[test]
        fn any_likely_text_is_read_without_panic(text in "[a-b0-9.\\[\\]=&%+ -]{0,80}") {
            QueryString::parse(text.as_bytes());
        }

        #[test]
        fn what_was_encoded_is_read_back(
            members in proptest::collection::btree_map("[a-z_]{1,6}", "\\PC{0,20}", 0..50),
        ) {
            let plain: Vec<String> =
                members.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
            let query = QueryString::parse(plain.join("&").as_bytes());
            let nested: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("list[{}][]={}", encoded(key), encoded(value)))
                .collect();
            let list = QueryString::parse(nested.join("&").as_bytes());
            prop_assert_eq!(query.iter().count(), members.len());
            for (key, value) in &members {
                prop_assert_eq!(query.text(key), Some(value.as_str()));
                let slot = list.list("list").and_then(|list| list.get(key)).and_then(Param::as_list);
                prop_assert_eq!(slot.and_then(|slot| slot.get("0")).and_then(Param::as_text), Some(value.as_str()));
            }
        }
    }
}
