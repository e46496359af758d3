//! Reads of a room that has the answer in memory, for the fast path.

use std::sync::Arc;

use futures::FutureExt;
use http::HeaderMap;
use prost::Message;
use vdom_core::limits::COMPRESS_ABOVE_BYTES;
use vdom_edge::serve::Entered;
use vdom_proto::v1 as wire;

use super::compression::ACCEPT_ENCODING;
use super::fast_path::{FRAME_HEAD_BYTES, ReadyAnswer, ReadyReads};
use crate::dom::DocumentService;
use crate::dom::convert::{decode, encode};

/// Asks a room whose reads need nobody else: what does not answer at once is asked again on the
/// usual way.
#[derive(Debug)]
pub struct MemoryReads<D>(Arc<D>);

impl<D: DocumentService> MemoryReads<D> {
    /// Of this room.
    pub fn new(room: Arc<D>) -> Self {
        Self(room)
    }
}

impl<D: DocumentService> ReadyReads for MemoryReads<D> {
    fn answer(
        &self,
        entered: &Entered,
        headers: &HeaderMap,
        message: &[u8],
    ) -> Option<ReadyAnswer> {
        let request = wire::ReadSnapshotRequest::decode(message).ok()?;
        let caller = entered.caller().ok()?;
        let request = decode::read_snapshot(&request, caller.realm.as_ref()).ok()?;
        let snapshot = self.0.read_snapshot(&caller, request).now_or_never()?.ok()?;
        let answer = encode::snapshot(snapshot);
        let length = answer.encoded_len();
        if length > COMPRESS_ABOVE_BYTES && headers.contains_key(ACCEPT_ENCODING) {
            return None;
        }
        let mut framed = Vec::with_capacity(FRAME_HEAD_BYTES + length);
        framed.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
        answer.encode(&mut framed).ok()?;
        Some(ReadyAnswer::new(framed, bytes::Bytes::new()))
    }
}

#[cfg(test)]
mod tests;
