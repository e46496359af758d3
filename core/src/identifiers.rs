//! Identifiers of fixed size: nodes, operations, conflicts, hashes.

use std::fmt;

use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::error::{Error, Result};

macro_rules! fixed_bytes {
    ($(#[$documentation:meta])* $name:ident, $length:literal, $what:literal) => {
        $(#[$documentation])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            #[doc = concat!("Takes exactly ", stringify!($length), " bytes.")]
            pub fn from_slice(bytes: &[u8]) -> Result<Self> {
                bytes.try_into().map(Self).map_err(|_| {
                    Error::invalid(format!(
                        concat!($what, " has {} bytes, needs ", stringify!($length)),
                        bytes.len()
                    ))
                })
            }

            /// Takes lowercase or uppercase hexadecimal digits.
            pub fn from_hex(text: &str) -> Result<Self> {
                let digits = text.as_bytes();
                let mut bytes = [0u8; $length];
                if digits.len() != 2 * $length {
                    return Err(Error::invalid(format!(
                        concat!($what, " `{}` needs {} hexadecimal digits"),
                        text,
                        2 * $length
                    )));
                }
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    let digit = |character: u8| char::from(character).to_digit(16);
                    let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                        return Err(Error::invalid(format!(
                            concat!($what, " `{}` has a character that is no hexadecimal digit"),
                            text
                        )));
                    };
                    *byte = (high * 16 + low) as u8;
                }
                Ok(Self(bytes))
            }

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                encoder: &mut Encoder<W>,
                _: &mut C,
            ) -> std::result::Result<(), minicbor::encode::Error<W::Error>> {
                encoder.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(
                decoder: &mut Decoder<'b>,
                _: &mut C,
            ) -> std::result::Result<Self, minicbor::decode::Error> {
                let bytes = decoder.bytes()?;
                bytes
                    .try_into()
                    .map(Self)
                    .map_err(|_| minicbor::decode::Error::message(concat!($what, " length")))
            }
        }
    };
}

fixed_bytes!(
    /// Names a node for its whole life, across renames.
    NodeId, 16, "node_id"
);
fixed_bytes!(
    /// From the client: makes a write safe to repeat.
    OperationId, 16, "operation_id"
);
fixed_bytes!(
    /// Names a stored conflict.
    ConflictId, 16, "conflict_id"
);
fixed_bytes!(
    /// SHA-256.
    Hash, 32, "hash"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_round_trips_and_bad_text_says_what_is_wrong() {
        let id = NodeId(*b"0123456789abcdef");
        assert_eq!(NodeId::from_hex(&id.to_string()), Ok(id));
        let short = NodeId::from_hex("00").expect_err("too short");
        assert!(short.message.contains("32 hexadecimal digits"), "{short}");
        let other = NodeId::from_hex(&"zz".repeat(16)).expect_err("no digits");
        assert!(other.message.contains("no hexadecimal digit"), "{other}");
        let slice = NodeId::from_slice(b"abc").expect_err("too short");
        assert!(slice.message.contains("3 bytes, needs 16"), "{slice}");
    }
}
