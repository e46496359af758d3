//! A diff as JSON.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use vdom_core::dom::calls::{
    DiffSource, WriteDiff, WriteDiffs, checked_actor, checked_message, checked_metadata,
};
use vdom_core::dom::diff::Diff;
use vdom_core::{Error, NodeId, NodeKind, NodePath, Result, VectorClock};
use vdom_edge::extended_json;

use super::content::{self, TextEdit};
use super::enums::{KindWord, OnConflictWord};

/// A diff. It says one of `put`, `text`, `patch` and `attr`, with a `rename` or
/// without; or `rename` alone; or `delete`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JsonDiff {
    path: Option<String>,
    node_id: Option<String>,
    kind: Option<KindWord>,
    vector_clock: Option<BTreeMap<String, u64>>,
    on_conflict: Option<OnConflictWord>,
    actor: Option<String>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    put: Option<Value>,
    encoding: Option<Encoding>,
    text: Option<Vec<TextEdit>>,
    patch: Option<Vec<Value>>,
    attr: Option<AttributeEdit>,
    rename: Option<String>,
    #[serde(default)]
    delete: bool,
}

/// How a content stands in JSON.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
pub(super) enum Encoding {
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "base64")]
    Base64,
    #[serde(rename = "extended-json")]
    ExtendedJson,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AttributeEdit {
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    unset: Vec<String>,
}

/// A content that stood in JSON.
pub(super) enum JsonContent {
    /// Of a FILE.
    Bytes(Bytes),
    /// Of an INTENT or META, as BSON.
    Document(Bytes),
}

impl JsonContent {
    /// The bytes, whatever they are.
    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            Self::Bytes(bytes) | Self::Document(bytes) => bytes,
        }
    }
}

impl JsonDiff {
    /// A diff of this set, and its size in bytes. What it leaves open the set says.
    pub(super) fn into_write(self, set: &WriteDiffs) -> Result<(WriteDiff, usize)> {
        let put = self.put.map(|content| content_of(content, self.encoding)).transpose()?;
        // Which node it is says what kind it is; a new one has to say it.
        let kind = match (self.kind, &put, &self.node_id) {
            (Some(kind), ..) => Some(kind.into()),
            (None, Some(JsonContent::Document(_)), None) => Some(NodeKind::Meta),
            _ => None,
        };
        let edits = [
            put.map(|content| match content {
                JsonContent::Bytes(bytes) => Ok(Diff::put_file(&bytes)),
                JsonContent::Document(document) => Ok(Diff::put_document(&document)),
            }),
            self.text.map(|edits| Ok(content::text_diff_of(edits))),
            self.patch.map(content::patch_diff_of),
            self.attr.map(|AttributeEdit { set, unset }| {
                let set = set.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                Diff::attributes(set, unset.iter().map(String::as_str))
            }),
        ];
        let mut edits = edits.into_iter().flatten();
        let edit = edits.next().transpose()?;
        let more = edits.next().is_some();
        let diff = match (edit, self.rename, self.delete) {
            (Some(edit), None, false) if !more => edit,
            (edit, Some(to), false) if !more => Diff::rename(&NodePath::parse(&to)?, edit.as_ref()),
            (None, None, true) => Diff::delete(),
            _ => {
                return Err(Error::invalid(
                    "a diff says one of put, text, patch and attr, with rename or without, or \
                     rename alone, or \"delete\": true",
                ));
            }
        };
        let path = self.path.filter(|path| !path.is_empty());
        let bytes = diff.len();
        let write = WriteDiff {
            address: set.address.clone(),
            node_id: self.node_id.map(|id| NodeId::from_hex(&id)).transpose()?,
            path: path.map(|path| NodePath::parse(&path)).transpose()?,
            kind,
            diff: DiffSource::Bson(diff),
            clock: VectorClock::from_entries(self.vector_clock.unwrap_or_default())?,
            on_conflict: self.on_conflict.map_or(set.on_conflict, Into::into),
            min_ack: set.min_ack,
            keep_conflict: false,
            actor: checked_actor("actor", self.actor.unwrap_or_default())?,
            author: None,
            message: checked_message(self.message)?,
            metadata: checked_metadata(self.metadata)?,
            operation_id: None,
        };
        Ok((write, bytes))
    }
}

/// A content as nodes have it in answers: text, or an object. Without
/// `encoding`, a text is UTF-8.
pub(super) fn content_of(content: Value, encoding: Option<Encoding>) -> Result<JsonContent> {
    match (content, encoding) {
        (Value::String(text), None | Some(Encoding::Utf8)) => Ok(JsonContent::Bytes(text.into())),
        (Value::String(text), Some(Encoding::Base64)) => STANDARD
            .decode(text)
            .map(|bytes| JsonContent::Bytes(bytes.into()))
            .map_err(|error| Error::invalid(format!("the content is no base64: {error}"))),
        (Value::Object(object), None | Some(Encoding::ExtendedJson)) => {
            extended_json::to_bson(object).map(JsonContent::Document)
        }
        _ => Err(Error::invalid(
            "the content and its encoding do not fit: text is `utf-8` or `base64`, an object is \
             `extended-json`",
        )),
    }
}
