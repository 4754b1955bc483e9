//! How Appwrite's database library spells in a document what it spells otherwise in a row.

use jiff::Timestamp;
use jiff::civil::DateTime as Civil;
use jiff::tz::TimeZone;
use mongodb::bson::{Bson, DateTime, Document};
use serde_json::Value;

use crate::directory::appwrite::rows::stored_time;
use crate::directory::catalog::Columns;

/// What every document has, with its type.
pub(super) const INTERNAL: &[(&str, &str)] = &[
    ("_id", "string"),
    ("_uid", "string"),
    ("_createdAt", "datetime"),
    ("_updatedAt", "datetime"),
    ("_permissions", ARRAY),
];
/// The type of a list, whatever is in it.
const ARRAY: &str = "array";

/// What a document of the registry says of a collection: its attributes with their types.
pub(super) fn columns(description: &Document) -> Columns {
    // A text in JSON, as in tables; an array where a later library should store it as one.
    let attributes = match description.get("attributes") {
        Some(Bson::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
        Some(list @ Bson::Array(_)) => serde_json::to_value(list).unwrap_or(Value::Null),
        _ => Value::Null,
    };
    let internal = INTERNAL.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned()));
    let own = attributes.as_array().into_iter().flatten().filter_map(|attribute| {
        let name = attribute.get("$id")?.as_str()?;
        let is_list = attribute.get("array").and_then(Value::as_bool).unwrap_or_default();
        let kind =
            if is_list { ARRAY } else { attribute.get("type").and_then(Value::as_str).unwrap_or_default() };
        Some((name.to_owned(), kind.to_owned()))
    });
    internal.chain(own).collect()
}

/// The value of a field, as a cell of a row.
pub(super) fn cell(value: &Bson) -> Option<String> {
    if let Bson::Null | Bson::Undefined = value {
        return None;
    }
    if let Bson::String(text) = value {
        return Some(text.clone());
    }
    if let Bson::Boolean(flag) = value {
        return Some(u8::from(*flag).to_string());
    }
    if let Bson::DateTime(moment) = value {
        return Timestamp::from_millisecond(moment.timestamp_millis()).ok().map(stored_time);
    }
    if let Bson::ObjectId(id) = value {
        return Some(id.to_hex());
    }
    // Numbers as they are, lists as JSON.
    serde_json::to_string(value).ok()
}

/// A cell of a row, as the value of a field.
pub(super) fn value(column: &str, text: &str, columns: &Columns) -> Bson {
    match columns.get(column).map(String::as_str) {
        Some("datetime") => instant(text),
        Some("boolean") => Bson::Boolean(text != "0"),
        Some("integer") => text.parse().map_or_else(|_| text.into(), Bson::Int64),
        Some("double") => text.parse().map_or_else(|_| text.into(), Bson::Double),
        Some(ARRAY) => serde_json::from_str::<Vec<String>>(text).map_or_else(|_| text.into(), Bson::from),
        _ => text.into(),
    }
}

/// The moment that a cell names; what is no moment stays text, and is equal to none.
pub(super) fn instant(text: &str) -> Bson {
    let moment = text.parse::<Civil>().ok().and_then(|civil| TimeZone::UTC.to_timestamp(civil).ok());
    match moment {
        Some(moment) => Bson::DateTime(DateTime::from_millis(moment.as_millisecond())),
        None => text.into(),
    }
}
