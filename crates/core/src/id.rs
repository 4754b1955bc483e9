//! Names of things as types of their own, so that one cannot stand in for another.

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => { text_id! { $(#[$doc])* $name(Arc<str>) } };
    ($(#[$doc:meta])* $name:ident($text:ty)) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($text);

        impl $name {
            /// Takes the text as it stands; whether such an id exists is for a directory to say.
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(<$text>::from(text.as_ref()))
            }

            /// The id as it is written on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &self.0)
            }
        }
    };
}

text_id! {
    /// The tenant that events and connections belong to.
    ProjectId
}
text_id! {
    /// A user of a project.
    UserId
}
text_id! {
    /// A team of a project.
    TeamId
}
text_id! {
    /// A user's membership of a team.
    MembershipId
}
text_id! {
    /// What a user lets others know of itself.
    PresenceId
}
text_id! {
    /// A session of a user: the row, not the secret.
    SessionId
}
text_id! {
    /// A subscription on one connection: chosen by the client, or minted by the engine. Up to 23 bytes, which
    /// is enough for those of Appwrite's SDKs, stand in place; of longer ones the text is elsewhere, which costs an event
    /// with many receivers a look at more memory for each.
    SubscriptionId(SmolStr)
}
text_id! {
    /// An event, the same on every node that read the same bus message.
    EventId
}

impl SubscriptionId {
    /// What the ids begin with that stand for a whole request. No SDK makes one with a space.
    const OF_REQUEST: &str = "request ";

    /// Stands for all that a client asks for in one request, by a number that is the same whenever it asks for the same.
    pub fn of_request(number: u64) -> Self {
        Self::new(format!("{}{number:016x}", Self::OF_REQUEST))
    }

    /// Whether it stands for a whole request.
    pub fn is_of_request(&self) -> bool {
        self.0.starts_with(Self::OF_REQUEST)
    }
}

impl ProjectId {
    /// Appwrite's built-in project that its web console connects to.
    pub const CONSOLE: &'static str = "console";

    /// The console project's id.
    pub fn console() -> Self {
        Self::new(Self::CONSOLE)
    }

    /// Whether this is Appwrite's console project.
    pub fn is_console(&self) -> bool {
        self.as_str() == Self::CONSOLE
    }
}

/// One connection of one engine. The generation tells a reused slot from the connection that had it before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ConnectionId {
    slot: u32,
    generation: u32,
}

impl ConnectionId {
    pub(crate) fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (slot, generation) = text.split_once('.')?;
        Some(Self { slot: slot.parse().ok()?, generation: generation.parse().ok()? })
    }

    /// A small number that no two connections of an engine have at the same time, for tables.
    pub fn slot(self) -> u32 {
        self.slot
    }

    pub(crate) fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({self})")
    }
}
