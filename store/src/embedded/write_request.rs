//! What callers hand to the one thread that writes rows and chunks.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::segments::MovedFrame;
use crate::chunk::{Chunk, ChunkId, UploadId};
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::log::LogId;
use crate::view::{ViewKind, ViewWrite, Watermark};

/// Where the outcome of a request goes.
pub(super) type Reply<T> = oneshot::Sender<StoreResult<T>>;

/// What the committer is asked to write.
pub(super) enum WriteRequest {
    Views {
        log: LogId,
        writes: Vec<ViewWrite>,
        watermark: Option<Watermark>,
        reply: Reply<()>,
    },
    Chunk {
        realm: String,
        chunk: Chunk,
        reply: Reply<()>,
    },
    StageChunk {
        realm: String,
        chunk: Chunk,
        upload: UploadId,
        reply: Reply<()>,
    },
    DiscardChunks {
        realm: String,
        ids: Vec<ChunkId>,
        upload: UploadId,
        reply: Reply<u64>,
    },
    DeleteViews {
        log: LogId,
        kind: ViewKind,
        ids: Vec<Bytes>,
        reply: Reply<()>,
    },
    ClearViews {
        log: LogId,
        keys: Vec<Bytes>,
        reply: Reply<()>,
    },
    DeleteChunks {
        realm: String,
        ids: Vec<ChunkId>,
        before_ms: u64,
        reply: Reply<u64>,
    },
    /// Appends frames again that stand in a segment which shall go.
    MoveChunks {
        frames: Vec<MovedFrame>,
        reply: Reply<()>,
    },
    /// Seals the segment that chunks are appended to, where it holds any.
    SealChunks {
        reply: Reply<()>,
    },
    Close {
        reply: Reply<()>,
    },
}

/// Somebody, and the answer if the group is committed.
pub(super) enum PendingReply {
    Done(Reply<()>, StoreResult<()>),
    Counted(Reply<u64>, StoreResult<u64>),
}

impl PendingReply {
    /// Answers after the group was committed.
    pub(super) fn send(self) {
        // A caller that has gone is no reason to stop.
        match self {
            Self::Done(reply, outcome) => drop(reply.send(outcome)),
            Self::Counted(reply, outcome) => drop(reply.send(outcome)),
        }
    }

    /// Answers after the group could not be committed.
    pub(super) fn fail(self, reason: &str) {
        match self {
            Self::Done(reply, Ok(())) => {
                drop(reply.send(Err(StoreError::new(StoreErrorKind::Stopped, reason))));
            }
            Self::Counted(reply, Ok(_)) => {
                drop(reply.send(Err(StoreError::new(StoreErrorKind::Stopped, reason))));
            }
            refused => refused.send(),
        }
    }
}
