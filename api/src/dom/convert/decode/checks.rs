//! What many messages share: fields of the wire as values of the domain.

use bytes::Bytes;
use vdom_core::dom::calls::{AckLevel, OnConflict};
use vdom_core::{
    BranchAddress, ConflictId, Error, NodeId, NodeKind, OperationId, RealmName, Result, VectorClock,
};
use vdom_proto::v1 as wire;

/// An address whose realm, where it names none, is the caller's.
pub(super) fn address(
    realm: &str,
    repo: &str,
    branch: &str,
    caller_realm: Option<&RealmName>,
) -> Result<BranchAddress> {
    BranchAddress::parse(realm_or(realm, caller_realm), repo, branch)
}

/// The realm that a request means.
pub(super) fn realm(realm: &str, caller_realm: Option<&RealmName>) -> Result<RealmName> {
    RealmName::parse(realm_or(realm, caller_realm))
}

fn realm_or<'a>(realm: &'a str, caller_realm: Option<&'a RealmName>) -> &'a str {
    if realm.is_empty() {
        caller_realm.map_or(RealmName::DEFAULT, RealmName::as_str)
    } else {
        realm
    }
}

/// `None` for no bytes, else exactly 16.
pub(super) fn node_id(bytes: &[u8]) -> Result<Option<NodeId>> {
    present(bytes).map(NodeId::from_slice).transpose()
}

/// `None` for no bytes, else exactly 16.
pub(super) fn operation_id(bytes: &[u8]) -> Result<Option<OperationId>> {
    present(bytes).map(OperationId::from_slice).transpose()
}

fn present(bytes: &[u8]) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

/// A clock; none at all is empty.
pub(super) fn clock(clock: Option<wire::VectorClock>) -> Result<VectorClock> {
    VectorClock::from_entries(clock.unwrap_or_default().entries)
}

/// `None` for UNSPECIFIED; an unknown number is refused.
pub(super) fn kind(number: i32) -> Result<Option<NodeKind>> {
    Ok(match known_enum::<wire::NodeKind>("kind", number)? {
        wire::NodeKind::Unspecified => None,
        wire::NodeKind::File => Some(NodeKind::File),
        wire::NodeKind::Intent => Some(NodeKind::Intent),
        wire::NodeKind::Meta => Some(NodeKind::Meta),
    })
}

/// An enum's value; an unknown number is refused.
pub(super) fn known_enum<E: TryFrom<i32>>(what: &str, number: i32) -> Result<E> {
    E::try_from(number).map_err(|_| {
        Error::invalid(format!("{what} {number} is not known: take a value of virtualdom.v1"))
    })
}

/// `None` for 0, which the wire uses for "not named".
pub(super) fn number(number: u64) -> Option<u64> {
    (number != 0).then_some(number)
}

/// `None` for no bytes.
pub(super) fn bytes(bytes: Bytes) -> Option<Bytes> {
    (!bytes.is_empty()).then_some(bytes)
}

/// What to do about a conflict; UNSPECIFIED is Reject.
pub(super) fn on_conflict(number: i32) -> Result<OnConflict> {
    Ok(match known_enum("on_conflict", number)? {
        wire::OnConflict::Unspecified | wire::OnConflict::Reject => OnConflict::Reject,
        wire::OnConflict::Merge => OnConflict::Merge,
        wire::OnConflict::Overwrite => OnConflict::Overwrite,
    })
}

/// What an answer must promise; UNSPECIFIED is Committed.
pub(super) fn ack_level(number: i32) -> Result<AckLevel> {
    Ok(match known_enum("min_ack", number)? {
        wire::AckLevel::Unspecified | wire::AckLevel::Committed => AckLevel::Committed,
        wire::AckLevel::Local => AckLevel::Local,
    })
}

/// A time of the caller, in ms since the Unix epoch.
pub(super) fn time(field: &str, timestamp: prost_types::Timestamp) -> Result<i64> {
    if !(0..1_000_000_000).contains(&timestamp.nanos) {
        return Err(Error::invalid(format!(
            "{field}.nanos is {}: it counts from 0 to 999,999,999, also before 1970",
            timestamp.nanos
        )));
    }
    vdom_core::time::checked(field, milliseconds(Some(timestamp)))
}

/// Milliseconds since the Unix epoch; none at all is 0.
pub(super) fn milliseconds(timestamp: Option<prost_types::Timestamp>) -> i64 {
    timestamp.map_or(0, |timestamp| {
        timestamp
            .seconds
            .saturating_mul(1_000)
            .saturating_add(i64::from(timestamp.nanos) / 1_000_000)
    })
}

/// `None` for no bytes, else exactly 16.
pub(super) fn conflict_id(bytes: &[u8]) -> Result<Option<ConflictId>> {
    present(bytes).map(ConflictId::from_slice).transpose()
}
