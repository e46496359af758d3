//! A stored change as it is read in passing: texts are borrowed.

use minicbor::decode::Error as DecodeError;
use minicbor::{Decode, Decoder};

use super::{ChangeKind, ChangeSetHeader, ChangeSetPosition, Operation};
use crate::dom::node::NodeKind;
use crate::error::{Error, ErrorCode, Result};
use crate::identifiers::{Hash, NodeId};
use crate::limits::METADATA_MAX_ENTRIES;

/// What a reader sees of a stored [`Change`](super::Change); the fields mean the same.
#[derive(Clone, Debug, PartialEq, Eq, Decode)]
pub struct ChangeRecord<'a> {
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
    /// Which node.
    #[n(5)]
    pub node_id: NodeId,
    /// What the node holds.
    #[n(6)]
    pub node_kind: NodeKind,
    /// What happened to it.
    #[n(7)]
    pub kind: ChangeKind,
    /// Where the node is after the change.
    #[b(8)]
    pub path: &'a str,
    /// Where a rename took it from.
    #[b(9)]
    pub old_path: Option<&'a str>,
    /// The node's version after the change.
    #[n(10)]
    pub version: u64,
    /// The node's clock after the change.
    #[b(11)]
    pub clock: ClockRecord<'a>,
    /// Whose clock entry moved.
    #[b(12)]
    pub actor: &'a str,
    /// Who made it.
    #[b(13)]
    pub author: &'a str,
    /// Who was authenticated.
    #[b(14)]
    pub subject: &'a str,
    /// Why it was made.
    #[b(15)]
    pub message: &'a str,
    /// Free words of the client, in the order of their names.
    #[cbor(b(16), decode_with = "pairs")]
    pub metadata: Vec<(&'a str, &'a str)>,
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
    /// True when a three-way merge made the diff.
    #[n(23)]
    pub merged: bool,
    /// Of the change set whose first change this is.
    #[n(24)]
    pub set_header: Option<ChangeSetHeader>,
}

/// What delivering a stored [`Change`](super::Change) takes of it, at a fraction of the cost of
/// reading it all; the fields mean the same.
#[derive(Clone, Debug, PartialEq, Eq, Decode)]
#[expect(missing_docs, reason = "they stand at `Change`")]
pub struct ChangeRecordHead<'a> {
    #[n(1)]
    pub revision: u64,
    #[n(2)]
    pub previous: Hash,
    #[n(4)]
    pub diff_length: u32,
    #[b(8)]
    pub path: &'a str,
    #[b(9)]
    pub old_path: Option<&'a str>,
    #[n(20)]
    pub change_set: Option<ChangeSetPosition>,
    #[n(24)]
    pub set_header: Option<ChangeSetHeader>,
}

/// A stored clock.
#[derive(Clone, Debug, PartialEq, Eq, Decode)]
pub struct ClockRecord<'a> {
    /// How many changes of each actor were seen, in the order of their names.
    #[cbor(b(0), decode_with = "pairs")]
    pub entries: Vec<(&'a str, u64)>,
}

impl<'a> ChangeRecord<'a> {
    /// Reads a stored record.
    ///
    /// # Errors
    /// `DataLoss` where it is none.
    pub fn decode(record: &'a [u8]) -> Result<Self> {
        minicbor::decode(record).map_err(unreadable)
    }
}

impl<'a> ChangeRecordHead<'a> {
    /// Reads a stored record as far as needed.
    ///
    /// # Errors
    /// `DataLoss` where it is none.
    pub fn decode(record: &'a [u8]) -> Result<Self> {
        minicbor::decode(record).map_err(unreadable)
    }
}

fn unreadable(error: DecodeError) -> Error {
    Error::new(ErrorCode::DataLoss, "a stored change cannot be read").context(error)
}

fn pairs<'b, C, V: Decode<'b, C>>(
    decoder: &mut Decoder<'b>,
    context: &mut C,
) -> std::result::Result<Vec<(&'b str, V)>, DecodeError> {
    let count = decoder.map()?.ok_or_else(|| DecodeError::message("a map without a length"))?;
    // A damaged length must not reserve memory for what is not there.
    let mut pairs = Vec::with_capacity(METADATA_MAX_ENTRIES.min(count as usize));
    for _ in 0..count {
        pairs.push((decoder.str()?, V::decode(decoder, context)?));
    }
    Ok(pairs)
}
