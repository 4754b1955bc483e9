//! All that a transport holds of a connection.
