//! The copies of documents that Appwrite's API servers keep in Redis, which are to go when a document is written here.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use super::rows::Space;

/// Where the copies are.
pub trait Copies: Send + Sync + Debug {
    /// Makes them forget a document, so that none of them is taken for what it was. A copy that cannot be reached is
    /// logged: Appwrite lets it lapse.
    fn forget<'a>(&'a self, document: &'a CopyKey) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// Under which keys a document's copy is kept (Appwrite's database library, from 1.7 on).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyKey {
    /// Of what tells which documents of its collection have copies.
    pub collection: String,
    /// Of the copy itself, and of the mark of it in the above.
    pub document: String,
}

impl CopyKey {
    /// The keys of a document of a database at this host.
    pub(crate) fn of(host: &str, space: &Space, collection: &str, id: &str) -> Self {
        let tenant = space.tenant().unwrap_or_default();
        let collection =
            format!("default-cache-{host}:{space}:{tenant}:collection:{collection}").to_lowercase();
        let document = format!("{collection}:{}", id.to_lowercase());
        Self { collection, document }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_appwrites() {
        let key = CopyKey::of("mariadb", &Space::numbered("1"), "presenceLogs", "Room1");
        assert_eq!(key.collection, "default-cache-mariadb:_1::collection:presencelogs");
        assert_eq!(key.document, "default-cache-mariadb:_1::collection:presencelogs:room1");
    }
}
