//! Fields of a message, as protocol buffers encode them.

use crate::dom::convert::encode;

const VARINT: u32 = 0;
const LENGTH_DELIMITED: u32 = 2;
/// The largest number that takes one byte.
const SHORT: u64 = 0x7f;

/// A `google.protobuf.Timestamp`, given in ms since the Unix epoch.
pub(super) fn put_timestamp(field: u32, milliseconds: i64, out: &mut Vec<u8>) {
    let timestamp = encode::timestamp(milliseconds);
    put_nested(field, out, |out| {
        put_signed(1, timestamp.seconds, out);
        put_signed(2, timestamp.nanos.into(), out);
    });
}

/// A number that may be below 0, or one of an enumeration.
pub(super) fn put_signed(field: u32, number: i64, out: &mut Vec<u8>) {
    put_number(field, number.cast_unsigned(), out);
}

/// A number or a truth, which are left out where they are 0.
#[inline]
pub(super) fn put_number(field: u32, number: u64, out: &mut Vec<u8>) {
    if number != 0 {
        put_key(field, VARINT, out);
        put_varint(number, out);
    }
}

/// Bytes or a text, which are left out where they are empty.
#[inline]
pub(super) fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        put_key(field, LENGTH_DELIMITED, out);
        put_varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    }
}

/// A message within the message, which stands even where it is empty.
pub(super) fn put_nested(field: u32, out: &mut Vec<u8>, message: impl FnOnce(&mut Vec<u8>)) {
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
