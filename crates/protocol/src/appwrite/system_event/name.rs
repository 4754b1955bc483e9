//! A system event's name taken apart: resources with their ids, an action, sometimes an attribute.
//!
//! Ids may contain dots, so a name written out (`users.john.doe.update`) can be read in several ways. It is accepted
//! only if exactly one reading agrees with what is known otherwise: the payload's ids, the params, the project. The
//! pattern form (`users.[userId].update` with params) has one reading by construction.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use realtime_core::channel::Action;
use realtime_core::id::{ProjectId, UserId};

use super::facts::Facts;
use super::kind::{self, Kind};
use crate::appwrite::permission::{self, PermissionError, shortened};

/// The longest name, in bytes. Three of Appwrite's ids with their kinds need 160.
pub const MAX_NAME_BYTES: usize = 512;

/// The most dots in a name written out; bounds the number of readings. Patterns have no such limit.
pub const MAX_DOTS: usize = 64;

/// The deepest nesting of resources in Appwrite's names.
const MAX_LEVELS: usize = 3;

/// A name with its ids told apart from its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventName {
    /// From the root to the resource that it happened to; one to three.
    pub resources: Vec<Resource>,
    /// What happened (`update`; for `users.U.sessions.delete`, which has no session's id, `sessions`).
    pub action: String,
    /// The part that it happened to (`name` of `users.U.update.name`).
    pub attribute: Option<String>,
}

/// One `kind.id` pair of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `users`, `documents`, …
    pub kind: String,
    /// Its id, dots and all.
    pub id: String,
}

/// Why a name was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("the event name has {bytes} bytes; at most {MAX_NAME_BYTES} are taken")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// More than [`MAX_DOTS`].
    #[error(
        "the event name has {dots} dots; at most {MAX_DOTS} are taken, so write it as a pattern and its ids in `params`"
    )]
    TooManyDots {
        /// How many.
        dots: usize,
    },
    /// No event of Appwrite's is called that.
    #[error(
        "`{name}` is not an event that this server knows; write for instance \
         `databases.[databaseId].collections.[collectionId].documents.[documentId].create` with params, or publish with \
         explicit channels and roles"
    )]
    Unknown {
        /// The name.
        name: String,
    },
    /// Brackets that do not make Appwrite's pattern.
    #[error(
        "`{name}` is not an event pattern; write kind.[idName], up to three times, then an action: `users.[userId].update`"
    )]
    Pattern {
        /// The name.
        name: String,
    },
    /// A placeholder without a value.
    #[error("`params` lacks `{param}`, which the event name asks for")]
    MissingParam {
        /// The placeholder.
        param: String,
    },
    /// An id that could be taken for something else.
    #[error(transparent)]
    Id(#[from] PermissionError),
    /// More than one reading agrees with what is known, or the only one has a dotted id that nothing confirms.
    #[error(
        "`{name}` can be read in more than one way because ids may contain dots; give the payload its ids (`$id`, …), \
         or write the event as `{pattern}` and its ids in `params`"
    )]
    Ambiguous {
        /// The name.
        name: String,
        /// The pattern of the first reading.
        pattern: String,
    },
    /// No reading agrees with what is known.
    #[error(
        "`{name}` contradicts `{source_of_id}`, which says `{id}`; correct one of them, or write the event as `{pattern}` \
         and its ids in `params`"
    )]
    Contradicted {
        /// The name.
        name: String,
        /// Where the other id stands: `payload.$id`, `params.userId`.
        source_of_id: String,
        /// The other id.
        id: String,
        /// The pattern of the first reading.
        pattern: String,
    },
}

/// What is known of an event's ids apart from its name.
#[derive(Debug)]
pub(super) struct Claims<'a> {
    pub(super) facts: &'a Facts,
    pub(super) params: &'a BTreeMap<String, String>,
    pub(super) user: Option<&'a UserId>,
    pub(super) project: &'a ProjectId,
}

/// A place where an id stands, and the id.
struct Claim<'a> {
    /// `params.`, `payload.`, or the whole place.
    place: &'static str,
    key: &'static str,
    id: &'a str,
}

impl EventName {
    /// Reads either form of a name.
    pub(super) fn parse(name: &str, claims: &Claims<'_>) -> Result<Self, NameError> {
        if name.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong { bytes: name.len() });
        }
        if name.contains(['[', ']']) {
            Self::of_pattern(name, claims)
        } else {
            Self::written_out(name, claims)
        }
    }

    /// The kinds from the root down.
    pub(super) fn kinds(&self) -> Vec<&str> {
        self.resources.iter().map(|resource| resource.kind.as_str()).collect()
    }

    fn of_pattern(name: &str, claims: &Claims<'_>) -> Result<Self, NameError> {
        let bad = || NameError::Pattern { name: shortened(name) };
        let mut segments = name.split('.').peekable();
        let mut resources = Vec::new();
        let action = loop {
            let word = segments.next().filter(|word| is_word(word)).ok_or_else(bad)?;
            let Some(placeholder) = segments.next_if(|segment| segment.starts_with('[')) else { break word };
            let param = placeholder
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .filter(|param| is_word(param));
            let param = param.ok_or_else(bad)?;
            let id =
                claims.param(param).ok_or_else(|| NameError::MissingParam { param: param.to_owned() })?;
            let id = permission::checked_id(id)?.to_owned();
            if resources.len() == MAX_LEVELS {
                return Err(bad());
            }
            resources.push(Resource { kind: word.to_owned(), id });
        };
        let attribute = segments.next();
        if resources.is_empty() || segments.next().is_some() || !attribute.is_none_or(is_word) {
            return Err(bad());
        }
        if !resources.first().and_then(|root| kind::find(&root.kind)).is_some_and(|kind| kind.root) {
            return Err(NameError::Unknown { name: shortened(name) });
        }
        Ok(Self { resources, action: action.to_owned(), attribute: attribute.map(ToOwned::to_owned) })
    }

    fn written_out(name: &str, claims: &Claims<'_>) -> Result<Self, NameError> {
        let unknown = || NameError::Unknown { name: shortened(name) };
        if !name.chars().all(permission::is_id_char) {
            return Err(unknown());
        }
        let dots = name.matches('.').count();
        if dots > MAX_DOTS {
            return Err(NameError::TooManyDots { dots });
        }
        let cut = Cut::of(name);
        let root = cut.segment(0).and_then(kind::find).filter(|kind| kind.root).ok_or_else(unknown)?;

        let mut agreeing: Vec<Reading<'_>> = Vec::new();
        let mut contradicted: Option<NameError> = None;
        // Two that agree are as bad as a thousand.
        let _: ControlFlow<()> = cut.readings(0, root, &mut Vec::new(), &mut |reading| {
            match claims.contradicting(&reading) {
                Some(claim) => {
                    contradicted.get_or_insert_with(|| NameError::Contradicted {
                        name: shortened(name),
                        source_of_id: format!("{}{}", claim.place, claim.key),
                        id: shortened(claim.id),
                        pattern: reading.pattern(),
                    });
                }
                None => agreeing.push(reading),
            }
            if agreeing.len() > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match agreeing.as_slice() {
            [] => Err(contradicted.unwrap_or_else(unknown)),
            [reading] if claims.confirm(reading) => Ok(reading.to_name()),
            [reading, ..] => Err(NameError::Ambiguous { name: shortened(name), pattern: reading.pattern() }),
        }
    }
}

impl<'a> Claims<'a> {
    /// The value for a placeholder. The event's user and project are known without being repeated.
    fn param(&self, param: &str) -> Option<&'a str> {
        match (self.params.get(param), param) {
            (Some(value), _) => Some(value),
            (None, "userId") => self.user.map(UserId::as_str),
            (None, "projectId") => Some(self.project.as_str()),
            (None, _) => None,
        }
    }

    /// The first claim that the reading contradicts.
    fn contradicting(&self, reading: &Reading<'_>) -> Option<Claim<'a>> {
        reading
            .path
            .iter()
            .enumerate()
            .find_map(|(level, (kind, id))| self.about(reading, level, kind).find(|claim| claim.id != *id))
    }

    /// Whether every dotted id of a reading that contradicts nothing is also backed by something.
    fn confirm(&self, reading: &Reading<'_>) -> bool {
        let backed = |level, kind| self.about(reading, level, kind).next().is_some();
        reading.path.iter().enumerate().all(|(level, (kind, id))| !id.contains('.') || backed(level, kind))
    }

    /// What is known of the id at a level of a reading.
    fn about(
        &self,
        reading: &Reading<'_>,
        level: usize,
        kind: &'static Kind,
    ) -> impl Iterator<Item = Claim<'a>> {
        let params = kind
            .params
            .iter()
            .filter_map(|key| Some(Claim { place: "params.", key, id: self.params.get(*key)? }));
        let beside = match kind.name {
            "users" => self.user.map(|user| Claim { place: "userId", key: "", id: user.as_str() }),
            "projects" => Some(Claim { place: "the project", key: "", id: self.project.as_str() }),
            _ => None,
        };
        // A document's fields are its owner's to name: only Appwrite's, which begin with `$`, say whose it is.
        let free_form = reading.path.last().is_some_and(|(leaf, _)| leaf.free_form);
        let payload = self
            .payload_keys(reading, level, kind)
            .iter()
            .filter(move |key| !free_form || key.starts_with('$'))
            .filter_map(|key| Some(Claim { place: "payload.", key, id: self.facts.id(key)? }));
        params.chain(beside).chain(payload)
    }

    /// Where the payload tells the id at a level: under `$id` if it is the resource that the event happened to.
    fn payload_keys(&self, reading: &Reading<'_>, level: usize, kind: &Kind) -> &'static [&'static str] {
        let is_subject = level + 1 == reading.path.len();
        // The payload of `users.U.sessions.delete` is a session, and that of `projects.P.ping` may be anything.
        let happened_to_subject = Action::parse(reading.action).is_some();
        if is_subject && happened_to_subject { &["$id"] } else { kind.payload_keys }
    }
}

/// One way to tell a name's ids from its words.
#[derive(Debug, Clone)]
struct Reading<'n> {
    path: Vec<(&'static Kind, &'n str)>,
    action: &'n str,
    attribute: Option<&'n str>,
}

impl Reading<'_> {
    fn to_name(&self) -> EventName {
        EventName {
            resources: self
                .path
                .iter()
                .map(|(kind, id)| Resource { kind: kind.name.to_owned(), id: (*id).to_owned() })
                .collect(),
            action: self.action.to_owned(),
            attribute: self.attribute.map(ToOwned::to_owned),
        }
    }

    fn pattern(&self) -> String {
        let mut pattern = String::new();
        for (kind, _) in &self.path {
            let param = kind.params.first().copied().unwrap_or("id");
            pattern.push_str(&format!("{}.[{param}].", kind.name));
        }
        pattern.push_str(self.action);
        if let Some(attribute) = self.attribute {
            pattern.push('.');
            pattern.push_str(attribute);
        }
        pattern
    }
}

/// A name and where its segments lie.
struct Cut<'n> {
    name: &'n str,
    /// Beginning and end of each segment.
    spans: Vec<(usize, usize)>,
}

impl<'n> Cut<'n> {
    fn of(name: &'n str) -> Self {
        let mut spans = Vec::new();
        let mut start = 0;
        for segment in name.split('.') {
            spans.push((start, start + segment.len()));
            start += segment.len() + 1;
        }
        Self { name, spans }
    }

    fn segment(&self, at: usize) -> Option<&'n str> {
        self.text(at, at + 1)
    }

    /// The text from one segment to before another, dots between them included.
    fn text(&self, from: usize, to: usize) -> Option<&'n str> {
        let (start, _) = self.spans.get(from)?;
        let (_, end) = self.spans.get(to.checked_sub(1)?)?;
        self.name.get(*start..*end)
    }

    /// Visits every reading in which the segment at `at` is `kind`.
    fn readings(
        &self,
        at: usize,
        kind: &'static Kind,
        path: &mut Vec<(&'static Kind, &'n str)>,
        visit: &mut dyn FnMut(Reading<'n>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for end in at + 2..self.spans.len() {
            let Some(id) = self.text(at + 1, end).filter(|id| permission::is_id(id)) else { continue };
            path.push((kind, id));
            if let Some((action, attribute)) = self.tail(kind, end) {
                visit(Reading { path: path.clone(), action, attribute })?;
            }
            let child =
                self.segment(end).filter(|_| path.len() < MAX_LEVELS).and_then(|word| kind.child(word));
            if let Some(child) = child {
                self.readings(end, child, path, visit)?;
            }
            path.pop();
        }
        ControlFlow::Continue(())
    }

    /// The action and attribute, if that is all there is from `at`.
    fn tail(&self, kind: &Kind, at: usize) -> Option<(&'n str, Option<&'n str>)> {
        let action = self.segment(at)?;
        let attribute = self.segment(at + 1);
        if self.spans.len() > at + 2 {
            return None;
        }
        let regular = Action::parse(action).is_some()
            && attribute.is_none_or(|attribute| is_word(attribute) && Action::parse(attribute).is_none());
        let special = kind.tails.contains(&(action, attribute.unwrap_or_default()));
        (regular || special).then_some((action, attribute))
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
