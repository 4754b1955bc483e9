//! Appwrite's JSON protocol, as its Realtime server and SDKs speak it.
//!
//! A connection begins with an HTTP request, which [`hello`] reads: project, credentials, channels. From then on every
//! message is one JSON object with a `type`.
//!
//! | the client says | and is answered |
//! |---|---|
//! | `{"type":"ping"}` | `{"type":"pong"}` |
//! | `{"type":"authentication","data":{"session":TOKEN}}` | `response` to `authentication` with its `user` |
//! | `{"type":"authentication","data":{"jwt":TOKEN}}`, which Appwrite has not | the same |
//! | `{"type":"subscribe","data":[{"subscriptionId":"s1","channels":["files"],"queries":[]}]}` | `response` to `subscribe` |
//! | `{"type":"unsubscribe","data":[{"subscriptionId":"s1"}]}` | `response` to `unsubscribe` |
//!
//! ```
//! use realtime_core::command::{Command, Subscribe};
//! use realtime_core::id::SubscriptionId;
//! use realtime_core::identity::Credential;
//! use realtime_core::notice::{Notice, Outgoing, Subscribed};
//! use realtime_core::query::Filter;
//! use realtime_core::secret::Secret;
//! use realtime_protocol::appwrite::Appwrite;
//! use realtime_protocol::codec::Codec as _;
//!
//! let codec = Appwrite::default();
//! let told = |notice| codec.encode(&Outgoing::Notice(notice)).unwrap().own;
//!
//! assert_eq!(codec.decode(br#"{"type":"ping"}"#), Ok(Command::Ping));
//! assert_eq!(told(Notice::Pong), r#"{"type":"pong"}"#);
//!
//! let message = br#"{"type":"authentication","data":{"session":"TOKEN"}}"#;
//! let credential = Credential::Session(Secret::new("TOKEN"));
//! assert_eq!(codec.decode(message), Ok(Command::Authenticate(credential)));
//! assert_eq!(
//!     told(Notice::Authenticated { profile: r#"{"$id":"U"}"#.into() }),
//!     r#"{"type":"response","data":{"to":"authentication","success":true,"user":{"$id":"U"}}}"#
//! );
//!
//! let message = br#"{"type":"subscribe","data":[{"subscriptionId":"s1","channels":["files"]}]}"#;
//! let id = SubscriptionId::new("s1");
//! let subscribe =
//!     Subscribe { id: Some(id.clone()), channels: vec!["files".into()], filter: Filter::everything(), since: None };
//! assert_eq!(codec.decode(message), Ok(Command::Subscribe(vec![subscribe])));
//! assert_eq!(
//!     told(Notice::Subscribed(vec![Subscribed { id, channels: vec!["files".into()], queries: vec![], recovery: None }])),
//!     r#"{"type":"response","data":{"to":"subscribe","success":true,"subscriptions":[{"subscriptionId":"s1","channels":["files"],"queries":[]}]}}"#
//! );
//!
//! let message = br#"{"type":"unsubscribe","data":[{"subscriptionId":"s1"}]}"#;
//! assert_eq!(codec.decode(message), Ok(Command::Unsubscribe(vec![SubscriptionId::new("s1")])));
//! assert_eq!(
//!     told(Notice::Unsubscribed(vec![(SubscriptionId::new("s1"), true)])),
//!     r#"{"type":"response","data":{"to":"unsubscribe","success":true,"subscriptions":[{"subscriptionId":"s1","removed":true}]}}"#
//! );
//!
//! let refusal = codec.decode(b"hello").unwrap_err().0;
//! assert_eq!(
//!     told(Notice::Refused(refusal)),
//!     r#"{"type":"error","data":{"code":1003,"message":"Message format is not valid."}}"#
//! );
//!
//! assert_eq!(
//!     told(Notice::Connected { channels: vec!["files".into()], slots: vec![], profile: None, recovery: None }),
//!     r#"{"type":"connected","data":{"channels":["files"],"subscriptions":[],"user":null}}"#
//! );
//! ```
//!
//! An event is what the publisher wrote, with its name, its id, and the subscriptions of the receiver put behind:
//!
//! ```
//! use std::sync::Arc;
//!
//! use bytes::Bytes;
//! use realtime_core::notice::{Delivery, Outgoing};
//! use realtime_protocol::appwrite::{Appwrite, envelope};
//! use realtime_protocol::codec::Codec as _;
//!
//! let message = Bytes::from_static(
//!     br#"{"project":"p","roles":["any"],"data":{"events":["a.b"],"channels":["files"],"payload":{},"id":"e1"}}"#,
//! );
//! let event = Arc::new(envelope::decode(&message).unwrap());
//! let subscriptions = ["s1".into()].into_iter().collect();
//! let delivery = Delivery { event, subscriptions };
//! let message = Appwrite::default().encode(&Outgoing::Event(delivery)).unwrap();
//! assert_eq!(
//!     [message.shared, message.own].concat(),
//!     br#"{"type":"event","data":{"events":["a.b"],"channels":["files"],"payload":{},"id":"e1","event":"a.b","subscriptions":["s1"]}}"#
//! );
//! ```

use std::borrow::Cow;

use realtime_core::command::{Command, Malformed};
use realtime_core::notice::Outgoing;
use realtime_core::query;
use realtime_core::refusal::Close;

pub use self::refusal::Masking;
use crate::codec::{Codec, Message};

mod command;
pub mod cookie;
mod delivery;
pub mod envelope;
pub mod hello;
mod notice;
mod percent;
pub mod permission;
mod presence;
pub mod publish;
pub mod query_string;
mod refusal;
mod roles_changed;
pub mod session_token;
pub mod system_event;

/// The codec.
#[derive(Debug, Clone, Default)]
pub struct Appwrite {
    /// Which refusals keep their text to themselves.
    pub masking: Masking,
    /// How much one subscription's queries may ask for.
    pub queries: query::Limits,
}

impl Codec for Appwrite {
    fn decode(&self, message: &[u8]) -> Result<Command, Malformed> {
        command::decode(message, &self.queries)
    }

    fn encode(&self, outgoing: &Outgoing) -> Option<Message> {
        match outgoing {
            Outgoing::Event(delivery) => Some(delivery::encode(delivery)),
            Outgoing::Notice(notice) => notice::encode(notice, self.masking),
            Outgoing::Close(_) => None,
        }
    }

    fn close(&self, close: &Close) -> (u16, Cow<'static, str>) {
        refusal::close(close, self.masking)
    }
}
