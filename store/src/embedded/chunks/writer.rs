//! Who appends chunks: the thread that writes to the engine.

use std::io;
use std::sync::Arc;

use super::{ChunkChanges, ChunkSegments, folder};
use crate::embedded::directory::Directory;
use crate::embedded::engine::Engine;
use crate::embedded::marker::Marker;
use crate::embedded::options::EmbeddedOptions;
use crate::embedded::segments::{ActiveSegment, FrameIndex, Recovered, Recovery, SegmentPosition};
use crate::error::StoreResult;

/// The segment that chunks are appended to, and what it belongs to.
pub(in crate::embedded) struct ChunkWriter {
    segments: Arc<ChunkSegments>,
    active: ActiveSegment,
    /// The end of what was acknowledged.
    marker: Marker<2>,
}

impl ChunkWriter {
    /// Opens the chunks after what a crash may have left.
    pub(in crate::embedded) fn open(
        directory: &Directory,
        engine: &Arc<Engine>,
        options: &EmbeddedOptions,
    ) -> StoreResult<Self> {
        let folder = folder(directory.path(), options);
        let open_files = options.open_files / 8;
        let segments = ChunkSegments::open(Arc::clone(engine), folder, open_files)?;
        let recovery =
            Recovery { directory: directory.path(), folder: &segments.folder, index: &segments };
        let Recovered { active, marker } = recovery.run()?;
        Ok(Self { segments: Arc::new(segments), active, marker })
    }

    pub(in crate::embedded) fn segments(&self) -> &Arc<ChunkSegments> {
        &self.segments
    }

    /// Where the next frame goes.
    pub(in crate::embedded) fn end(&self) -> SegmentPosition {
        self.active.end()
    }

    /// Appends what a group brings and makes it last.
    pub(in crate::embedded) fn append(&mut self, changes: &ChunkChanges) -> io::Result<()> {
        if changes.parts().is_empty() {
            return Ok(());
        }
        changes.parts().iter().try_for_each(|part| self.active.append(part))?;
        self.active.sync()?;
        let SegmentPosition { segment, offset } = self.active.end();
        self.marker.set([u64::from(segment), u64::from(offset)])
    }

    /// Takes note of what a group appended and, in bytes, replaced by segment; before the engine
    /// shows it, and others remove what nothing is looked for in.
    pub(in crate::embedded) fn take_note(&mut self, replaced: &[(u32, u64)]) {
        let mut known = self.segments.known.lock();
        for (segment, bytes) in replaced {
            *known.replaced.entry(*segment).or_default() += bytes;
        }
        known.end = self.active.end();
    }

    pub(in crate::embedded) fn is_full(&self) -> bool {
        self.active.is_full()
    }

    /// Goes on with a new segment, where this one holds anything.
    pub(in crate::embedded) fn roll(&mut self) -> io::Result<()> {
        if self.active.is_empty() {
            return Ok(());
        }
        // So that a start reads no more than the last segments.
        self.segments.engine.sync().map_err(io::Error::other)?;
        self.active.seal()?;
        self.active = ActiveSegment::create(&self.segments.folder, self.active.number + 1)?;
        self.segments.set_end(self.active.end()).map_err(io::Error::other)
    }

    /// Makes last what was noted beside the frames, too.
    pub(in crate::embedded) fn sync(&self) -> io::Result<()> {
        self.active.sync().and_then(|()| self.marker.sync())
    }
}
