//! What a node is after a diff.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::dom::node::{ContentChunk, NodeKind};
use crate::error::{Error, Result};
use crate::limits::CONTENT_MAX_BYTES;
use crate::names::NodePath;

use super::{Diff, PutContent};

/// What a diff makes of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The bytes.
    pub content: NewContent,
    /// All attributes; `None`: as they were.
    pub attributes: Option<BTreeMap<String, String>>,
    /// The new path; `None`: where it was.
    pub path: Option<NodePath>,
    /// True for a tombstone; its content is empty.
    pub deleted: bool,
}

/// The content of a node after a diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewContent {
    /// As it was.
    Unchanged,
    /// These bytes.
    Bytes(Bytes),
    /// These pieces, in order.
    Chunks(Vec<ContentChunk>),
}

/// Applies a diff to a node of this kind, with this content (not looked at
/// unless [`Diff::needs_content`]) and these attributes.
///
/// `InvalidArgument` where the diff does not suit the kind or a text edit does
/// not fit the content; `FailedPrecondition` where a patch does not fit it;
/// `TooLarge` where the result would be above a limit. Staged chunks are taken
/// as they are: whoever staged a document has checked it.
pub fn apply(
    diff: &Diff,
    kind: NodeKind,
    content: &Bytes,
    attributes: &BTreeMap<String, String>,
) -> Result<Applied> {
    check_kind(diff, kind)?;
    Ok(match diff {
        Diff::Put(put) => Applied::content(new_content(put)?),
        Diff::Text(edit) => Applied::content(NewContent::Bytes(edit.apply(content)?)),
        Diff::Patch(patch) => Applied::content(NewContent::Bytes(patch.apply(content)?)),
        Diff::Attributes { edit, then } => {
            let edited = Some(edit.apply(attributes)?);
            let applied = match then {
                Some(then) => apply(then, kind, content, attributes)?,
                None => Applied::content(NewContent::Unchanged),
            };
            Applied { attributes: edited, ..applied }
        }
        Diff::Delete => {
            Applied { deleted: true, ..Applied::content(NewContent::Bytes(Bytes::new())) }
        }
        Diff::Rename { to, then } => {
            let applied = match then {
                Some(then) => apply(then, kind, content, attributes)?,
                None => Applied::content(NewContent::Unchanged),
            };
            Applied { path: Some(to.clone()), ..applied }
        }
    })
}

impl Applied {
    fn content(content: NewContent) -> Self {
        Self { content, attributes: None, path: None, deleted: false }
    }
}

fn check_kind(diff: &Diff, kind: NodeKind) -> Result<()> {
    let suits = match diff {
        Diff::Text(_) | Diff::Put(PutContent::Bytes(_)) => !kind.is_document(),
        Diff::Patch(_) | Diff::Put(PutContent::Document(_) | PutContent::DocumentChunks(_)) => {
            kind.is_document()
        }
        Diff::Put(PutContent::Chunks(_))
        | Diff::Attributes { .. }
        | Diff::Delete
        | Diff::Rename { .. } => true,
    };
    if suits {
        return Ok(());
    }
    let found = match diff {
        Diff::Put(PutContent::Bytes(_)) => "put of a binary",
        Diff::Put(_) => "put of a document",
        other => other.kind_name(),
    };
    let (kind, takes) = match kind {
        NodeKind::File => ("a FILE", "put with a binary `v`, or text"),
        NodeKind::Intent => ("an INTENT", "put with a document `v`, or patch"),
        NodeKind::Meta => ("a META", "put with a document `v`, or patch"),
    };
    Err(Error::invalid(format!("{kind} does not take a {found}: it takes {takes}")))
}

fn new_content(put: &PutContent) -> Result<NewContent> {
    let (content, size) = match put {
        PutContent::Bytes(bytes) | PutContent::Document(bytes) => {
            (NewContent::Bytes(bytes.clone()), bytes.len() as u64)
        }
        PutContent::Chunks(chunks) | PutContent::DocumentChunks(chunks) => {
            let size = chunks.iter().map(|chunk| u64::from(chunk.length)).sum();
            (NewContent::Chunks(chunks.clone()), size)
        }
    };
    if size > CONTENT_MAX_BYTES {
        return Err(Error::too_large(format!(
            "the content has {size} bytes, at most {CONTENT_MAX_BYTES} are allowed"
        )));
    }
    Ok(content)
}
