//! The six kinds of diffs: read, written, applied.

use std::collections::BTreeMap;

use super::*;
use crate::document::{self, DocumentBuilder, Value};
use crate::dom::node::NodeKind;
use crate::error::ErrorCode;
use crate::identifiers::Hash;
use crate::limits::{CHUNK_BYTES, CONTENT_MAX_BYTES, DIFF_MAX_OPERATIONS};

fn path(text: &str) -> NodePath {
    NodePath::parse(text).expect("a path")
}

fn build(fill: impl FnOnce(&mut DocumentBuilder) -> &mut DocumentBuilder) -> Bytes {
    let mut document = DocumentBuilder::new();
    fill(&mut document);
    document.finish()
}

/// A diff of this kind with fields of its own.
fn diff(kind: &str, fill: impl FnOnce(&mut DocumentBuilder) -> &mut DocumentBuilder) -> Bytes {
    build(|diff| fill(diff.append_str("t", kind)))
}

fn refused(bytes: &Bytes) -> String {
    let error = Diff::parse(bytes).expect_err("must be refused");
    assert_eq!(error.code, ErrorCode::InvalidArgument, "{error}");
    assert!(error.message.starts_with("diff_bson: at byte "), "{error}");
    error.message
}

fn attributes(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn apply_to(kind: NodeKind, content: &[u8], diff: &Bytes) -> Result<Applied> {
    let diff = Diff::parse(diff)?;
    apply(&diff, kind, &Bytes::copy_from_slice(content), &attributes(&[("mode", "644")]))
}

fn content_after(kind: NodeKind, content: &[u8], diff: &Bytes) -> Bytes {
    match apply_to(kind, content, diff).expect("applies").content {
        NewContent::Bytes(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn put_of_a_file_shares_the_bytes_of_the_diff() {
    let bytes = Diff::put_file(b"content");
    let Diff::Put(PutContent::Bytes(content)) = Diff::parse(&bytes).expect("valid") else {
        panic!("not a put of bytes");
    };
    assert_eq!(&content[..], b"content");
    assert!(bytes.as_ptr_range().contains(&content.as_ptr()), "copied");
    assert_eq!(content_after(NodeKind::File, b"old", &bytes), "content");
}

#[test]
fn put_of_a_document_shares_the_bytes_of_the_diff() {
    let document = build(|document| document.append_i64("n", 1));
    let bytes = Diff::put_document(&document);
    let Diff::Put(PutContent::Document(content)) = Diff::parse(&bytes).expect("valid") else {
        panic!("not a put of a document");
    };
    assert_eq!(content, document);
    assert!(bytes.as_ptr_range().contains(&content.as_ptr()), "copied");
    assert_eq!(content_after(NodeKind::Meta, &document::EMPTY, &bytes), document);
}

#[test]
fn text_is_read_as_it_was_written() {
    let operations =
        [TextOperation::Retain(1), TextOperation::insert("\u{e4}\0"), TextOperation::Delete(1)];
    let bytes = Diff::text(&operations);
    assert_eq!(Diff::parse(&bytes), Ok(Diff::Text(TextEdit::new(operations.to_vec()))));
    assert_eq!(content_after(NodeKind::File, b"abc", &bytes), "a\u{e4}\0c");
}

#[test]
fn counts_may_be_of_any_number_type_but_whole_and_not_negative() {
    let with = |fill: fn(&mut DocumentBuilder) -> &mut DocumentBuilder| {
        diff("text", |diff| {
            let list = build(|list| list.append_document("0", &build(fill)));
            diff.append_array("ops", &list)
        })
    };
    let retain = Ok(Diff::Text(TextEdit::new(vec![TextOperation::Retain(3)])));
    for bytes in [
        with(|operation| operation.append_i32("r", 3)),
        with(|operation| operation.append_i64("r", 3)),
        with(|operation| operation.append_f64("r", 3.0)),
    ] {
        assert_eq!(Diff::parse(&bytes), retain);
    }
    let negative = refused(&with(|operation| operation.append_i32("d", -3)));
    assert!(
        negative
            .ends_with("(ops.0.d): expected a whole number of bytes, 0 or more, found int32 -3"),
        "{negative}"
    );
    let half = refused(&with(|operation| operation.append_f64("r", 0.5)));
    assert!(half.ends_with("found double 0.5"), "{half}");
    let text = refused(&with(|operation| operation.append_str("r", "3")));
    assert!(text.ends_with("found string"), "{text}");
    let unknown = refused(&with(|operation| operation.append_i32("x", 3)));
    assert!(
        unknown.contains("(ops.0.x): unknown operation, allowed here: {r: bytes}"),
        "{unknown}"
    );
    let none = refused(&with(|operation| operation));
    assert!(none.contains("(ops.0): an operation has one field"), "{none}");
    let two = refused(&with(|operation| operation.append_i32("r", 1).append_i32("d", 1)));
    assert!(two.contains("(ops.0): an operation has one field"), "{two}");
}

#[test]
fn patch_is_read_as_it_was_written() {
    let pointer = |text: &str| Pointer::parse(text).expect("a pointer");
    let operations = vec![
        PatchOperation::Test { path: pointer("/a"), value: Value::integer(1) },
        PatchOperation::Add { path: pointer("/b~1c"), value: Value::string("x") },
        PatchOperation::Replace { path: pointer("/a"), value: Value::string("y") },
        PatchOperation::Copy { from: pointer("/a"), path: pointer("/d") },
        PatchOperation::Move { from: pointer("/d"), path: pointer("/e") },
        PatchOperation::Remove { path: pointer("/a") },
    ];
    let bytes = Diff::patch(&operations);
    let patch = JsonPatch::new(operations).expect("well-formed");
    assert_eq!(Diff::parse(&bytes), Ok(Diff::Patch(patch)));
    let before = build(|document| document.append_i32("a", 1));
    let after = build(|document| document.append_str("b/c", "x").append_str("e", "y"));
    assert_eq!(content_after(NodeKind::Intent, &before, &bytes), after);
}

#[test]
fn attributes_are_set_and_unset() {
    let bytes = Diff::attributes([("owner", "anna")], ["mode", "absent"]).expect("valid");
    let applied = apply_to(NodeKind::File, b"", &bytes).expect("applies");
    assert_eq!(applied.attributes, Some(attributes(&[("owner", "anna")])));
    assert_eq!(applied.content, NewContent::Unchanged);
    assert!(Diff::attributes([("a\0b", "")], []).is_err());
}

#[test]
fn attributes_are_limited() {
    let names: Vec<_> = (0..65).map(|number| number.to_string()).collect();
    let set = |count: usize| {
        let entries = names[..count].iter().map(|name| (name.as_str(), ""));
        Diff::attributes(entries, []).expect("valid")
    };
    assert!(refused(&set(65)).contains("65 attributes, at most 64 are allowed"));
    let full = apply_to(NodeKind::File, b"", &set(64)).expect_err("65 with mode");
    assert_eq!(full.code, ErrorCode::TooLarge);
    let long = "x".repeat(8 << 10);
    let large = Diff::attributes([("name", long.as_str())], []).expect("valid");
    assert!(refused(&large).contains("attributes of 8196 bytes"));
    let both = Diff::attributes([("a", "")], ["a"]).expect("valid");
    assert!(refused(&both).contains("\"a\" is both set and unset"));
    assert!(refused(&diff("attr", |diff| diff)).contains("needs `set`, `unset` or both"));
    let number = diff("attr", |diff| {
        let set = build(|set| set.append_i32("mode", 420));
        diff.append_document("set", &set)
    });
    assert!(refused(&number).contains("(set.mode): expected a string, found int32 420"));
}

#[test]
fn delete_leaves_a_tombstone_without_content() {
    let applied = apply_to(NodeKind::Meta, b"whatever", &Diff::delete()).expect("applies");
    assert!(applied.deleted);
    assert_eq!(applied.content, NewContent::Bytes(Bytes::new()));
}

#[test]
fn rename_moves_and_may_edit() {
    let moved = apply_to(NodeKind::File, b"x", &Diff::rename(&path("new"), None)).expect("applies");
    assert_eq!((moved.path, moved.content), (Some(path("new")), NewContent::Unchanged));
    let then = Diff::text(&[TextOperation::insert("y")]);
    let edited = apply_to(NodeKind::File, b"x", &Diff::rename(&path("new"), Some(&then)));
    let edited = edited.expect("applies");
    assert_eq!(edited.path, Some(path("new")));
    assert_eq!(edited.content, NewContent::Bytes(Bytes::from_static(b"yx")));
}

#[test]
fn rename_takes_no_rename_no_deletion_and_no_bad_path() {
    for inner in [Diff::delete(), Diff::rename(&path("b"), None)] {
        let why = refused(&Diff::rename(&path("a"), Some(&inner)));
        assert!(why.contains("(then.t): ") && why.contains("put, text, patch or attr"), "{why}");
    }
    let bad = diff("rename", |diff| diff.append_str("to", "a/../b"));
    assert!(refused(&bad).contains("(to): path `a/../b` has the segment `..`"));
    assert!(refused(&diff("rename", |diff| diff)).contains("the field `to` is missing"));
}

#[test]
fn what_is_not_a_diff_says_what_stands_there_and_what_may() {
    let none = refused(&build(|diff| diff));
    assert!(none.contains("the field `t` is missing: it names the kind, put, text"), "{none}");
    let unknown = refused(&diff("append", |diff| diff));
    assert!(unknown.contains("(t): \"append\" is not one of put, text, patch"), "{unknown}");
    let number = refused(&build(|diff| diff.append_i32("t", 1)));
    assert!(number.contains("(t): expected a string, found int32 1"), "{number}");
    let more = refused(&diff("delete", |diff| diff.append_i32("v", 1)));
    assert!(more.contains("(v): unknown field, allowed here: t"), "{more}");
    let twice = refused(&diff("put", |diff| diff.append_bytes("v", b"").append_null("v")));
    assert!(twice.contains("(v): the field stands here twice"), "{twice}");
    let empty = refused(&diff("put", |diff| diff));
    assert!(empty.contains("the field `v` is missing"), "{empty}");
    let text = refused(&diff("put", |diff| diff.append_str("v", "text")));
    assert!(text.contains("(v): expected a binary (FILE) or a document, found string"), "{text}");
    let list = refused(&diff("text", |diff| diff.append_str("ops", "")));
    assert!(list.contains("(ops): expected an array, found string"), "{list}");
    let uuid = Value { tag: document::tag::BINARY, bytes: Bytes::from_static(&[0, 0, 0, 0, 4]) };
    let uuid = refused(&diff("put", |diff| diff.append_value("v", &uuid)));
    assert!(uuid.contains("subtype 4"), "{uuid}");
    assert!(refused(&Bytes::from_static(b"{}")).contains("no room for the document's length"));
}

#[test]
fn the_kind_may_stand_anywhere() {
    let last = build(|diff| diff.append_bytes("v", b"x").append_str("t", "put"));
    assert!(Diff::parse(&last).is_ok());
}

#[test]
fn too_many_operations_are_too_large() {
    let bytes = Diff::text(&vec![TextOperation::Retain(0); DIFF_MAX_OPERATIONS + 1]);
    assert_eq!(Diff::parse(&bytes).expect_err("too many").code, ErrorCode::TooLarge);
}

#[test]
fn staged_chunks_are_a_stored_form_alone() {
    let chunks = vec![
        ContentChunk { hash: Hash([1; 32]), length: CHUNK_BYTES as u32 },
        ContentChunk { hash: Hash([2; 32]), length: 7 },
    ];
    let bytes = Diff::stored_chunks(&chunks);
    let stored = Diff::parse_stored(&bytes).expect("stored");
    assert_eq!(stored, Diff::Put(PutContent::Chunks(chunks.clone())));
    assert!(refused(&bytes).contains("(c): unknown field"));
    let applied = apply(&stored, NodeKind::Meta, &Bytes::new(), &BTreeMap::new());
    assert_eq!(applied.expect("applies").content, NewContent::Chunks(chunks));
    let renamed = Diff::parse_stored(&Diff::rename(&path("a"), Some(&bytes)));
    assert!(matches!(renamed, Ok(Diff::Rename { then: Some(_), .. })));
}

#[test]
fn stored_diffs_that_cannot_be_read_are_data_loss() {
    let large = ContentChunk { hash: Hash([1; 32]), length: CHUNK_BYTES as u32 + 1 };
    for bytes in [Diff::stored_chunks(&[large]), Bytes::from_static(b"damaged")] {
        let error = Diff::parse_stored(&bytes).expect_err("damaged");
        assert_eq!(error.code, ErrorCode::DataLoss);
        assert!(error.context.is_some());
    }
    assert!(Diff::parse_stored(&Diff::put_file(b"x")).is_ok());
}

#[test]
fn a_kind_of_node_takes_its_kinds_of_diffs() {
    let document = Diff::put_document(&document::EMPTY);
    let (file, text, patch) = (Diff::put_file(b""), Diff::text(&[]), Diff::patch(&[]));
    for (kind, content, takes, refuses) in [
        (NodeKind::File, &b""[..], [&file, &text], [&document, &patch]),
        (NodeKind::Intent, &document::EMPTY[..], [&document, &patch], [&file, &text]),
        (NodeKind::Meta, &document::EMPTY[..], [&document, &patch], [&file, &text]),
    ] {
        for diff in takes {
            assert!(apply_to(kind, content, diff).is_ok());
        }
        for diff in refuses {
            let error = apply_to(kind, content, diff).expect_err("wrong kind");
            assert_eq!(error.code, ErrorCode::InvalidArgument);
            assert!(error.message.contains("does not take a"), "{error}");
            let renamed = Diff::rename(&path("b"), Some(diff));
            assert!(apply_to(kind, content, &renamed).is_err());
        }
    }
}

#[test]
fn content_above_the_limit_is_too_large() {
    let pieces = CONTENT_MAX_BYTES as usize / CHUNK_BYTES + 1;
    let chunk = ContentChunk { hash: Hash([1; 32]), length: CHUNK_BYTES as u32 };
    let put = Diff::Put(PutContent::Chunks(vec![chunk; pieces]));
    let error = apply(&put, NodeKind::File, &Bytes::new(), &BTreeMap::new());
    assert_eq!(error.expect_err("too large").code, ErrorCode::TooLarge);
}

#[test]
fn a_diff_says_what_it_needs_and_what_it_may_make() {
    let parse = |bytes: Bytes| Diff::parse(&bytes).expect("valid");
    let text = Diff::text(&[]);
    assert!(parse(text.clone()).needs_content());
    assert!(parse(Diff::patch(&[])).needs_content());
    assert!(parse(Diff::rename(&path("a"), Some(&text))).needs_content());
    assert!(!parse(Diff::rename(&path("a"), None)).needs_content());
    assert!(!parse(Diff::put_file(b"")).needs_content());
    assert!(parse(Diff::put_file(b"")).creates());
    for diff in [text, Diff::delete(), Diff::rename(&path("a"), None)] {
        assert!(!parse(diff).creates());
    }
}

#[test]
fn a_diff_cut_or_damaged_anywhere_is_refused_or_another_diff() {
    let then = Diff::text(&[TextOperation::Retain(1), TextOperation::insert("x")]);
    let bytes = Diff::rename(&path("a/b"), Some(&then));
    for at in 0..bytes.len() {
        assert!(Diff::parse(&bytes.slice(..at)).is_err(), "cut at {at}");
        for byte in [0, 1, 4, 0x7f, 0xff] {
            let mut damaged = bytes.to_vec();
            damaged[at] = byte;
            if let Ok(diff) = Diff::parse(&Bytes::from(damaged)) {
                let _ = apply(&diff, NodeKind::File, &Bytes::new(), &BTreeMap::new());
            }
        }
    }
}

#[test]
fn attributes_may_come_with_an_edit_of_the_content() {
    let put = Diff::put_file(b"#!/bin/sh");
    let diff = Diff::attributes_then([("mode", "100755")], ["stale"], Some(&put)).expect("valid");
    let parsed = Diff::parse(&diff).expect("readable");
    assert!(parsed.creates() && !parsed.needs_content());
    let before = BTreeMap::from([("stale".to_owned(), "1".to_owned())]);
    let applied = apply(&parsed, NodeKind::File, &Bytes::new(), &before).expect("applied");
    assert_eq!(applied.content, NewContent::Bytes(Bytes::from_static(b"#!/bin/sh")));
    assert_eq!(
        applied.attributes,
        Some(BTreeMap::from([("mode".to_owned(), "100755".to_owned())]))
    );

    let target = NodePath::parse("bin/run").expect("valid");
    let moved = Diff::parse(&Diff::rename(&target, Some(&diff))).expect("readable");
    let applied = apply(&moved, NodeKind::File, &Bytes::new(), &before).expect("applied");
    assert_eq!(applied.path, Some(target));
    assert!(applied.attributes.is_some() && !moved.creates());

    for within in [Diff::delete(), Diff::attributes([("a", "b")], []).expect("valid")] {
        let refused = Diff::attributes_then([("mode", "1")], [], Some(&within)).expect("built");
        let error = Diff::parse(&refused).expect_err("only an edit of the content");
        assert!(error.message.contains("put, text or patch"), "{error}");
    }
}

#[test]
fn staged_chunks_stand_where_the_put_stood() {
    let chunks = [ContentChunk { hash: Hash([7; 32]), length: 5 }];
    let put = Diff::put_file(b"large");
    let nested = Diff::attributes_then([("mode", "100755")], [], Some(&put)).expect("valid");
    let target = NodePath::parse("to").expect("valid");
    for diff in [put, nested.clone(), Diff::rename(&target, Some(&nested))] {
        let diff = Diff::parse(&diff).expect("readable");
        let stored = diff.stored_with_chunks(&chunks).expect("a put");
        let stored = Diff::parse_stored(&stored).expect("readable");
        assert_eq!(stored.put(), Some(&PutContent::Chunks(chunks.to_vec())));
        assert_eq!(stored.kind_name(), diff.kind_name());
    }
    assert!(Diff::Delete.stored_with_chunks(&chunks).is_err());
}
