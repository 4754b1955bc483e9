//! How a client begins: what it says to a server and what it waits for each time, as data that another process can read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::wire::{Framing, masked};

/// What stands for the client's number, in 14 digits.
const NUMBER: &str = "%NUMBER%";
/// What stands for the number of the client's room.
const ROOM: &str = "%ROOM%";
/// What stands for a JWT of the user with the client's number.
const JWT: &str = "%JWT%";
/// What stands for what was captured.
const CAPTURED: &str = "%CAPTURED%";
/// Seconds since 1970 at which those JWTs end: in the year 2100.
const JWT_ENDS: u64 = 4_102_444_800;

/// How all clients of a crowd begin.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Dialogue {
    pub(crate) steps: Vec<Step>,
    pub(crate) framing: Framing,
    /// Clients are spread evenly over so many rooms.
    pub(crate) rooms: usize,
    /// Signs the JWTs of the clients.
    secret: String,
}

/// One thing that is said.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Step {
    say: Say,
    /// What is waited for.
    pub(crate) until: Vec<u8>,
    /// What stands before and behind what is to be captured of the answer.
    capture: Option<(String, String)>,
    /// Whether it is said on a connection of its own, which ends with the answer.
    pub(crate) aside: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Say {
    Raw(String),
    /// A WebSocket message.
    Text(String),
    Binary(Vec<u8>),
    /// An HTTP request: path and body.
    Post(String, String),
}

impl Dialogue {
    pub(crate) fn new(framing: Framing, steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), framing, rooms: 1, secret: String::new() }
    }

    pub(crate) fn rooms(self, rooms: usize) -> Self {
        Self { rooms: rooms.max(1), ..self }
    }

    pub(crate) fn secret(self, secret: &str) -> Self {
        Self { secret: secret.to_owned(), ..self }
    }

    /// The bytes of a step of the client with this number.
    pub(crate) fn bytes(&self, step: &Step, number: usize, captured: &str) -> Vec<u8> {
        let fill = |text: &str| {
            let mut text = text
                .replace(NUMBER, &format!("{number:014}"))
                .replace(ROOM, &(number % self.rooms).to_string())
                .replace(CAPTURED, captured);
            if text.contains(JWT) {
                text = text.replace(JWT, &jwt(&self.secret, &user(number)));
            }
            text
        };
        match &step.say {
            Say::Raw(text) => fill(text).into_bytes(),
            Say::Text(text) => masked(0x81, fill(text).as_bytes()),
            Say::Binary(bytes) => masked(0x82, bytes),
            Say::Post(path, body) => {
                let body = fill(body);
                let length = body.len();
                format!(
                    "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
                     Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
                )
                .into_bytes()
            }
        }
    }
}

impl Step {
    pub(crate) fn raw(text: impl Into<String>, until: &[u8]) -> Self {
        Self::new(Say::Raw(text.into()), until)
    }

    pub(crate) fn text(text: impl Into<String>, until: &[u8]) -> Self {
        Self::new(Say::Text(text.into()), until)
    }

    pub(crate) fn binary(bytes: Vec<u8>, until: &[u8]) -> Self {
        Self::new(Say::Binary(bytes), until)
    }

    /// A request on a connection of its own.
    pub(crate) fn post(path: &str, body: &str, until: &[u8]) -> Self {
        Self { aside: true, ..Self::new(Say::Post(path.to_owned(), body.to_owned()), until) }
    }

    /// Keeps what stands between the two for the steps to come.
    pub(crate) fn capture(self, before: &str, behind: &str) -> Self {
        Self { capture: Some((before.to_owned(), behind.to_owned())), ..self }
    }

    fn new(say: Say, until: &[u8]) -> Self {
        Self { say, until: until.to_vec(), capture: None, aside: false }
    }

    /// What is to be captured of an answer, if it is there.
    pub(crate) fn captured(&self, answer: &[u8]) -> Option<String> {
        let (before, behind) = self.capture.as_ref()?;
        let from = memmem::find(answer, before.as_bytes())? + before.len();
        let rest = answer.get(from..)?;
        let found = rest.get(..memmem::find(rest, behind.as_bytes())?)?;
        Some(String::from_utf8_lossy(found).into_owned())
    }
}

/// The id of the user with this number.
pub(crate) fn user(number: usize) -> String {
    format!("user-{number:014}")
}

/// A JWT as a backend signs it for one of its users.
pub(crate) fn jwt(secret: &str, user: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = format!(r#"{{"sub":"{user}","exp":{JWT_ENDS}}}"#);
    let signed = format!("{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(secret, signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// HMAC-SHA-256.
pub(crate) fn sign(secret: &str, text: &[u8]) -> Vec<u8> {
    // A key of HMAC may have any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_names_the_client_its_room_and_what_was_captured() {
        let step = Step::raw("%NUMBER% %ROOM% %CAPTURED%", b"").capture("\"id\":\"", "\"");
        let captured = step.captured(br#"data:{"id":"abc","x":1}"#).unwrap_or_default();
        let dialogue = Dialogue::new(Framing::Stream, [step.clone()]).rooms(10);
        assert_eq!(dialogue.bytes(&step, 123, &captured), b"00000000000123 3 abc");
    }

    #[test]
    fn a_signature_is_that_of_the_standard() {
        // RFC 4231 §4.3.
        let signature = sign("Jefe", b"what do ya want for nothing?");
        assert_eq!(signature.get(..4), Some(&[0x5b, 0xdc, 0xc1, 0x46][..]));
    }
}
