//! `text`: edits of UTF-8 content.

mod algebra;

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::limits::CONTENT_MAX_BYTES;

/// Operations over the content from its start on; what they do not reach is
/// retained. Lengths count UTF-8 bytes and end at character boundaries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextEdit {
    operations: Vec<TextOperation>,
}

/// One step of a [`TextEdit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextOperation {
    /// Keeps so many bytes.
    Retain(u64),
    /// Puts text here.
    Insert(Utf8Bytes),
    /// Drops so many bytes.
    Delete(u64),
}

/// Bytes that are UTF-8; clones share them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Utf8Bytes(Bytes);

impl TextOperation {
    /// Puts text here.
    pub fn insert(text: &str) -> Self {
        Self::Insert(text.into())
    }
}

impl TextEdit {
    /// An edit of these operations.
    pub fn new(operations: Vec<TextOperation>) -> Self {
        Self { operations }
    }

    /// The operations.
    pub fn operations(&self) -> &[TextOperation] {
        &self.operations
    }

    /// The content after the edit. `InvalidArgument` where the content is not
    /// UTF-8, or an operation ends inside a character or beyond the content;
    /// `TooLarge` where the result would be.
    pub fn apply(&self, content: &[u8]) -> Result<Bytes> {
        let text = std::str::from_utf8(content).map_err(|error| {
            Error::invalid(format!(
                "a text diff needs UTF-8 content, this node's is not from byte {} on: put the \
                 whole content instead",
                error.valid_up_to()
            ))
        })?;
        let length = self.length_after(text)?;
        if length > CONTENT_MAX_BYTES {
            return Err(Error::too_large(format!(
                "the content would have {length} bytes, at most {CONTENT_MAX_BYTES} are allowed"
            )));
        }
        let mut result = Vec::with_capacity(length as usize);
        let mut rest = content;
        for operation in &self.operations {
            match operation {
                TextOperation::Insert(text) => result.extend_from_slice(&text.0),
                TextOperation::Retain(bytes) => {
                    let (kept, after) = rest.split_at(*bytes as usize);
                    result.extend_from_slice(kept);
                    rest = after;
                }
                TextOperation::Delete(bytes) => rest = &rest[*bytes as usize..],
            }
        }
        result.extend_from_slice(rest);
        Ok(Bytes::from(result))
    }

    /// The size after the edit; checks that every operation fits the text.
    fn length_after(&self, text: &str) -> Result<u64> {
        let mut at = 0usize;
        let mut length = text.len() as u64;
        for (index, operation) in self.operations.iter().enumerate() {
            let (name, bytes) = match operation {
                TextOperation::Insert(text) => {
                    length = length.saturating_add(text.len() as u64);
                    continue;
                }
                TextOperation::Retain(bytes) => ("retain", *bytes),
                TextOperation::Delete(bytes) => ("delete", *bytes),
            };
            let refuse = |why: String| {
                Error::invalid(format!("text operation {index} ({name} {bytes}) {why}"))
            };
            let end = usize::try_from(bytes).ok().and_then(|bytes| at.checked_add(bytes));
            let Some(end) = end.filter(|end| *end <= text.len()) else {
                return Err(refuse(format!(
                    "starts at byte {at} and ends beyond the content, which has {} bytes",
                    text.len()
                )));
            };
            if !text.is_char_boundary(end) {
                return Err(refuse(format!(
                    "ends at byte {end}, inside a character: count UTF-8 bytes"
                )));
            }
            if matches!(operation, TextOperation::Delete(_)) {
                length -= bytes;
            }
            at = end;
        }
        Ok(length)
    }
}

impl Utf8Bytes {
    /// Takes bytes that are UTF-8.
    pub fn new(bytes: Bytes) -> Result<Self> {
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Self(bytes)),
            Err(error) => Err(Error::invalid(format!(
                "the text is not valid UTF-8 from byte {} on",
                error.valid_up_to()
            ))),
        }
    }

    /// Takes bytes that were checked to be UTF-8.
    pub(super) fn from_checked(bytes: Bytes) -> Self {
        debug_assert!(std::str::from_utf8(&bytes).is_ok());
        Self(bytes)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Both constructors make sure of it.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Both parts; `None` inside a character.
    fn split_at(&self, at: usize) -> Option<(Self, Self)> {
        // A character goes on in bytes 10xxxxxx.
        let inside = self.0.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
        (!inside).then(|| (Self(self.0.slice(..at)), Self(self.0.slice(at..))))
    }

    /// Appends text, in place where nobody shares these bytes.
    fn push(&mut self, text: &Self) {
        let mut bytes = std::mem::take(&mut self.0)
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        bytes.extend_from_slice(&text.0);
        self.0 = bytes.freeze();
    }

    /// The size in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True for no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Utf8Bytes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(formatter)
    }
}

impl From<&str> for Utf8Bytes {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Utf8Bytes {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

#[cfg(test)]
mod tests;
