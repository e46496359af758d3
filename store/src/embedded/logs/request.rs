//! What the threads of the logs are asked to do.

use bytes::Bytes;

use crate::batch::Batch;
use crate::embedded::segments::MovedFrame;
use crate::embedded::write_request::Reply;
use crate::log::LogId;
use crate::store::Append;

/// What the thread that appends is asked to do.
pub(super) enum LogRequest {
    Append(Box<AppendRequest>),
    Compact {
        log: LogId,
        manifests: Vec<(u64, Bytes)>,
        reply: Reply<()>,
    },
    /// Appends frames again that stand in a segment which shall go.
    Move {
        frames: Vec<MovedFrame>,
        reply: Reply<()>,
    },
    /// Seals the segment that is appended to, where it holds anything.
    Seal {
        reply: Reply<()>,
    },
    Close {
        reply: Reply<()>,
    },
}

pub(super) struct AppendRequest {
    pub(super) log: LogId,
    pub(super) number: u64,
    pub(super) batch: Batch,
    pub(super) encoded: Bytes,
    pub(super) reply: Reply<Append>,
}

/// What is done beside appends.
pub(super) enum MaintenanceTask {
    WriteIndex,
    Reclaim { reply: Reply<()> },
    Close { reply: Reply<()> },
}
