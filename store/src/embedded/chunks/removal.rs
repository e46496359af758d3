//! The room of removed chunks given back.

use super::{ChunkSegments, realm_of};
use crate::chunk::ChunkId;
use crate::embedded::committer::Committer;
use crate::embedded::directory::Directory;
use crate::embedded::segments::{
    self, FrameIndex, FrameKey, FrameMover, Location, MovedFrame, REMOVED_FROM_ON_REQUEST,
};
use crate::embedded::write_request::WriteRequest;
use crate::embedded::{keys, read};
use crate::error::{StoreError, StoreErrorKind, StoreResult};

/// Moves chunks by way of the thread that appends them.
struct ChunkMover<'a> {
    segments: &'a ChunkSegments,
    committer: &'a Committer,
}

impl ChunkSegments {
    /// Removes the segments of which one part in `part` was replaced, one after the other; of those
    /// that cannot be, tells the first reason. Blocks.
    pub(in crate::embedded) fn reclaim(
        &self,
        directory: &Directory,
        committer: &Committer,
        part: u64,
    ) -> StoreResult<()> {
        let mut outcome = Ok(());
        let replaced = self.known.lock().replaced.clone();
        for (segment, bytes) in replaced {
            // The one that is appended to stays.
            let known = self.known.lock();
            if segment >= known.end.segment || known.damaged.contains(&segment) {
                continue;
            }
            drop(known);
            if let Err(error) = self.reclaim_segment(directory, committer, (segment, bytes), part) {
                if error.kind == StoreErrorKind::Stopped {
                    return Err(error);
                }
                tracing::warn!(segment, %error, "the room of removed chunks is not given back");
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    /// The same where somebody asks for the room.
    pub(in crate::embedded) fn reclaim_on_request(
        &self,
        directory: &Directory,
        committer: &Committer,
    ) -> StoreResult<()> {
        let end = self.end();
        if self.replaced(end.segment) * REMOVED_FROM_ON_REQUEST >= u64::from(end.offset) {
            // The one that is appended to is removed with the others.
            committer.submit_blocking(|reply| WriteRequest::SealChunks { reply })?;
        }
        self.reclaim(directory, committer, REMOVED_FROM_ON_REQUEST)
    }

    fn reclaim_segment(
        &self,
        directory: &Directory,
        committer: &Committer,
        (segment, replaced): (u32, u64),
        part: u64,
    ) -> StoreResult<()> {
        let mover = ChunkMover { segments: self, committer };
        let which = (segment, replaced);
        let removed =
            segments::remove(directory.path(), &self.folder, &self.files, which, part, &mover);
        match removed {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.known.lock().replaced.remove(&segment);
                self.write(vec![(keys::segment(segment), None)])
            }
            Err(error) => {
                if error.kind == StoreErrorKind::Damaged {
                    self.known.lock().damaged.insert(segment);
                }
                Err(error)
            }
        }
    }
}

impl FrameMover for ChunkMover<'_> {
    fn is_found_at(&self, key: FrameKey, location: Location, body: &[u8]) -> StoreResult<bool> {
        let snapshot = self.segments.engine.snapshot();
        Ok(read::chunk_location(&snapshot, realm_of(body)?, ChunkId(key.id))? == Some(location))
    }

    fn move_frames(&self, frames: Vec<MovedFrame>) -> StoreResult<()> {
        self.committer.submit_blocking(|reply| WriteRequest::MoveChunks { frames, reply })
    }

    fn make_index_last(&self) -> StoreResult<()> {
        self.segments.engine.sync().map_err(|error| {
            let what = format_args!("rows about chunks cannot be made to last: {error}");
            StoreError::new(StoreErrorKind::Unavailable, what)
        })
    }
}
