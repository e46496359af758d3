//! The diff that brings a node back to what it was.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::dom::node::{Content, Node, NodeKind};
use crate::error::{Error, Result};

use super::Diff;

impl Diff {
    /// The diff that makes `wanted` of `found`, two states of one node, in its stored
    /// form; `None` where they are the same. A missing node, or a tombstone: the node
    /// does not exist.
    ///
    /// A node that exists again is created, at the wanted path.
    ///
    /// # Errors
    /// Internal where the wanted content is a [`Content::Part`]: load it first.
    pub fn restore(found: Option<&Node>, wanted: Option<&Node>) -> Result<Option<Bytes>> {
        let found = found.filter(|node| node.live);
        let Some(wanted) = wanted.filter(|node| node.live) else {
            return Ok(found.map(|_| Self::delete()));
        };
        let mut diff = None;
        if found.is_none_or(|node| node.content != wanted.content) {
            diff = Some(put(wanted.kind, &wanted.content)?);
        }
        let none = BTreeMap::new();
        let attributes = found.map_or(&none, |node| &node.attributes);
        if attributes != &wanted.attributes {
            diff = Some(attribute_changes(attributes, &wanted.attributes, diff.as_ref())?);
        }
        if found.is_some_and(|node| node.path != wanted.path) {
            diff = Some(Self::rename(&wanted.path, diff.as_ref()));
        }
        Ok(diff)
    }
}

fn put(kind: NodeKind, content: &Content) -> Result<Bytes> {
    match content {
        Content::Inline(bytes) if kind.is_document() => Ok(Diff::put_document(bytes)),
        Content::Inline(bytes) => Ok(Diff::put_file(bytes)),
        Content::Chunked(chunks) if kind.is_document() => Ok(Diff::stored_document_chunks(chunks)),
        Content::Chunked(chunks) => Ok(Diff::stored_chunks(chunks)),
        Content::Part(_) => Err(Error::internal("a content is loaded before it is restored")),
    }
}

fn attribute_changes(
    found: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
    then: Option<&Bytes>,
) -> Result<Bytes> {
    let set = wanted.iter().filter(|(name, value)| found.get(*name) != Some(value));
    let unset = found.keys().filter(|name| !wanted.contains_key(*name));
    Diff::attributes_then(
        set.map(|(name, value)| (name.as_str(), value.as_str())),
        unset.map(String::as_str),
        then,
    )
}

#[cfg(test)]
mod tests;
