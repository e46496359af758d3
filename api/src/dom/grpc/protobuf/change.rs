//! A stored change as a `ChangeEvent`: exactly the bytes that encoding `encode::event`
//! gives.

use std::collections::BTreeMap;

use vdom_core::dom::change::ChangeRecord;
use vdom_core::dom::events::StoredChange;
use vdom_core::{BranchAddress, ChangeSetHeader, Result};

use super::field::{put_bytes, put_nested, put_number, put_signed, put_timestamp};
use crate::dom::convert::encode;

/// About what the fields of a fixed size take.
const FIXED_BYTES: usize = 256;

/// Appends a `ChangeEvent`; its fields are in the order of their numbers.
///
/// # Errors
/// `DataLoss` where the stored record cannot be read; what was appended stays.
pub(in crate::dom::grpc) fn put_change_event(
    address: &BranchAddress,
    change: &StoredChange,
    out: &mut Vec<u8>,
) -> Result<()> {
    let record = &change.record()?;
    let diff = change.diff.as_deref().unwrap_or_default();
    out.reserve(FIXED_BYTES + record.path.len() + record.message.len() + diff.len());
    put_signed(1, encode::change_type(record.kind).into(), out);
    put_bytes(2, address.repo.as_str().as_bytes(), out);
    put_bytes(3, address.branch.as_str().as_bytes(), out);
    put_bytes(4, record.path.as_bytes(), out);
    put_bytes(5, diff, out);
    put_bytes(6, record.author.as_bytes(), out);
    put_number(7, record.version, out);
    put_timestamp(8, record.timestamp_ms, out);
    put_metadata(record, change.set.as_deref(), out);
    put_bytes(10, record.node_id.as_bytes(), out);
    put_number(11, change.epoch, out);
    put_number(12, record.revision, out);
    put_nested(13, out, |out| {
        for (actor, seen) in &record.clock.entries {
            put_nested(1, out, |out| {
                put_bytes(1, actor.as_bytes(), out);
                put_number(2, *seen, out);
            });
        }
    });
    put_bytes(14, record.old_path.unwrap_or_default().as_bytes(), out);
    let message = match &change.set {
        Some(set) if record.message.is_empty() => &set.message,
        _ => record.message,
    };
    put_bytes(15, message.as_bytes(), out);
    if let Some(position) = &record.change_set {
        put_nested(16, out, |out| {
            put_bytes(1, position.id.as_bytes(), out);
            put_number(2, position.index.into(), out);
            put_number(3, position.size.into(), out);
        });
    }
    if let Some(operation) = &record.operation {
        put_bytes(17, operation.id.as_bytes(), out);
    }
    put_bytes(18, record.actor.as_bytes(), out);
    put_signed(19, encode::kind(record.node_kind).into(), out);
    put_bytes(20, address.realm.as_str().as_bytes(), out);
    if let Some(authored_at) = record.authored_at_ms {
        put_timestamp(21, authored_at, out);
    }
    put_number(22, change.diff.is_none().into(), out);
    put_bytes(23, change.hash.as_bytes(), out);
    Ok(())
}

/// The change's own words, and those about its change set that it leaves open.
fn put_metadata(record: &ChangeRecord<'_>, set: Option<&ChangeSetHeader>, out: &mut Vec<u8>) {
    let own = &record.metadata;
    let of_set = set.map(|set| &set.metadata).filter(|metadata| !metadata.is_empty());
    let Some(of_set) = of_set else {
        for (key, value) in own {
            put_word(key, value, out);
        }
        return;
    };
    let mut words: BTreeMap<&str, &str> =
        of_set.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    words.extend(own.iter().copied());
    for (key, value) in words {
        put_word(key, value, out);
    }
}

fn put_word(key: &str, value: &str, out: &mut Vec<u8>) {
    put_nested(9, out, |out| {
        put_bytes(1, key.as_bytes(), out);
        put_bytes(2, value.as_bytes(), out);
    });
}
