//! Control records: what a batch says besides changes.

use std::collections::BTreeMap;

use bytes::Bytes;
use minicbor::{Decode, Encode};
use vdom_core::dom::diff::PutContent;
use vdom_core::{
    ConflictId, ContentChunk, Diff, Error, Hash, NodeId, NodeKind, NodePath, OperationId, Result,
    VectorClock,
};
use vdom_store::{ChunkId, OperationKey};

use super::{RecordedResult, damaged_view};

/// What a batch says besides changes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum ControlRecord {
    /// In a first batch: the branch continues another one of the same repo.
    #[n(0)]
    Parent {
        #[n(0)]
        branch: String,
        /// Which log of that name.
        #[n(1)]
        incarnation: u64,
        /// The last revision that both have.
        #[n(2)]
        revision: u64,
        /// Its epoch, where this is the same branch after a restore.
        #[n(3)]
        previous_epoch: Option<u64>,
    },
    /// Another branch continues this one: what it needs must be kept. Racing creators of that
    /// branch each leave one; which counts, its first batch says.
    #[n(1)]
    Pin {
        #[cbor(n(0), with = "minicbor::bytes")]
        log: [u8; 32],
        /// The last revision that both have.
        #[n(1)]
        revision: u64,
        /// When its creator left it, ms since the Unix epoch; not always known.
        #[n(2)]
        made_at_ms: Option<i64>,
    },
    /// A write was refused, and is kept until someone resolves it.
    #[n(2)]
    Conflict(#[n(0)] Box<KeptConflict>),
    /// A kept conflict is resolved.
    #[n(3)]
    Resolved(#[n(0)] ConflictId),
    /// What is at or before this revision may be compacted from now on; what needs it
    /// comes too late.
    #[n(4)]
    Limit(#[n(0)] u64),
    /// What stands in for compacted changes.
    #[n(5)]
    Checkpoint(#[n(0)] Box<Checkpoint>),
    /// A request was answered without a change: it is answered so again.
    #[n(6)]
    Answered {
        /// The operation key, by subject and id.
        #[cbor(n(0), with = "minicbor::bytes")]
        key: [u8; 16],
        #[n(1)]
        result: Box<RecordedResult>,
    },
}

/// What a branch continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parent<'a> {
    /// Its name when the branch was created.
    pub branch: &'a str,
    pub incarnation: u64,
    /// The last revision that both have.
    pub revision: u64,
    /// Where this is the same branch, restored: the epoch before.
    pub previous_epoch: Option<u64>,
}

impl ControlRecord {
    /// What the branch continues, where it says that. Before its first change, which earlier
    /// releases took for a place to leave a branch, that is nothing.
    pub(crate) fn parent(&self) -> Option<Parent<'_>> {
        match self {
            Self::Parent { branch, incarnation, revision, previous_epoch } => {
                let (incarnation, revision) = (*incarnation, *revision);
                let previous_epoch = *previous_epoch;
                let parent = Parent { branch, incarnation, revision, previous_epoch };
                Some(parent).filter(|_| revision > 0 || previous_epoch.is_some())
            }
            _ => None,
        }
    }

    /// The contents in chunks that it names itself; those that the rows of a checkpoint
    /// name are in its pieces.
    ///
    /// # Errors
    /// `DataLoss` where the diff of a kept conflict cannot be read.
    pub(crate) fn named_chunks(&self) -> Result<Vec<ChunkId>> {
        match self {
            Self::Conflict(kept) => kept.named_chunks(),
            Self::Checkpoint(checkpoint) => {
                let chunks = checkpoint.pieces.iter().map(|piece| piece.chunk);
                Ok(chunks.map(|chunk| ChunkId(chunk.hash.0)).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// What finds it among the operations of its batch.
    pub(crate) fn operation_key(&self) -> Option<OperationKey> {
        match self {
            Self::Answered { key, .. } => Some(OperationKey(*key)),
            _ => None,
        }
    }
}

/// What stands in for the changes up to a revision: the rows of the views as they were
/// then. A rebuild starts here.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Checkpoint {
    /// The last revision that it covers, and the oldest that can be read.
    #[n(0)]
    pub revision: u64,
    /// The batch that ends with it.
    #[n(1)]
    pub number: u64,
    /// The hash of that change.
    #[n(2)]
    pub hash: Hash,
    /// The rows, in chunks.
    #[n(3)]
    pub pieces: Vec<CheckpointPiece>,
    #[n(4)]
    pub epoch: u64,
}

/// A chunk of rows of one kind, descending by id.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct CheckpointPiece {
    #[n(0)]
    pub chunk: ContentChunk,
    /// The number of the kind.
    #[n(1)]
    pub kind: u8,
    /// The smallest id in it.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub last: Vec<u8>,
}

/// Ids of the rows of kind Compaction.
pub(crate) const LIMIT_ID: &[u8] = b"limit";
pub(crate) const CHECKPOINT_ID: &[u8] = b"base";

/// A refused write, as its writer sent it: `asked_*` is what it named, `clock` what the
/// writer had seen. What stood there is read from the history. Times are ms since the Unix
/// epoch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct KeptConflict {
    #[n(0)]
    pub id: ConflictId,
    #[n(1)]
    pub reason: KeptReason,
    /// The node that stood there.
    #[n(2)]
    pub node_id: NodeId,
    /// The head that it was refused on.
    #[n(3)]
    pub revision: u64,
    #[n(4)]
    pub timestamp_ms: i64,
    #[n(5)]
    pub subject: String,
    /// The node that the writer named.
    #[n(6)]
    pub asked_node_id: Option<NodeId>,
    /// The path that the writer named.
    #[n(7)]
    pub asked_path: Option<NodePath>,
    /// The kind that the writer named.
    #[n(8)]
    pub asked_kind: Option<NodeKind>,
    /// The diff, in its stored form.
    #[cbor(n(9), with = "minicbor::bytes")]
    pub diff: Vec<u8>,
    /// What the writer had seen.
    #[n(10)]
    pub clock: VectorClock,
    /// Whose clock entry would have moved.
    #[n(11)]
    pub actor: String,
    #[n(12)]
    pub author: String,
    #[n(13)]
    pub message: String,
    #[n(14)]
    pub metadata: BTreeMap<String, String>,
    /// What made it safe to repeat.
    #[n(15)]
    pub operation_id: Option<OperationId>,
}

impl KeptConflict {
    /// The content that was refused, where it is in chunks.
    ///
    /// # Errors
    /// `DataLoss` where the diff cannot be read.
    pub(crate) fn named_chunks(&self) -> Result<Vec<ChunkId>> {
        let diff = Diff::parse_stored(&Bytes::copy_from_slice(&self.diff))?;
        let chunks = diff.put().and_then(PutContent::chunks).unwrap_or_default();
        Ok(chunks.iter().map(|chunk| ChunkId(chunk.hash.0)).collect())
    }
}

/// Why a kept write was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(crate) enum KeptReason {
    #[n(1)]
    StaleClock,
    #[n(2)]
    PathExists,
    #[n(3)]
    Deleted,
    #[n(4)]
    TargetExists,
    #[n(5)]
    Merge,
}

/// The stored form of a small record as a row.
pub(crate) fn encode_record<T: Encode<()>>(record: &T) -> Result<Bytes> {
    minicbor::to_vec(record).map(Bytes::from).map_err(Error::internal)
}

/// Reads what [`encode_record`] wrote.
pub(crate) fn decode_record<'b, T: Decode<'b, ()>>(value: &'b [u8]) -> Result<T> {
    minicbor::decode(value).map_err(damaged_view)
}
