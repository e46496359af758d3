//! Hints that others have committed something: they save waiting for the next poll.

use crate::batch::Batch;
use crate::log::LogId;

/// Batches up to this size are carried by hints.
pub(crate) const HINTED_BATCH_MAX_BYTES: usize = 64 << 10;

/// How many hints wait for a slow listener; older ones are dropped.
pub(crate) const HINT_QUEUE: usize = 256;

/// Somebody else committed a batch. A hint may be lost, late or repeated: only
/// [`Store::next_batches`](crate::Store::next_batches) is complete.
#[derive(Clone, Debug)]
pub struct CommitHint {
    /// The log that has grown.
    pub log: LogId,
    /// The number that the batch stands at.
    pub number: u64,
    /// The batch itself up to 64 KiB, where the backend had it.
    pub batch: Option<Batch>,
}
