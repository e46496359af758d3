//! JSON Patch on BSON.

mod bson_values;
mod limits;
mod suite;

use serde_json::Value as Json;

use super::*;
use crate::dom::diff::Diff;
use crate::error::ErrorCode;

/// A JSON object as BSON.
fn to_bson(json: &Json) -> Bytes {
    let document = bson::serialize_to_vec(json).expect("an object");
    Bytes::from(document)
}

fn from_bson(document: &[u8]) -> Json {
    bson::deserialize_from_slice(document).expect("BSON")
}

/// A patch as a client writes it: RFC 6902 in JSON, sent as BSON.
fn parse(operations: &Json) -> Result<JsonPatch> {
    let diff = to_bson(&serde_json::json!({ "t": "patch", "ops": operations }));
    match Diff::parse(&diff)? {
        Diff::Patch(patch) => Ok(patch),
        other => panic!("not a patch: {other:?}"),
    }
}

fn apply(document: &Json, operations: &Json) -> Result<Json> {
    parse(operations)?.apply(&to_bson(document)).map(|document| from_bson(&document))
}
