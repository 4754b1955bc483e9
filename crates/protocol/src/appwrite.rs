//! Appwrite's JSON protocol.
