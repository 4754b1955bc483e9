//! How a refusal is told: its code, the text that is shown, and the close that may follow.

use std::borrow::Cow;

use realtime_core::refusal::{Close, Refusal, RefusalKind};

/// Which refusals keep their text to themselves. The code is always told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Masking {
    /// None: for development.
    Nothing,
    /// Faults of the server, whose texts may tell what is none of a client's business.
    #[default]
    Faults,
    /// Those that Appwrite hides in production: everything with a code of 500 or more but policy violations.
    Appwrite,
}

/// What stands in for a text that is not shown (Appwrite in production).
const MASK: &str = "Error: Server Error";

/// The longest reason that a close frame can hold, in bytes (RFC 6455 §5.5, less two for the code).
const MAX_REASON: usize = 123;

/// Codes of close frames: RFC 6455 §7.4.1 and IANA's registry of WebSocket close codes.
mod close_code {
    pub(super) const PROTOCOL_ERROR: u16 = 1002;
    pub(super) const POLICY_VIOLATION: u16 = 1008;
    pub(super) const MESSAGE_TOO_BIG: u16 = 1009;
    pub(super) const INTERNAL_ERROR: u16 = 1011;
    pub(super) const SERVICE_RESTART: u16 = 1012;
    pub(super) const TRY_AGAIN_LATER: u16 = 1013;
    pub(super) const UNAUTHORIZED: u16 = 3000;
    pub(super) const FORBIDDEN: u16 = 3003;
}

/// The code of an `error` message: Appwrite's own for what is about realtime, HTTP's for the rest.
pub(super) fn code(kind: RefusalKind) -> u16 {
    match kind {
        RefusalKind::Policy => 1008,
        RefusalKind::Invalid => 1003,
        RefusalKind::TooMany => 1013,
        RefusalKind::Unauthorized => 401,
        RefusalKind::Forbidden => 403,
        RefusalKind::NotFound => 404,
        RefusalKind::BadRequest => 400,
        RefusalKind::Conflict => 409,
        RefusalKind::Unavailable => 503,
        RefusalKind::Internal => 500,
        RefusalKind::Dismissed => 1012,
    }
}

/// The text as the client may see it.
pub(super) fn shown(refusal: &Refusal, masking: Masking) -> Cow<'static, str> {
    let is_masked = match refusal.kind {
        RefusalKind::Policy
        | RefusalKind::Unauthorized
        | RefusalKind::Forbidden
        | RefusalKind::NotFound
        | RefusalKind::BadRequest
        | RefusalKind::Conflict
        | RefusalKind::Dismissed => false,
        RefusalKind::Invalid | RefusalKind::TooMany | RefusalKind::Unavailable => {
            masking == Masking::Appwrite
        }
        RefusalKind::Internal => masking != Masking::Nothing,
    };
    if is_masked { Cow::Borrowed(MASK) } else { refusal.message.clone() }
}

/// The code and the reason of the close frame.
///
/// SDKs take 1008 for "do not come back" and anything else for "try again", so it is for policy violations alone: a
/// token that has run out may be fresh the next time.
pub(super) fn close(close: &Close, masking: Masking) -> (u16, Cow<'static, str>) {
    let (code, reason) = match close {
        Close::Refused(refusal) => (close_code_of(refusal.kind), shown(refusal, masking)),
        Close::Slow => (close_code::TRY_AGAIN_LATER, "You read slower than events come.".into()),
        Close::Gap => (close_code::SERVICE_RESTART, "Events may be missing. Connect again.".into()),
        Close::Expired => (close_code::UNAUTHORIZED, "The session or token has expired.".into()),
        Close::Going => (close_code::SERVICE_RESTART, "The server restarts. Connect again.".into()),
        Close::Protocol(reason) => (close_code::PROTOCOL_ERROR, reason.clone()),
        Close::TooLarge => (close_code::MESSAGE_TOO_BIG, "The message is larger than allowed.".into()),
    };
    (code, shortened(reason))
}

fn close_code_of(kind: RefusalKind) -> u16 {
    match kind {
        RefusalKind::Policy => close_code::POLICY_VIOLATION,
        RefusalKind::TooMany | RefusalKind::Unavailable => close_code::TRY_AGAIN_LATER,
        RefusalKind::Unauthorized => close_code::UNAUTHORIZED,
        RefusalKind::Forbidden => close_code::FORBIDDEN,
        // After any other code some clients do not come back as they are, or not soon.
        RefusalKind::Dismissed => close_code::SERVICE_RESTART,
        RefusalKind::Invalid
        | RefusalKind::NotFound
        | RefusalKind::BadRequest
        | RefusalKind::Conflict
        | RefusalKind::Internal => close_code::INTERNAL_ERROR,
    }
}

/// As much of a reason as a close frame can hold.
fn shortened(reason: Cow<'static, str>) -> Cow<'static, str> {
    if reason.len() <= MAX_REASON {
        return reason;
    }
    let (kept, _) = reason.split_at(reason.floor_char_boundary(MAX_REASON));
    Cow::Owned(kept.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [(RefusalKind, u16, u16); 11] = [
        (RefusalKind::Policy, 1008, 1008),
        (RefusalKind::Invalid, 1003, 1011),
        (RefusalKind::TooMany, 1013, 1013),
        (RefusalKind::Unauthorized, 401, 3000),
        (RefusalKind::Forbidden, 403, 3003),
        (RefusalKind::NotFound, 404, 1011),
        (RefusalKind::BadRequest, 400, 1011),
        (RefusalKind::Conflict, 409, 1011),
        (RefusalKind::Unavailable, 503, 1013),
        (RefusalKind::Internal, 500, 1011),
        (RefusalKind::Dismissed, 1012, 1012),
    ];

    fn masked(masking: Masking) -> Vec<u16> {
        let masked = KINDS.iter().filter(|(kind, _, _)| shown(&Refusal::new(*kind, "text"), masking) == MASK);
        masked.map(|(_, code, _)| *code).collect()
    }

    #[test]
    fn every_kind_of_refusal_has_its_codes() {
        for (kind, told, closed) in KINDS {
            assert_eq!(code(kind), told, "{kind:?}");
            let close = close(&Close::Refused(Refusal::new(kind, "text")), Masking::Nothing);
            assert_eq!(close, (closed, "text".into()), "{kind:?}");
        }
    }

    #[test]
    fn other_closes_have_theirs() {
        let code = |reason| close(&reason, Masking::Faults).0;
        assert_eq!(code(Close::Slow), 1013);
        assert_eq!(code(Close::Gap), 1012);
        assert_eq!(code(Close::Expired), 3000);
        assert_eq!(code(Close::Going), 1012);
        assert_eq!(code(Close::Protocol("bad frame".into())), 1002);
        assert_eq!(code(Close::TooLarge), 1009);
    }

    #[test]
    fn faults_of_the_server_are_masked_unless_in_development() {
        assert_eq!(masked(Masking::Nothing), [0; 0]);
        assert_eq!(masked(Masking::Faults), [500]);
        assert_eq!(masked(Masking::Appwrite), [1003, 1013, 503, 500]);
        assert_eq!(Masking::default(), Masking::Faults);
    }

    #[test]
    fn what_is_masked_in_the_message_is_masked_in_the_reason() {
        let refused = Close::Refused(Refusal::new(RefusalKind::Internal, "password=1"));
        assert_eq!(close(&refused, Masking::Faults), (1011, MASK.into()));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let refused = |text: String| close(&Close::Refused(Refusal::policy(text)), Masking::Faults).1;
        assert_eq!(refused("a".repeat(124)), "a".repeat(123));
        assert_eq!(refused(format!("{}é", "a".repeat(122))), "a".repeat(122));
        assert_eq!(refused(format!("{}é", "a".repeat(121))), format!("{}é", "a".repeat(121)));
    }

    proptest! {
        #[test]
        fn any_reason_fits_a_close_frame(text in "\\PC{0,200}") {
            let cut = shortened(text.clone().into());
            prop_assert!(cut.len() <= MAX_REASON);
            prop_assert!(text.starts_with(cut.as_ref()));
        }
    }
}
