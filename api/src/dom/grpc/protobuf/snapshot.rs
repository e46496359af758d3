//! A `ReadSnapshotResponse` in two parts: what stays as long as the node does, encoded
//! once, and the few bytes that each answer has of its own. Protobuf takes the fields of
//! a message in any order, so the two only need to follow one another.

use std::ops::Range;

use bytes::Bytes;
use prost::Message;
use vdom_core::Node;
use vdom_core::dom::calls::{Freshness, Snapshot, Source};

use super::field::{put_nested, put_number, put_signed};
use crate::dom::convert::encode;

/// The most bytes that [`put_read_state`] appends.
pub const READ_STATE_MAX_BYTES: usize = 40;

/// The fields of a `ReadSnapshotResponse` but for `revision` and `freshness`.
#[derive(Clone, Debug)]
pub struct EncodedNode {
    /// The encoded fields.
    pub message: Bytes,
    /// Where the node's content stands in the message; empty for an empty one.
    pub content: Range<usize>,
}

impl EncodedNode {
    /// A node of the branch's incarnation `epoch`, with the bytes that it has inline.
    pub fn new(node: Node, epoch: u64) -> Self {
        // Fields that are left at their defaults are not encoded.
        let freshness = Freshness { age_ms: 0, stale: false, source: Source::Cache };
        let mut response = encode::snapshot(Snapshot { node, epoch, revision: 0, freshness });
        response.freshness = None;
        let message = Bytes::from(response.encode_to_vec());
        let length = response.content.len();
        let start = if length == 0 { 0 } else { content_start(length) };
        Self { message, content: start..start + length }
    }
}

/// Where a content of so many bytes begins: after the field `node_id` (18 bytes), its
/// own key and its length.
fn content_start(length: usize) -> usize {
    18 + 1 + prost::length_delimiter_len(length)
}

/// Appends the fields `revision` (6) and `freshness` (12) of a `ReadSnapshotResponse`.
pub fn put_read_state(revision: u64, freshness: Freshness, out: &mut Vec<u8>) {
    put_number(6, revision, out);
    put_nested(12, out, |out| {
        put_number(1, freshness.age_ms, out);
        put_number(2, freshness.stale.into(), out);
        put_signed(3, encode::source(freshness.source).into(), out);
    });
}
