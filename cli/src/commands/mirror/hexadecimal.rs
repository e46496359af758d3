//! Bytes as hexadecimal digits in the state file.

use serde::{Deserialize, Deserializer, Serializer, de};

/// Writes them.
pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

/// Reads exactly so many.
pub(super) fn deserialize<'de, D: Deserializer<'de>, const LENGTH: usize>(
    deserializer: D,
) -> Result<[u8; LENGTH], D::Error> {
    let text = String::deserialize(deserializer)?;
    let mut bytes = [0; LENGTH];
    hex::decode_to_slice(text, &mut bytes).map_err(de::Error::custom)?;
    Ok(bytes)
}
