//! Contents and diffs between their media types and BSON.

use bson::{Bson, Document};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use vdom_core::diff::{Diff, TextOperation};
use vdom_core::{Error, NodePath, Result, document};

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

/// A document of a node as relaxed extended JSON.
pub(super) fn to_extended_json(content: &Bytes) -> Result<Value> {
    // The BSON library recurses: only what passed the guard may reach it.
    document::check(content).map_err(|error| Error::internal(error.message))?;
    let document = Document::from_reader(content.as_ref()).map_err(Error::internal)?;
    Ok(Bson::Document(document).into_relaxed_extjson())
}

/// Extended JSON, canonical or relaxed, as BSON.
pub(super) fn from_extended_json(json: &[u8]) -> Result<Bytes> {
    let object: serde_json::Map<String, Value> = serde_json::from_slice(json)
        .map_err(|error| Error::invalid(format!("the body is no JSON object: {error}")))?;
    to_bson(object)
}

/// An RFC 6902 patch as a `patch` diff. Its operations are checked with every
/// other diff.
pub(super) fn patch_diff(json: &[u8]) -> Result<Bytes> {
    let operations: Vec<Value> = serde_json::from_slice(json)
        .map_err(|error| Error::invalid(format!("the body is no JSON Patch: {error}")))?;
    let mut diff = serde_json::Map::new();
    diff.insert("t".into(), "patch".into());
    diff.insert("ops".into(), operations.into());
    to_bson(diff)
}

/// `[{"r": 5}, {"i": "text"}, {"d": 2}]`, or an object with these as `ops`, as
/// a `text` diff.
pub(super) fn text_diff(json: &[u8]) -> Result<Bytes> {
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Operation {
        R(u64),
        I(String),
        D(u64),
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Body {
        Operations(Vec<Operation>),
        Named { ops: Vec<Operation> },
    }
    let (Body::Operations(operations) | Body::Named { ops: operations }) =
        serde_json::from_slice(json).map_err(|error| {
            Error::invalid(format!(
                "the body is no array of {{\"r\": bytes}}, {{\"i\": text}}, {{\"d\": bytes}}: \
                 {error}"
            ))
        })?;
    let operations: Vec<_> = operations
        .into_iter()
        .map(|operation| match operation {
            Operation::R(bytes) => TextOperation::Retain(bytes),
            Operation::I(text) => TextOperation::insert(&text),
            Operation::D(bytes) => TextOperation::Delete(bytes),
        })
        .collect();
    Ok(Diff::text(&operations))
}

/// The diff that gives a node another path.
pub(super) fn rename_diff(to: &str) -> Result<Bytes> {
    Ok(Diff::rename(&NodePath::parse(to)?, None))
}

fn to_bson(object: serde_json::Map<String, Value>) -> Result<Bytes> {
    let refused = |error: bson::error::Error| {
        Error::invalid(format!("the body is no extended JSON: {error}"))
    };
    let document = Document::try_from(object).map_err(refused)?;
    document.to_vec().map(Bytes::from).map_err(refused)
}
