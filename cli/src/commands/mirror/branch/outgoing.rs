//! What is to be written to one node, as a diff.

use std::io;

use bytes::Bytes;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use vdom::git::node::{self, Attributes, Held};
use vdom::git::path::{KeptPath, ORIGINAL_PATH};
use vdom::git::stream::Mode;
use vdom_core::limits::BATCH_CONTENT_MAX_BYTES;
use vdom_core::{Diff, NodeId};
use vdom_proto::v1::{NodeKind, OnConflict, VectorClock, WriteDiffRequest};

use super::changes::{Change, Wanted};
use crate::client::put_without_content;
use crate::commands::mirror::disk::Disk;
use crate::commands::mirror::plan::{Form, Shape};
use crate::exit::Failure;

/// Contents up to this size are sent within their diff.
const INLINE_MAX_BYTES: u64 = BATCH_CONTENT_MAX_BYTES as u64;

/// A diff to be sent, and what the node is once it is written.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) request: WriteDiffRequest,
    /// The content of the file follows in pieces.
    pub(super) is_streamed: bool,
    pub(super) path: String,
    pub(super) attributes: Attributes,
    /// `None`: the node is gone.
    pub(super) shape: Option<Shape>,
}

/// Why there is no diff.
#[derive(Debug)]
pub(super) enum NotNow {
    /// The file is no longer what was to be written.
    Changed,
    /// It cannot be written.
    Refused(Failure),
}

impl From<io::Error> for NotNow {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            // It is gone, or a link or a folder now.
            Some(Errno::NOENT | Errno::LOOP | Errno::ISDIR | Errno::INVAL) => Self::Changed,
            _ => Self::Refused(Failure::failed(format!("cannot be read: {error}"))),
        }
    }
}

impl From<Failure> for NotNow {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<vdom_core::Error> for NotNow {
    fn from(error: vdom_core::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl Outgoing {
    /// Makes the diff that `wanted` asks for, whose node is kept at `kept`.
    pub(super) fn prepare(disk: &Disk, wanted: &Wanted, kept: &KeptPath) -> Result<Self, NotNow> {
        let (Some(shape), false) = (wanted.disk, wanted.change == Change::Delete) else {
            let path = wanted.node.as_ref().map(|node| node.path.clone()).unwrap_or_default();
            return Ok(Self::new(wanted, Diff::delete(), path, Attributes::new(), None));
        };
        let is_large = shape.size_bytes > INLINE_MAX_BYTES;
        let before = wanted.node.as_ref().map(|node| &node.attributes);
        let (attributes, held) = Self::attributes(disk, wanted, shape, kept)?;
        let needs_attributes = before.map_or(!attributes.is_empty(), |old| *old != attributes);
        let has_content = |old: Shape| {
            held == Held::InContent && old.form != Form::Link && old.sha256 == shape.sha256
        };
        let needs_content = !wanted.base.is_some_and(has_content);
        let path = kept.path.as_str().to_owned();

        if is_large && needs_content && !needs_attributes {
            let streamed = Self::new(wanted, put_without_content(), path, attributes, Some(shape));
            return Ok(Self { is_streamed: true, ..streamed });
        }
        // A streamed content comes alone: attributes go ahead, and the content with
        // the next look at the file.
        let (content, shape) = match (needs_content, is_large) {
            (false, _) => (None, shape),
            (true, false) => {
                let content = match held {
                    Held::InAttribute => Bytes::new(),
                    Held::InContent => Self::content(disk, wanted, shape)?,
                };
                (Some(Diff::put_file(&content)), shape)
            }
            (true, true) => {
                let standing = wanted.base.unwrap_or(Shape {
                    sha256: Sha256::digest([]).into(),
                    size_bytes: 0,
                    ..shape
                });
                let first = wanted.node.is_none().then(|| Diff::put_file(&[]));
                (first, Shape { form: shape.form, ..standing })
            }
        };
        let edit = match (needs_attributes, content) {
            (false, content) => content,
            (true, content) => Some(attribute_diff(before, &attributes, content.as_ref())?),
        };
        let diff = match (&wanted.change, edit) {
            (Change::Rename { .. }, edit) => Diff::rename(&kept.path, edit.as_ref()),
            (_, Some(edit)) => edit,
            (_, None) => Diff::attributes([], [])?,
        };
        Ok(Self::new(wanted, diff, path, attributes, Some(shape)))
    }

    fn new(
        wanted: &Wanted,
        diff_bson: Bytes,
        path: String,
        attributes: Attributes,
        shape: Option<Shape>,
    ) -> Self {
        let node = wanted.node.as_ref();
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
        Self { request, is_streamed: false, path, attributes, shape }
    }

    /// The attributes that the node will have, and where its content is held.
    fn attributes(
        disk: &Disk,
        wanted: &Wanted,
        shape: Shape,
        kept: &KeptPath,
    ) -> Result<(Attributes, Held), NotNow> {
        let (mut attributes, held) = match shape.form {
            Form::Plain => node::attributes(Mode::Plain, &[]),
            Form::Executable => node::attributes(Mode::Executable, &[]),
            Form::Link => {
                node::attributes(Mode::SymbolicLink, &Self::content(disk, wanted, shape)?)
            }
        };
        if let Some(original) = &kept.original {
            attributes.insert(ORIGINAL_PATH.to_owned(), original.clone());
        }
        Ok((attributes, held))
    }

    fn content(disk: &Disk, wanted: &Wanted, shape: Shape) -> Result<Bytes, NotNow> {
        let content = disk.content(&wanted.path, shape.form)?;
        let is_same = <[u8; 32]>::from(Sha256::digest(&content)) == shape.sha256;
        if is_same { Ok(content) } else { Err(NotNow::Changed) }
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
) -> Result<Bytes, Failure> {
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
