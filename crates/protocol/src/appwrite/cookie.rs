//! Cookies of a request, found by the names that Appwrite gives them.
//!
//! ```
//! use realtime_protocol::appwrite::cookie::Cookies;
//!
//! let cookies = Cookies::of([&b"theme=dark; a_session_my.app=t%3D+; theme=light"[..]]);
//! assert_eq!(cookies.get("theme").as_deref(), Some("dark"));
//! assert_eq!(cookies.get("a_session_my_app").as_deref(), Some("t=+"));
//! ```

use super::percent::{self, Plus};
use super::query_string::mangled;

/// The cookies of a request, as they were sent.
#[derive(Clone, Default)]
pub struct Cookies<'a>(Vec<&'a [u8]>);

impl<'a> Cookies<'a> {
    /// Takes the values of the `Cookie` headers.
    pub fn of(headers: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(headers.into_iter().collect())
    }

    /// The first cookie of exactly this name, else the first whose name PHP would take for it: in a name `.` and space
    /// are as good as `_`. The value is percent-decoded; a `+` stays.
    pub fn get(&self, name: &str) -> Option<String> {
        let wanted = mangled(name.as_bytes());
        let value = self
            .find(|sent| sent == name.as_bytes())
            .or_else(|| self.find(|sent| sent.len() == name.len() && mangled(sent) == wanted))?;
        Some(percent::decode_text(value, Plus::Plus))
    }

    fn find(&self, is_wanted: impl Fn(&[u8]) -> bool) -> Option<&'a [u8]> {
        self.0.iter().flat_map(|header| header.split(|byte| *byte == b';')).find_map(|cookie| {
            let mut halves = cookie.splitn(2, |byte| *byte == b'=');
            let name = halves.next()?.trim_ascii_start();
            halves.next().filter(|_| is_wanted(name))
        })
    }
}

/// Cookies are credentials, so their values are not shown.
impl std::fmt::Debug for Cookies<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cookies([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(header: &str, name: &str) -> Option<String> {
        Cookies::of([header.as_bytes()]).get(name)
    }

    #[test]
    fn the_first_cookie_of_a_name_counts() {
        assert_eq!(get("a=1; a=2", "a").as_deref(), Some("1"));
        assert_eq!(Cookies::of([&b"b=0"[..], &b"a=1"[..], &b"a=2"[..]]).get("a").as_deref(), Some("1"));
    }

    #[test]
    fn an_exact_name_goes_before_a_mangled_one() {
        assert_eq!(get("a_b=1; a.b=2", "a.b").as_deref(), Some("2"));
        assert_eq!(get("a_b=1; c=2", "a.b").as_deref(), Some("1"));
        assert_eq!(get("a.b=1", "a_b").as_deref(), Some("1"));
    }

    #[test]
    fn a_value_is_decoded_and_keeps_its_plus() {
        assert_eq!(get("a=x%3D+%2", "a").as_deref(), Some("x=+%2"));
        assert_eq!(get("a=b=c", "a").as_deref(), Some("b=c"));
    }

    #[test]
    fn names_are_case_sensitive_and_need_a_value() {
        assert_eq!(get("A=1; a", "a"), None);
        assert_eq!(get("a=", "a").as_deref(), Some(""));
    }
}
