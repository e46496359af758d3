//! Writes BSON documents, element by element.

use bytes::Bytes;

use super::{Element, Value, tag};

/// A document in the making. Keys must not contain NUL: BSON cannot say it, and
/// appending such a key panics. Keys from outside are checked before.
#[derive(Clone, Debug)]
pub struct DocumentBuilder {
    bytes: Vec<u8>,
}

impl DocumentBuilder {
    /// A document without elements.
    pub fn new() -> Self {
        Self::with_capacity(64)
    }

    /// A document without elements, with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(bytes);
        buffer.extend_from_slice(&[0; 4]);
        Self { bytes: buffer }
    }

    /// Appends text.
    pub fn append_str(&mut self, key: &str, value: &str) -> &mut Self {
        self.begin(tag::STRING, key);
        self.bytes.extend_from_slice(&length_of(value.len() + 1));
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self
    }

    /// Appends a binary of subtype 0.
    pub fn append_bytes(&mut self, key: &str, value: &[u8]) -> &mut Self {
        self.begin(tag::BINARY, key);
        self.bytes.extend_from_slice(&length_of(value.len()));
        self.bytes.push(0);
        self.bytes.extend_from_slice(value);
        self
    }

    /// Appends a document, as it is.
    pub fn append_document(&mut self, key: &str, document: &[u8]) -> &mut Self {
        self.append_raw(key, tag::DOCUMENT, document)
    }

    /// Appends an array, given as the document whose keys are "0", "1" …
    pub fn append_array(&mut self, key: &str, array: &[u8]) -> &mut Self {
        self.append_raw(key, tag::ARRAY, array)
    }

    /// Appends a 32-bit integer.
    pub fn append_i32(&mut self, key: &str, value: i32) -> &mut Self {
        self.append_raw(key, tag::INT32, &value.to_le_bytes())
    }

    /// Appends a 64-bit integer.
    pub fn append_i64(&mut self, key: &str, value: i64) -> &mut Self {
        self.append_raw(key, tag::INT64, &value.to_le_bytes())
    }

    /// Appends a double.
    pub fn append_f64(&mut self, key: &str, value: f64) -> &mut Self {
        self.append_raw(key, tag::DOUBLE, &value.to_le_bytes())
    }

    /// Appends a boolean.
    pub fn append_bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.append_raw(key, tag::BOOLEAN, &[u8::from(value)])
    }

    /// Appends null.
    pub fn append_null(&mut self, key: &str) -> &mut Self {
        self.append_raw(key, tag::NULL, &[])
    }

    /// Appends a value of any type, as it is.
    pub fn append_value(&mut self, key: &str, value: &Value) -> &mut Self {
        self.append_raw(key, value.tag, &value.bytes)
    }

    /// Appends a field of another document, as it is.
    pub fn append_element(&mut self, element: &Element<'_>) -> &mut Self {
        self.append_raw(element.key, element.tag, element.value)
    }

    /// The document.
    pub fn finish(mut self) -> Bytes {
        self.bytes.push(0);
        let length = length_of(self.bytes.len());
        self.bytes[..4].copy_from_slice(&length);
        Bytes::from(self.bytes)
    }

    fn append_raw(&mut self, key: &str, tag: u8, value: &[u8]) -> &mut Self {
        self.begin(tag, key);
        self.bytes.extend_from_slice(value);
        self
    }

    fn begin(&mut self, tag: u8, key: &str) {
        assert!(!key.contains('\0'), "a BSON key cannot contain NUL: {key:?}");
        self.bytes.push(tag);
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.push(0);
    }
}

impl Default for DocumentBuilder {
    fn default() -> Self {
        Self::new()
    }
}

/// A length as BSON has it. Above 2 GiB there is none: the guard refuses what
/// stands there then.
pub(crate) fn length_of(bytes: usize) -> [u8; 4] {
    i32::try_from(bytes).unwrap_or(i32::MAX).to_le_bytes()
}
