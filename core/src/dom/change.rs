//! The record of one accepted diff, and the hash chain that holds a branch
//! together.
//!
//! A record is a CBOR array (RFC 8949) with the fields in the order of their
//! numbers; later fields are optional, so older records stay readable. The
//! diff stands apart, so that a log's tail can be read without contents.

mod record;

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};

use crate::clock::VectorClock;
use crate::dom::node::NodeKind;
use crate::error::{Error, ErrorCode, Result};
use crate::identifiers::{Hash, NodeId, OperationId};
use crate::names::NodePath;

pub use record::{ChangeRecord, ChangeRecordHead, ClockRecord};

/// The hash before the first change of a branch.
pub const CHAIN_START: Hash = Hash([0; 32]);

/// What a change did to its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum ChangeKind {
    /// A node that was not there, with its first content.
    #[n(1)]
    Create,
    /// Other content or attributes of a node, at the same path.
    #[n(2)]
    Update,
    /// The node is gone; its tombstone keeps id and clock.
    #[n(3)]
    Delete,
    /// A new path, perhaps with new content.
    #[n(4)]
    Rename,
}

/// The write that a change answers, so that repeating it answers the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Operation {
    /// Chosen by the client, which repeats it to retry.
    #[n(0)]
    pub id: OperationId,
    /// Of the request: the same id with another digest is refused.
    #[n(1)]
    pub request: Hash,
}

/// Where a change stands in its change set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChangeSetPosition {
    /// The same for all changes of the set.
    #[n(0)]
    pub id: OperationId,
    /// Its place in the set, from 0.
    #[n(1)]
    pub index: u32,
    /// How many changes the set has.
    #[n(2)]
    pub size: u32,
}

/// What a change set says of all its changes; kept with the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ChangeSetHeader {
    /// Why it was made.
    #[n(0)]
    pub message: String,
    /// Free words of the client.
    #[n(1)]
    pub metadata: BTreeMap<String, String>,
}

/// How a diff is sealed; the store keeps it as it came.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Encryption {
    /// By its registered name, such as `AES-256-GCM`.
    #[n(0)]
    pub algorithm: String,
    /// Which key, never the key.
    #[n(1)]
    pub key_id: String,
    /// Never used twice with one key.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub nonce: Vec<u8>,
}

/// One accepted diff, without the diff itself.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Change {
    /// The incarnation of the log.
    #[n(0)]
    pub epoch: u64,
    /// The position in the branch.
    #[n(1)]
    pub revision: u64,
    /// The hash of the change before.
    #[n(2)]
    pub previous: Hash,
    /// SHA-256 of the diff as it is stored.
    #[n(3)]
    pub diff_hash: Hash,
    /// The size of the diff in bytes.
    #[n(4)]
    pub diff_length: u32,
    /// The node that changed; stays through renames.
    #[n(5)]
    pub node_id: NodeId,
    /// What the node holds.
    #[n(6)]
    pub node_kind: NodeKind,
    /// What happened to it.
    #[n(7)]
    pub kind: ChangeKind,
    /// Where the node is after the change.
    #[n(8)]
    pub path: NodePath,
    /// Where a rename took it from.
    #[n(9)]
    pub old_path: Option<NodePath>,
    /// The node's version after the change.
    #[n(10)]
    pub version: u64,
    /// The node's clock after the change.
    #[n(11)]
    pub clock: VectorClock,
    /// Whose entry of the node's clock moved by one.
    #[n(12)]
    pub actor: String,
    /// Who made the change, as its sender says.
    #[n(13)]
    pub author: String,
    /// Who was authenticated when it was sent.
    #[n(14)]
    pub subject: String,
    /// Why it was made.
    #[n(15)]
    pub message: String,
    /// Free words of the client.
    #[n(16)]
    pub metadata: BTreeMap<String, String>,
    /// When it was accepted, ms since the Unix epoch.
    #[n(17)]
    pub timestamp_ms: i64,
    /// When it was made, ms since the Unix epoch, where the client says so.
    #[n(18)]
    pub authored_at_ms: Option<i64>,
    /// The write that it answers.
    #[n(19)]
    pub operation: Option<Operation>,
    /// The change set that it belongs to.
    #[n(20)]
    pub change_set: Option<ChangeSetPosition>,
    /// The person whom the content is about.
    #[n(21)]
    pub data_subject: Option<String>,
    /// How the diff is sealed.
    #[n(22)]
    pub encryption: Option<Encryption>,
    /// True when a three-way merge made the diff.
    #[n(23)]
    pub merged: bool,
    /// Of the change set whose first change this is.
    #[n(24)]
    pub set_header: Option<ChangeSetHeader>,
}

impl Change {
    /// Whether the node is, or was before, at or below any of these paths; below none of them
    /// is everything.
    pub fn is_below(&self, paths: &[String]) -> bool {
        let covers = |prefix: &String| {
            self.path.is_covered_by(prefix)
                || self.old_path.as_ref().is_some_and(|path| path.is_covered_by(prefix))
        };
        paths.is_empty() || paths.iter().any(covers)
    }

    /// The stored form of the record.
    pub fn encode(&self) -> Vec<u8> {
        let mut record = Vec::with_capacity(384);
        // Writing to a Vec cannot fail, and no field of ours refuses.
        let written = minicbor::encode(self, &mut record);
        debug_assert!(written.is_ok());
        record
    }

    /// Reads a record as [`Self::encode`] wrote it.
    ///
    /// # Errors
    /// `DataLoss` where it is cut short or of no known form.
    pub fn decode(record: &[u8]) -> Result<Self> {
        minicbor::decode(record).map_err(|error| {
            Error::new(ErrorCode::DataLoss, "a stored change cannot be read").context(error)
        })
    }
}

/// The hash of a change in its chain, from its stored record:
/// SHA-256(`"vdom.change.1"` ‖ record). The record holds the hash before it and
/// the diff's hash, so the chain covers every byte and survives the removal of
/// old diffs.
pub fn chain_hash(record: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(b"vdom.change.1");
    hasher.update(record);
    Hash(hasher.finalize().into())
}

/// SHA-256 (FIPS 180-4), of which contents and the chain of changes are named.
pub fn sha256(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests;
