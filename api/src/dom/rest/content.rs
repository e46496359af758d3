//! Contents and diffs between their media types and BSON.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use vdom_core::dom::diff::{Diff, TextOperation};
use vdom_core::{Error, NodePath, Result};
use vdom_edge::extended_json;

/// A BSON document.
pub(super) const BSON: &str = "application/bson";
/// A document in extended JSON; an answer with everything about a node.
pub(super) const JSON: &str = "application/json";
/// RFC 6902.
pub(super) const JSON_PATCH: &str = "application/json-patch+json";
/// Operations of a `text` diff.
pub(super) const TEXT_OPERATIONS: &str = "application/vnd.vdom.text+json";
/// Bytes.
pub(super) const BYTES: &str = "application/octet-stream";

/// Extended JSON, canonical or relaxed, as BSON.
pub(super) fn from_extended_json(json: &[u8]) -> Result<Bytes> {
    let object = extended_json::parse(json).map_err(|error| {
        Error::invalid(format!("the body is no JSON object: {}", error.message))
    })?;
    extended_json::to_bson(object)
}

/// An RFC 6902 patch as a `patch` diff.
pub(super) fn patch_diff(json: &[u8]) -> Result<Bytes> {
    let operations = extended_json::parse(json)
        .map_err(|error| Error::invalid(format!("the body is no JSON Patch: {}", error.message)))?;
    patch_diff_of(operations)
}

/// A `patch` diff of these operations, which are checked with every other diff.
pub(super) fn patch_diff_of(operations: Vec<Value>) -> Result<Bytes> {
    let mut diff = serde_json::Map::new();
    diff.insert("t".into(), "patch".into());
    diff.insert("ops".into(), operations.into());
    extended_json::to_bson(diff)
}

/// An operation of a `text` diff.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TextEdit {
    /// Keep so many bytes.
    R(u64),
    /// Insert this.
    I(String),
    /// Delete so many bytes.
    D(u64),
}

/// `[{"r": 5}, {"i": "text"}, {"d": 2}]`, or an object with these as `ops`, as
/// a `text` diff.
pub(super) fn text_diff(json: &[u8]) -> Result<Bytes> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Body {
        Edits(Vec<TextEdit>),
        Named { ops: Vec<TextEdit> },
    }
    let (Body::Edits(edits) | Body::Named { ops: edits }) =
        serde_json::from_slice(json).map_err(|error| {
            Error::invalid(format!(
                "the body is no array of {{\"r\": bytes}}, {{\"i\": text}}, {{\"d\": bytes}}: \
                 {error}"
            ))
        })?;
    Ok(text_diff_of(edits))
}

/// A `text` diff of these operations.
pub(super) fn text_diff_of(edits: Vec<TextEdit>) -> Bytes {
    let operations: Vec<_> = edits
        .into_iter()
        .map(|edit| match edit {
            TextEdit::R(bytes) => TextOperation::Retain(bytes),
            TextEdit::I(text) => TextOperation::insert(&text),
            TextEdit::D(bytes) => TextOperation::Delete(bytes),
        })
        .collect();
    Diff::text(&operations)
}

/// The diff that gives a node another path.
pub(super) fn rename_diff(to: &str) -> Result<Bytes> {
    Ok(Diff::rename(&NodePath::parse(to)?, None))
}
