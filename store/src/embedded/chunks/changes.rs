//! What a group changes in the segments of chunks.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::key;
use crate::chunk::Chunk;
use crate::embedded::keys;
use crate::embedded::segments::{Location, MovedFrame, SegmentPosition, frame_head};

/// Frames to append, and how much of which segments they or removals replace.
#[derive(Default)]
pub(in crate::embedded) struct ChunkChanges {
    /// Where the next frame goes.
    end: SegmentPosition,
    /// Parts of frames, one after the other.
    parts: Vec<Bytes>,
    bytes: usize,
    /// In bytes, by segment.
    replaced: BTreeMap<u32, u64>,
}

impl ChunkChanges {
    /// Of frames that are appended there.
    pub(in crate::embedded) fn new(at: SegmentPosition) -> Self {
        Self { end: at, ..Self::default() }
    }

    /// Appends a chunk.
    pub(in crate::embedded) fn append(&mut self, realm: &str, chunk: Chunk) -> Location {
        let (key, bytes) = (key(chunk.id()), chunk.into_bytes());
        let realm = [realm.as_bytes(), &[0]].concat();
        let (head, location) = frame_head(self.end, key, &[&realm, &bytes]);
        self.push(location, [[&head[..], &realm].concat().into(), bytes]);
        location
    }

    /// Appends a frame again that stands elsewhere.
    pub(in crate::embedded) fn append_again(&mut self, frame: MovedFrame) -> Location {
        self.replace(frame.old);
        let (head, location) = frame_head(self.end, frame.key, &[&frame.body]);
        self.push(location, [Bytes::copy_from_slice(&head), frame.body]);
        location
    }

    /// Notes that a frame is not looked for any more.
    pub(in crate::embedded) fn replace(&mut self, old: Location) {
        *self.replaced.entry(old.at.segment).or_default() += u64::from(old.frame_bytes());
    }

    /// What the frames take that are appended.
    pub(in crate::embedded) fn frames_bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// In bytes, by segment.
    pub(in crate::embedded) fn replaced_by_segment(&self) -> Vec<(u32, u64)> {
        self.replaced.iter().map(|(segment, bytes)| (*segment, *bytes)).collect()
    }

    /// The rows that say so; `before` tells how much of a segment was replaced before.
    pub(in crate::embedded) fn into_rows(
        self,
        before: impl Fn(u32) -> u64,
    ) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        let is_appended = !self.parts.is_empty();
        let end = is_appended.then(|| (keys::INDEXED.to_vec(), self.end.encode().to_vec()));
        let replaced = self.replaced.into_iter().map(move |(segment, bytes)| {
            (keys::segment(segment), (before(segment) + bytes).to_be_bytes().to_vec())
        });
        replaced.chain(end)
    }

    fn push(&mut self, location: Location, parts: [Bytes; 2]) {
        self.bytes += location.frame_bytes() as usize;
        self.end = location.end();
        self.parts.extend(parts);
    }
}
