//! A stored change as the message of its event, without a structure in between:
//! exactly the bytes that encoding `encode::event` gives.

use std::collections::BTreeMap;

use vdom_core::BranchAddress;

use crate::dom::StoredChange;
use crate::dom::convert::encode;

/// Wire types (the encoding of protocol buffers).
const VARINT: u32 = 0;
const LENGTH_DELIMITED: u32 = 2;
/// The largest number that takes one byte.
const SHORT: u64 = 0x7f;
/// About what the fields of a fixed size take.
const FIXED_BYTES: usize = 256;

/// Appends a `ChangeEvent`; its fields are in the order of their numbers.
pub(super) fn put(address: &BranchAddress, change: &StoredChange<'_>, out: &mut Vec<u8>) {
    let record = &change.record;
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
    put_metadata(change, out);
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
    let message = match change.set {
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
}

/// The change's own words, and those about its change set that it leaves open.
fn put_metadata(change: &StoredChange<'_>, out: &mut Vec<u8>) {
    let own = &change.record.metadata;
    let of_set = change.set.map(|set| &set.metadata).filter(|metadata| !metadata.is_empty());
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

fn put_timestamp(field: u32, milliseconds: i64, out: &mut Vec<u8>) {
    let timestamp = encode::timestamp(milliseconds);
    put_nested(field, out, |out| {
        put_signed(1, timestamp.seconds, out);
        put_signed(2, timestamp.nanos.into(), out);
    });
}

/// A number that may be below 0, or one of an enumeration.
fn put_signed(field: u32, number: i64, out: &mut Vec<u8>) {
    put_number(field, number.cast_unsigned(), out);
}

/// A number or a truth, which are left out where they are 0.
#[inline]
fn put_number(field: u32, number: u64, out: &mut Vec<u8>) {
    if number != 0 {
        put_key(field, VARINT, out);
        put_varint(number, out);
    }
}

/// Bytes or a text, which are left out where they are empty.
#[inline]
fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        put_key(field, LENGTH_DELIMITED, out);
        put_varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    }
}

/// A message within the message, which stands even where it is empty.
fn put_nested(field: u32, out: &mut Vec<u8>, message: impl FnOnce(&mut Vec<u8>)) {
    put_key(field, LENGTH_DELIMITED, out);
    let start = out.len() + 1;
    out.push(0);
    message(out);
    let length = (out.len() - start) as u64;
    if length <= SHORT {
        out[start - 1] = length as u8;
    } else {
        let message = out.split_off(start);
        out.pop();
        put_varint(length, out);
        out.extend_from_slice(&message);
    }
}

#[inline]
fn put_key(field: u32, wire_type: u32, out: &mut Vec<u8>) {
    put_varint((field << 3 | wire_type).into(), out);
}

/// Seven bits a byte, the lowest first; prost's own is not inlined here, which shows
/// where a log is replayed.
#[inline]
fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number > SHORT {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
