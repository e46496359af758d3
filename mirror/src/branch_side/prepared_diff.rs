//! What is to be written to one node, as a diff.

use std::io;

use bytes::Bytes;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use vdom_client::put_without_content;
use vdom_core::limits::BATCH_CONTENT_MAX_BYTES;
use vdom_core::{Diff, NodeId};
use vdom_git::command::FileMode;
use vdom_git::file_attributes::{Attributes, ContentLocation, encode_attributes};
use vdom_git::node_path::{EncodedPath, ORIGINAL_PATH};
use vdom_proto::v1::{NodeKind, OnConflict, VectorClock, WriteDiffRequest};

use super::pending_change::{NodeChange, PendingChange};
use crate::error::Error;
use crate::fingerprint::{FileType, Fingerprint};
use crate::local_directory::LocalDirectory;

/// Contents up to this size are sent within their diff.
const INLINE_MAX_BYTES: u64 = BATCH_CONTENT_MAX_BYTES as u64;

/// A diff to be sent, and what the node is once it is written.
#[derive(Clone, Debug)]
pub(super) struct PreparedDiff {
    pub(super) request: WriteDiffRequest,
    /// The content of the file follows in pieces.
    pub(super) is_streamed: bool,
    pub(super) path: String,
    pub(super) attributes: Attributes,
    /// `None`: the node is gone.
    pub(super) fingerprint: Option<Fingerprint>,
}

/// Why there is no diff.
#[derive(Debug)]
pub(super) enum PrepareError {
    /// The file is no longer what was to be written.
    Changed,
    /// It cannot be written.
    Refused(Error),
}

impl From<io::Error> for PrepareError {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            // It is gone, or a link or a folder now.
            Some(Errno::NOENT | Errno::LOOP | Errno::ISDIR | Errno::INVAL) => Self::Changed,
            _ => Self::Refused(Error::failed(format!("cannot be read: {error}"))),
        }
    }
}

impl From<Error> for PrepareError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<vdom_core::Error> for PrepareError {
    fn from(error: vdom_core::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl PreparedDiff {
    /// Makes the diff that `wanted` asks for, whose node is kept at `kept`.
    pub(super) fn prepare(
        directory: &LocalDirectory,
        pending: &PendingChange,
        kept: &EncodedPath,
    ) -> Result<Self, PrepareError> {
        let (Some(fingerprint), false) = (pending.local, pending.change == NodeChange::Delete)
        else {
            let path = pending.node.as_ref().map(|node| node.path.clone()).unwrap_or_default();
            return Ok(Self::new(pending, Diff::delete(), path, Attributes::new(), None));
        };
        let is_large = fingerprint.size_bytes > INLINE_MAX_BYTES;
        let before = pending.node.as_ref().map(|node| &node.attributes);
        let (attributes, held) = Self::attributes(directory, pending, fingerprint, kept)?;
        let needs_attributes = before.map_or(!attributes.is_empty(), |old| *old != attributes);
        let has_content = |old: Fingerprint| {
            held == ContentLocation::Content
                && old.file_type != FileType::Link
                && old.sha256 == fingerprint.sha256
        };
        let needs_content = !pending.base.is_some_and(has_content);
        let path = kept.path.as_str().to_owned();

        if is_large && needs_content && !needs_attributes {
            let streamed =
                Self::new(pending, put_without_content(), path, attributes, Some(fingerprint));
            return Ok(Self { is_streamed: true, ..streamed });
        }
        // A streamed content comes alone: attributes go ahead, and the content with
        // the next look at the file.
        let (content, fingerprint) = match (needs_content, is_large) {
            (false, _) => (None, fingerprint),
            (true, false) => {
                let content = match held {
                    ContentLocation::Attribute => Bytes::new(),
                    ContentLocation::Content => Self::content(directory, pending, fingerprint)?,
                };
                (Some(Diff::put_file(&content)), fingerprint)
            }
            (true, true) => {
                let standing = pending.base.unwrap_or(Fingerprint {
                    sha256: Sha256::digest([]).into(),
                    size_bytes: 0,
                    ..fingerprint
                });
                let first = pending.node.is_none().then(|| Diff::put_file(&[]));
                (first, Fingerprint { file_type: fingerprint.file_type, ..standing })
            }
        };
        let edit = match (needs_attributes, content) {
            (false, content) => content,
            (true, content) => Some(attribute_diff(before, &attributes, content.as_ref())?),
        };
        let diff = match (&pending.change, edit) {
            (NodeChange::Rename { .. }, edit) => Diff::rename(&kept.path, edit.as_ref()),
            (_, Some(edit)) => edit,
            (_, None) => Diff::attributes([], [])?,
        };
        Ok(Self::new(pending, diff, path, attributes, Some(fingerprint)))
    }

    fn new(
        pending: &PendingChange,
        diff_bson: Bytes,
        path: String,
        attributes: Attributes,
        fingerprint: Option<Fingerprint>,
    ) -> Self {
        let node = pending.node.as_ref();
        let request = WriteDiffRequest {
            node_id: node.map(|node| bytes_of(node.id)).unwrap_or_default(),
            vector_clock: node
                .map(|node| VectorClock { entries: node.clock.clone().into_iter().collect() }),
            // Where it is now; a rename says itself where it goes.
            path: node.map_or_else(|| path.clone(), |node| node.path.clone()),
            kind: NodeKind::File.into(),
            diff_bson,
            on_conflict: OnConflict::Merge.into(),
            ..WriteDiffRequest::default()
        };
        Self { request, is_streamed: false, path, attributes, fingerprint }
    }

    /// The attributes that the node will have, and where its content is held.
    fn attributes(
        directory: &LocalDirectory,
        pending: &PendingChange,
        fingerprint: Fingerprint,
        kept: &EncodedPath,
    ) -> Result<(Attributes, ContentLocation), PrepareError> {
        let (mut attributes, held) = match fingerprint.file_type {
            FileType::Plain => encode_attributes(FileMode::Plain, &[]),
            FileType::Executable => encode_attributes(FileMode::Executable, &[]),
            FileType::Link => encode_attributes(
                FileMode::SymbolicLink,
                &Self::content(directory, pending, fingerprint)?,
            ),
        };
        if let Some(original) = &kept.original {
            attributes.insert(ORIGINAL_PATH.to_owned(), original.clone());
        }
        Ok((attributes, held))
    }

    fn content(
        directory: &LocalDirectory,
        pending: &PendingChange,
        fingerprint: Fingerprint,
    ) -> Result<Bytes, PrepareError> {
        let content = directory.content(&pending.path, fingerprint.file_type)?;
        let is_same = <[u8; 32]>::from(Sha256::digest(&content)) == fingerprint.sha256;
        if is_same { Ok(content) } else { Err(PrepareError::Changed) }
    }
}

pub(super) fn bytes_of(id: NodeId) -> Bytes {
    Bytes::copy_from_slice(&id.0)
}

/// What makes the attributes of a node these, with a content in the same change.
fn attribute_diff(
    before: Option<&Attributes>,
    after: &Attributes,
    content: Option<&Bytes>,
) -> Result<Bytes, Error> {
    let had = |name: &str| before.and_then(|before| before.get(name));
    let set = after
        .iter()
        .filter(|(name, value)| had(name) != Some(value))
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let unset = before
        .into_iter()
        .flatten()
        .filter(|(name, _)| !after.contains_key(*name))
        .map(|(name, _)| name.as_str());
    Ok(Diff::attributes_then(set, unset, content)?)
}
