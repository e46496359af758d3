//! The guard, the reader and the builder.

mod corpus;
mod random;

use bytes::Bytes;
use proptest::test_runner::{Config as ProptestConfig, RngSeed};

use super::*;
use crate::error::ErrorCode;
use crate::limits::BSON_MAX_DEPTH;
pub(crate) use random::documents;

/// So many cases, the same ones in every run.
pub(crate) fn seeded(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(4), ..ProptestConfig::default() }
}

/// A document that nests so deep, itself included.
pub(crate) fn nested(depth: usize) -> Vec<u8> {
    const HEAD: usize = 4 + 3;
    let length = |levels: usize| (levels - 1) * (HEAD + 1) + EMPTY.len();
    let mut bytes = Vec::with_capacity(length(depth));
    for levels in (2..=depth).rev() {
        bytes.extend_from_slice(&length_of(length(levels)));
        bytes.extend_from_slice(&[tag::DOCUMENT, b'd', 0]);
    }
    bytes.extend_from_slice(&EMPTY);
    bytes.resize(length(depth), 0);
    bytes
}

/// A document with every type that BSON has.
fn every_type() -> Bytes {
    let mut inner = DocumentBuilder::new();
    inner.append_str("0", "item").append_null("1");
    let inner = inner.finish();
    let raw = |tag: u8, bytes: &[u8]| Value { tag, bytes: Bytes::copy_from_slice(bytes) };
    let mut code_with_scope = Vec::new();
    code_with_scope.extend_from_slice(&length_of(4 + 6 + inner.len()));
    code_with_scope.extend_from_slice(b"\x02\0\0\0x\0");
    code_with_scope.extend_from_slice(&inner);
    let mut document = DocumentBuilder::new();
    document
        .append_f64("double", 1.5)
        .append_str("string", "g\u{e4}be\0nul")
        .append_document("document", &inner)
        .append_array("array", &inner)
        .append_bytes("binary", b"\0\x01\x02")
        .append_value("old binary", &raw(tag::BINARY, b"\x06\0\0\0\x02\x02\0\0\0ab"))
        .append_value("undefined", &raw(tag::UNDEFINED, b""))
        .append_value("id", &raw(tag::OBJECT_ID, &[7; 12]))
        .append_bool("bool", true)
        .append_value("date", &raw(tag::DATETIME, &[1; 8]))
        .append_null("null")
        .append_value("regex", &raw(tag::REGEX, b"a+\0i\0"))
        .append_value("pointer", &raw(tag::DB_POINTER, b"\x02\0\0\0c\0abcdefghijkl"))
        .append_value("code", &raw(tag::CODE, b"\x02\0\0\0x\0"))
        .append_value("symbol", &raw(tag::SYMBOL, b"\x02\0\0\0x\0"))
        .append_value("scoped", &raw(tag::CODE_WITH_SCOPE, &code_with_scope))
        .append_i32("int32", -1)
        .append_value("timestamp", &raw(tag::TIMESTAMP, &[2; 8]))
        .append_i64("int64", i64::MIN)
        .append_value("decimal", &raw(tag::DECIMAL128, &[3; 16]))
        .append_value("max", &raw(tag::MAX_KEY, b""))
        .append_value("min", &raw(tag::MIN_KEY, b""));
    document.finish()
}

fn refused(bytes: &[u8]) -> String {
    let error = check(bytes).expect_err("must be refused");
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    error.message
}

#[test]
fn a_document_with_every_type_is_accepted_and_read_back() {
    let document = every_type();
    assert_eq!(check(&document), Ok(()));
    let mut again = DocumentBuilder::new();
    for element in elements(&document) {
        assert!(tag::name(element.tag).is_some());
        assert_eq!(&document[element.offset..][..element.value.len()], element.value);
        let bytes = Bytes::copy_from_slice(element.value);
        again.append_value(element.key, &Value { tag: element.tag, bytes });
    }
    assert_eq!(again.finish(), document);
}

#[test]
fn values_are_read_as_their_type_and_as_no_other() {
    let document = every_type();
    let find = |key: &str| elements(&document).find(|element| element.key == key).expect(key);
    assert_eq!(find("string").as_str(), Some("g\u{e4}be\0nul"));
    assert_eq!(find("symbol").as_str(), None);
    assert_eq!(find("binary").as_bytes(), Some(&b"\0\x01\x02"[..]));
    assert_eq!(find("binary").binary_subtype(), Some(0));
    assert_eq!(find("old binary").binary_subtype(), Some(2));
    assert_eq!(find("bool").as_bool(), Some(true));
    assert_eq!(find("int32").as_integer(), Some(-1));
    assert_eq!(find("int32").as_bool(), None);
    assert_eq!(find("int64").as_integer(), Some(i64::MIN));
    assert_eq!(find("double").as_integer(), None);
    assert_eq!(find("double").as_f64(), Some(1.5));
    assert_eq!(find("null").as_str(), None);
    assert!(find("array").as_document().is_none());
    let items: Vec<_> = find("array").elements().map(|item| item.key).collect();
    assert_eq!(items, ["0", "1"]);
    assert_eq!(find("string").elements().count(), 0);
}

#[test]
fn whole_doubles_are_integers_as_far_as_int64_reaches() {
    let whole = |number: f64| {
        let mut document = DocumentBuilder::new();
        document.append_f64("n", number);
        elements(&document.finish()).next().and_then(|element| element.as_integer())
    };
    assert_eq!(whole(3.0), Some(3));
    assert_eq!(whole(-0.0), Some(0));
    assert_eq!(whole(-9_223_372_036_854_775_808.0), Some(i64::MIN));
    assert_eq!(whole(9_223_372_036_854_775_808.0), None);
    assert_eq!(whole(0.5), None);
    assert_eq!(whole(f64::NAN), None);
    assert_eq!(whole(f64::INFINITY), None);
}

#[test]
fn a_document_cut_at_any_byte_is_refused() {
    let document = every_type();
    for length in 0..document.len() {
        assert!(check(&document[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let bytes = [&EMPTY[..], b"\0"].concat();
    assert_eq!(refused(&bytes), "at byte 0: document length 5 leaves 1 bytes after it");
}

#[test]
fn nesting_ends_at_the_limit() {
    assert_eq!(check(&nested(BSON_MAX_DEPTH)), Ok(()));
    assert_eq!(depth(&nested(BSON_MAX_DEPTH)), Ok(BSON_MAX_DEPTH));
    assert!(refused(&nested(BSON_MAX_DEPTH + 1)).contains("deeper than 100 levels"));
}

#[test]
fn a_million_levels_do_not_exhaust_the_stack() {
    assert!(refused(&nested(1_000_000)).contains("deeper than 100 levels"));
}

#[test]
fn the_scope_of_code_counts_as_a_level() {
    let scope = nested(BSON_MAX_DEPTH);
    let mut value = length_of(10 + scope.len()).to_vec();
    value.extend_from_slice(b"\x02\0\0\0x\0");
    value.extend_from_slice(&scope);
    let mut document = DocumentBuilder::new();
    let value = Value { tag: tag::CODE_WITH_SCOPE, bytes: Bytes::from(value) };
    document.append_value("c", &value);
    assert!(refused(&document.finish()).contains("deeper than 100 levels"));
}

#[test]
fn errors_say_what_and_where() {
    let diff = crate::dom::diff::Diff::text(&[crate::dom::diff::TextOperation::insert("word")]);
    let text = diff.windows(5).position(|bytes| bytes == b"word\0").expect("is there");
    let with = |at: usize, bytes: &[u8]| {
        let mut damaged = diff.to_vec();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        refused(&damaged)
    };
    let length_at = text - 4;
    let field = "(ops.0.i)";
    assert_eq!(
        with(length_at, &4096i32.to_le_bytes()),
        format!("at byte {length_at} {field}: string length 4096 exceeds the document")
    );
    assert_eq!(
        with(length_at, &(-5i32).to_le_bytes()),
        format!("at byte {length_at} {field}: string length -5 is negative")
    );
    assert_eq!(
        with(text + 1, b"\xff"),
        format!("at byte {} {field}: the string is not valid UTF-8 from here on", text + 1)
    );
    assert_eq!(
        with(text + 4, b"!"),
        format!("at byte {} {field}: the string does not end with NUL", text + 4)
    );
    assert_eq!(
        with(length_at - 3, b"\x2a"),
        format!(
            "at byte {} {field}: 0x2a is not a BSON type (01 to 13, 7f and ff are)",
            length_at - 3
        )
    );
}

#[test]
fn errors_stay_short_whatever_the_keys_are() {
    let mut inner = DocumentBuilder::new();
    inner.append_value(&"k".repeat(100_000), &Value { tag: 0x2a, bytes: Bytes::new() });
    let mut document = inner.finish();
    for _ in 0..50 {
        let mut outer = DocumentBuilder::new();
        outer.append_document(&"\u{1}long".repeat(40), &document);
        document = outer.finish();
    }
    assert!(refused(&document).len() < 1_000);
}

#[test]
#[should_panic(expected = "cannot contain NUL")]
fn a_key_with_nul_is_not_built() {
    DocumentBuilder::new().append_null("a\0b");
}
