//! Ids of git's objects.

use std::fmt;

/// The id of an object: 20 bytes of SHA-1 or 32 of SHA-256.
///
/// ```
/// use vdom_git::object_id::ObjectId;
///
/// let id = ObjectId::parse(b"9223a7da1efd7ef7266fefad8ba66876ada0429e").expect("40 digits");
/// assert_eq!(id.as_bytes().len(), 20);
/// assert_eq!(id.to_string(), "9223a7da1efd7ef7266fefad8ba66876ada0429e");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId {
    /// Those beyond the length are zero.
    bytes: [u8; 32],
    is_sha1: bool,
}

impl ObjectId {
    /// Reads 40 or 64 hexadecimal digits.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        let is_sha1 = match digits.len() {
            40 => true,
            64 => false,
            _ => return None,
        };
        hex::decode_to_slice(digits, &mut bytes[..digits.len() / 2]).ok()?;
        Some(Self { bytes, is_sha1 })
    }

    /// The bytes that the digits stand for.
    pub fn as_bytes(&self) -> &[u8] {
        if self.is_sha1 { &self.bytes[..20] } else { &self.bytes }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.as_bytes()))
    }
}
