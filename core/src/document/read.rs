//! Reads the elements of a document where they lie.

use bytes::Bytes;

use super::guard::{i32_at, value_length};
use super::tag;

/// The elements of a document, or of an array, in their order.
///
/// The document must have passed [`check`](super::check): of other bytes, the
/// elements end before the first one that cannot be read.
pub fn elements(document: &[u8]) -> Elements<'_> {
    Elements::within(document, 0)
}

/// Iterates over [`Element`]s.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    document: &'a [u8],
    at: usize,
    /// Where the document starts in the one that offsets count from.
    base: usize,
}

/// A field of a document, where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its name; of an array, its position in decimal.
    pub key: &'a str,
    /// Its type, one of [`tag`].
    pub tag: u8,
    /// Its value as BSON has it.
    pub value: &'a [u8],
    /// Where the value starts, in bytes from the start of the outermost
    /// document.
    pub offset: usize,
}

/// A value of any type, apart from its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its type, one of [`tag`].
    pub tag: u8,
    /// Its value as BSON has it.
    pub bytes: Bytes,
}

impl<'a> Elements<'a> {
    fn within(document: &'a [u8], base: usize) -> Self {
        Self { document, at: 4, base }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let rest = self.document.get(self.at..)?;
        let (&tag, rest) = rest.split_first().filter(|(tag, _)| **tag != 0)?;
        let key_length = rest.iter().position(|byte| *byte == 0)?;
        let key = std::str::from_utf8(&rest[..key_length]).ok()?;
        let start = self.at + 1 + key_length + 1;
        let length = value_length(tag, &self.document[start..])?;
        let value = self.document.get(start..start.checked_add(length)?)?;
        self.at = start + length;
        Some(Element { key, tag, value, offset: self.base + start })
    }
}

impl<'a> Element<'a> {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&'a str> {
        let text = self.value.get(4..self.value.len().checked_sub(1)?)?;
        (self.tag == tag::STRING).then(|| std::str::from_utf8(text).ok())?
    }

    /// The bytes of a binary of any subtype.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        (self.tag == tag::BINARY).then(|| self.value.get(5..))?
    }

    /// The subtype of a binary.
    pub fn binary_subtype(&self) -> Option<u8> {
        (self.tag == tag::BINARY).then(|| self.value.get(4).copied())?
    }

    /// The bytes of a document.
    pub fn as_document(&self) -> Option<&'a [u8]> {
        (self.tag == tag::DOCUMENT).then_some(self.value)
    }

    /// The bytes of an array.
    pub fn as_array(&self) -> Option<&'a [u8]> {
        (self.tag == tag::ARRAY).then_some(self.value)
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        (self.tag == tag::BOOLEAN).then(|| self.value.first().map(|byte| *byte == 1))?
    }

    /// A whole number: int32, int64, or a double without a fraction that int64
    /// holds exactly.
    pub fn as_integer(&self) -> Option<i64> {
        match self.tag {
            tag::INT32 => i32_at(self.value, 0).map(i64::from),
            tag::INT64 => Some(i64::from_le_bytes(self.value.try_into().ok()?)),
            tag::DOUBLE => whole(self.as_f64()?),
            _ => None,
        }
    }

    /// A double.
    pub fn as_f64(&self) -> Option<f64> {
        (self.tag == tag::DOUBLE)
            .then(|| self.value.try_into().ok().map(f64::from_le_bytes))
            .flatten()
    }

    /// The elements of a document or array; of anything else, none. Offsets
    /// keep counting from the outermost document.
    pub fn elements(&self) -> Elements<'a> {
        let container = matches!(self.tag, tag::DOCUMENT | tag::ARRAY);
        Elements::within(if container { self.value } else { &super::EMPTY }, self.offset)
    }

    /// What errors call the element's type.
    pub fn type_name(&self) -> &'static str {
        tag::name(self.tag).unwrap_or("unknown")
    }
}

impl Value {
    /// Text.
    pub fn string(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(text.len() + 5);
        bytes.extend_from_slice(&super::build::length_of(text.len() + 1));
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        Self { tag: tag::STRING, bytes: Bytes::from(bytes) }
    }

    /// A 64-bit integer.
    pub fn integer(number: i64) -> Self {
        Self { tag: tag::INT64, bytes: Bytes::copy_from_slice(&number.to_le_bytes()) }
    }

    /// A document.
    pub fn document(document: Bytes) -> Self {
        Self { tag: tag::DOCUMENT, bytes: document }
    }
}

/// The document in a code with scope.
pub(crate) fn scope(code: &[u8]) -> Option<&[u8]> {
    let text_length = usize::try_from(i32_at(code, 4)?).ok()?;
    code.get(text_length.checked_add(8)?..)
}

/// The int64 that is exactly this number.
fn whole(number: f64) -> Option<i64> {
    // -2^63 is a double; 2^63 is the first one beyond.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number)).then_some(number as i64)
}
