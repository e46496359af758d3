//! A batch: the unit that a log appends, and what it carries for the store.

mod codec;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use sha2::{Digest, Sha256};

pub(crate) use codec::digest_in;

/// The largest encoded batch.
pub const BATCH_MAX_BYTES: usize = 4 << 20;

/// Names a log: a hash of what the log is about and its incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub [u8; 32]);

/// Says whether the batch that stands at a number is the one that was appended.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchId(pub [u8; 16]);

/// An operation id as the store indexes it: a hash of subject and id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationKey(pub [u8; 16]);

/// What a log is about; carried by its first batch, so that logs can be listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, minicbor::Encode, minicbor::Decode)]
pub struct LogDescriptor {
    /// The tenant.
    #[n(0)]
    pub realm: String,
    /// The repo; empty for a log of the realm itself.
    #[n(1)]
    pub repo: String,
    /// The branch; empty for a log of the realm itself.
    #[n(2)]
    pub branch: String,
    /// 1 for the first log of that name, then one more after each closing batch.
    #[n(3)]
    pub incarnation: u64,
}

/// A row of a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    /// Given by the writer; what stands at a number with our id is ours.
    pub id: BatchId,
    /// [`Batch::digest`] of the batch before; zero for the first.
    pub previous: [u8; 32],
    /// What the log is about; on the first batch only.
    pub descriptor: Option<LogDescriptor>,
    /// The revision of the first change; of the next one where there is none.
    pub first_revision: u64,
    /// How many changes the batch holds; may be 0.
    pub count: u32,
    /// The operation ids of the changes, in any order.
    pub operations: Vec<OperationKey>,
    /// The chunks that the batch names.
    pub chunks: Vec<crate::ChunkId>,
    /// True when the log ends here.
    pub closing: bool,
    /// Of a batch that was compacted: the digest that it had with its changes.
    pub emptied: Option<[u8; 32]>,
    /// What happened, without contents: cheap to read for an overlay.
    pub manifest: Bytes,
    /// The contents that the manifest points into.
    pub body: Bytes,
}

/// A batch and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// 1, 2, 3 … without gaps.
    pub number: u64,
    /// What stands there.
    pub batch: Batch,
}

impl LogDescriptor {
    /// The id of the log that this describes: a hash of all that names it.
    pub fn log_id(&self) -> LogId {
        let mut hash = Sha256::new_with_prefix(b"vdom log");
        for name in [&self.realm, &self.repo, &self.branch] {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
        }
        hash.update(self.incarnation.to_be_bytes());
        LogId(hash.finalize().into())
    }
}

impl Batch {
    /// What is left of a batch once its changes are compacted: its place in the chain,
    /// and what `manifest` says of them.
    #[must_use]
    pub fn into_emptied(self, manifest: Bytes) -> Self {
        let emptied = Some(self.digest());
        let (operations, chunks, body) = (Vec::new(), Vec::new(), Bytes::new());
        Self { operations, chunks, emptied, manifest, body, ..self }
    }
}

impl fmt::Debug for Batch {
    /// Without contents: they belong to users, and not into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("id", &self.id)
            .field("previous", &hex::encode(self.previous))
            .field("descriptor", &self.descriptor)
            .field("first_revision", &self.first_revision)
            .field("count", &self.count)
            .field("operations", &self.operations.len())
            .field("chunks", &self.chunks.len())
            .field("closing", &self.closing)
            .field("emptied", &self.emptied.is_some())
            .field("manifest_bytes", &self.manifest.len())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// Shows an id as hex, for people and for records.
macro_rules! shown_as_hex {
    ($($id:ty),+) => {$(
        impl ::std::fmt::Display for $id {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&::hex::encode(self.0))
            }
        }

        impl ::std::fmt::Debug for $id {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, concat!(stringify!($id), "({})"), self)
            }
        }
    )+};
}

shown_as_hex!(LogId, BatchId, OperationKey);
pub(crate) use shown_as_hex;
