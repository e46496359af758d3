//! The BSON guard, beside the `bson` crate's reader of raw documents.
#![no_main]

use bson::RawDocument;
use bson::raw::RawBsonRef;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use vdom_core::ErrorCode;
use vdom_core::document::{self, DocumentBuilder, Value, elements};
use vdom_core::limits::BSON_MAX_DEPTH;

/// Errors show at most this much of a field's path, escaped.
const MESSAGE_MAX_BYTES: usize = 4 << 10;

fuzz_target!(|data: &[u8]| check(data));

/// What the guard accepts, others read as well, to the last value and within the
/// depth; our own reader and builder give back the same bytes. What it refuses it
/// refuses with the place, and others refuse it too, but for its depth.
fn check(data: &[u8]) {
    let depth = RawDocument::from_bytes(data).ok().and_then(depth);
    match document::check(data) {
        Ok(()) => {
            let depth = depth.expect("what the guard accepts is a readable document");
            assert!(depth <= BSON_MAX_DEPTH, "{depth} levels");
            assert_eq!(rebuilt(data), data);
        }
        Err(error) => {
            assert!(depth.is_none_or(|depth| depth > BSON_MAX_DEPTH), "refused alone: {error}");
            assert_eq!(error.code, ErrorCode::InvalidArgument);
            assert!(error.message.len() <= MESSAGE_MAX_BYTES, "{} bytes", error.message.len());
            let place = error.message.strip_prefix("at byte ").expect("a place");
            let digits = place.bytes().take_while(u8::is_ascii_digit).count();
            let at: usize = place[..digits].parse().expect("a number");
            assert!(at <= data.len(), "byte {at} of {}", data.len());
        }
    }
}

/// How deep a document nests, itself included; `None` where a value cannot be read.
fn depth(document: &RawDocument) -> Option<usize> {
    deepest(document.iter().map(|element| element.ok().map(|(_, value)| value)))
}

fn deepest<'a>(values: impl Iterator<Item = Option<RawBsonRef<'a>>>) -> Option<usize> {
    let mut deepest = 0;
    for value in values {
        deepest = deepest.max(match value? {
            RawBsonRef::Document(document) => depth(document)?,
            RawBsonRef::JavaScriptCodeWithScope(code) => depth(code.scope)?,
            RawBsonRef::Array(array) => self::deepest(array.into_iter().map(Result::ok))?,
            _ => 0,
        });
    }
    Some(deepest + 1)
}

fn rebuilt(data: &[u8]) -> Bytes {
    let mut builder = DocumentBuilder::new();
    for element in elements(data) {
        let bytes = Bytes::copy_from_slice(element.value);
        builder.append_value(element.key, &Value { tag: element.tag, bytes });
    }
    builder.finish()
}
