//! The six kinds of diffs: how a node changes, as one BSON document.

use bytes::Bytes;

use crate::dom::node::ContentChunk;
use crate::error::Result;
use crate::names::NodePath;

mod apply;
mod attributes;
mod build;
mod parse;
mod patch;
mod restore;
mod text;

pub use apply::{Applied, NewContent, apply};
pub use attributes::AttributeEdit;
pub use patch::{JsonPatch, PatchOperation, Pointer};
pub use text::{TextEdit, TextOperation, Utf8Bytes};

/// How a node changes. Contents are slices of the bytes that were parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diff {
    /// The whole new content.
    Put(PutContent),
    /// An edit of a UTF-8 FILE.
    Text(TextEdit),
    /// A JSON Patch of a document node.
    Patch(JsonPatch),
    /// New attributes, perhaps with an edit of the content.
    Attributes {
        /// Which attributes change.
        edit: AttributeEdit,
        /// An edit in the same change: `put`, `text` or `patch`.
        then: Option<Box<Diff>>,
    },
    /// A tombstone.
    Delete,
    /// A new path for the same node, perhaps with an edit.
    Rename {
        /// The new path.
        to: NodePath,
        /// An edit in the same change: neither a rename nor a deletion.
        then: Option<Box<Diff>>,
    },
}

/// The whole content of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutContent {
    /// The bytes of a FILE.
    Bytes(Bytes),
    /// The document of an INTENT or META.
    Document(Bytes),
    /// The bytes of a FILE, staged as chunks of the store; never from a client. In what
    /// 0.1.0 stored, also a document.
    Chunks(Vec<ContentChunk>),
    /// The document of an INTENT or META, staged as chunks of the store.
    DocumentChunks(Vec<ContentChunk>),
}

#[expect(clippy::len_without_is_empty, reason = "a content may well be empty")]
impl PutContent {
    /// How many bytes the content has.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) | Self::Document(bytes) => bytes.len() as u64,
            Self::Chunks(chunks) | Self::DocumentChunks(chunks) => {
                chunks.iter().map(|chunk| u64::from(chunk.length)).sum()
            }
        }
    }

    /// The chunks of the store, where it was staged as such.
    pub fn chunks(&self) -> Option<&[ContentChunk]> {
        match self {
            Self::Chunks(chunks) | Self::DocumentChunks(chunks) => Some(chunks),
            Self::Bytes(_) | Self::Document(_) => None,
        }
    }
}

impl Diff {
    /// Reads a diff as a client may send it: the guard first, then the fields.
    /// `InvalidArgument` names what stands there, where, and what is allowed.
    pub fn parse(bytes: &Bytes) -> Result<Self> {
        parse::parse(bytes)
    }

    /// Reads a diff as the store keeps it: also a `put` of staged chunks.
    /// `DataLoss` for anything else.
    pub fn parse_stored(bytes: &Bytes) -> Result<Self> {
        parse::parse_stored(bytes)
    }

    /// Whether a stored diff names chunks of the store, which mean nothing to clients: its
    /// content has more than 1 MiB.
    pub fn names_chunks(stored: &Bytes) -> bool {
        parse::names_chunks(stored)
    }

    /// True where [`apply`] needs the node's content.
    pub fn needs_content(&self) -> bool {
        match self {
            Self::Text(_) | Self::Patch(_) => true,
            Self::Rename { then: Some(then), .. } | Self::Attributes { then: Some(then), .. } => {
                then.needs_content()
            }
            _ => false,
        }
    }

    /// True where the diff may make a node that does not exist.
    pub fn creates(&self) -> bool {
        match self {
            Self::Put(_) => true,
            Self::Attributes { then: Some(then), .. } => then.creates(),
            _ => false,
        }
    }

    /// The `put` in the diff, however deep it stands.
    pub fn put(&self) -> Option<&PutContent> {
        match self {
            Self::Put(put) => Some(put),
            Self::Attributes { then: Some(then), .. } | Self::Rename { then: Some(then), .. } => {
                then.put()
            }
            _ => None,
        }
    }

    /// The diff's kind as its field `t` has it.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Put(_) => "put",
            Self::Text(_) => "text",
            Self::Patch(_) => "patch",
            Self::Attributes { .. } => "attr",
            Self::Delete => "delete",
            Self::Rename { .. } => "rename",
        }
    }
}

#[cfg(test)]
mod tests;
