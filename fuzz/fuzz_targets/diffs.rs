//! Diffs as clients send them: read, written again, applied to any content, composed,
//! taken back and merged.
#![no_main]

use std::collections::BTreeMap;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use vdom_core::dom::diff::{Applied, Diff, NewContent, PutContent, TextEdit, apply};
use vdom_core::dom::merge::{Merged, merge};
use vdom_core::limits::{CONTENT_MAX_BYTES, METADATA_MAX_BYTES, METADATA_MAX_ENTRIES};
use vdom_core::{ErrorCode, NodeKind, document};
use vdom_fuzz::input::{byte, part};

fuzz_target!(|data: &[u8]| check(data));

/// The input is a kind, the content of a node, and two diffs of it; each but the last
/// with its length.
fn check(mut data: &[u8]) {
    let kind = [NodeKind::File, NodeKind::Intent, NodeKind::Meta][usize::from(byte(&mut data) % 3)];
    let content = Bytes::copy_from_slice(part(&mut data));
    let first = Bytes::copy_from_slice(part(&mut data));
    let second = Bytes::copy_from_slice(data);
    let diffs = [&first, &second].map(read);
    texts(&content, [&first, &second]);
    if kind.is_document() && document::check(&content).is_err() {
        return;
    }
    let diffs = diffs.map(|diff| diff.and_then(|diff| applied(&diff, kind, &content)));
    let [Some(first), Some(second)] = diffs else { return };
    if first.deleted || second.deleted {
        return;
    }
    if let (NewContent::Bytes(first), NewContent::Bytes(second)) = (first.content, second.content) {
        merges(kind, &content, &first, &second);
    }
}

/// Reads a diff. One that can be read is written as bytes that read the same, to a
/// client and to the store.
fn read(bytes: &Bytes) -> Option<Diff> {
    let diff = match Diff::parse(bytes) {
        Ok(diff) => diff,
        Err(error) => {
            assert!(matches!(error.code, ErrorCode::InvalidArgument | ErrorCode::TooLarge));
            assert!(error.message.starts_with("diff_bson: "), "{error}");
            return None;
        }
    };
    assert_eq!(document::check(bytes), Ok(()));
    let built = build(&diff);
    assert_eq!(Diff::parse(&built).as_ref(), Ok(&diff));
    assert_eq!(Diff::parse_stored(bytes).as_ref(), Ok(&diff));
    assert_eq!(build(&Diff::parse(&built).expect("read once")), built);
    Some(diff)
}

fn build(diff: &Diff) -> Bytes {
    match diff {
        Diff::Put(PutContent::Bytes(content)) => Diff::put_file(content),
        Diff::Put(PutContent::Document(document)) => Diff::put_document(document),
        Diff::Put(PutContent::Chunks(_) | PutContent::DocumentChunks(_)) => {
            panic!("no client sends chunks of the store")
        }
        Diff::Text(edit) => Diff::text(edit.operations()),
        Diff::Patch(patch) => Diff::patch(patch.operations()),
        Diff::Attributes { edit, then } => {
            let set = edit.set.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let unset = edit.unset.iter().map(String::as_str);
            let then = then.as_deref().map(build);
            Diff::attributes_then(set, unset, then.as_ref()).expect("names that were read")
        }
        Diff::Delete => Diff::delete(),
        Diff::Rename { to, then } => Diff::rename(to, then.as_deref().map(build).as_ref()),
    }
}

/// Applies a diff: what comes out is again a node within the limits.
fn applied(diff: &Diff, kind: NodeKind, content: &Bytes) -> Option<Applied> {
    let applied = match apply(diff, kind, content, &BTreeMap::new()) {
        Ok(applied) => applied,
        Err(error) => {
            assert!(matches!(
                error.code,
                ErrorCode::InvalidArgument | ErrorCode::FailedPrecondition | ErrorCode::TooLarge
            ));
            return None;
        }
    };
    assert_eq!(applied.deleted, *diff == Diff::Delete);
    assert_eq!(applied.path.is_some(), matches!(diff, Diff::Rename { .. }));
    if let NewContent::Bytes(bytes) = &applied.content {
        assert!(bytes.len() as u64 <= CONTENT_MAX_BYTES);
        assert!(applied.deleted || !kind.is_document() || document::check(bytes).is_ok());
    }
    if let Some(attributes) = &applied.attributes {
        let bytes: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(attributes.len() <= METADATA_MAX_ENTRIES && bytes <= METADATA_MAX_BYTES);
    }
    Some(applied)
}

/// Edits of text: one after the other is as both at once, and each can be taken back.
fn texts(content: &Bytes, diffs: [&Bytes; 2]) {
    let Ok(text) = std::str::from_utf8(content) else { return };
    let [Ok(Diff::Text(first)), Ok(Diff::Text(second))] = diffs.map(Diff::parse) else { return };
    let Some(between) = edited(&first, text) else { return };
    let composed = first.compose(&second);
    if let Some(after) = edited(&second, &between) {
        let composed = composed.expect("edits that fit one another");
        assert_eq!(edited(&composed, text).as_deref(), Some(&*after));
        assert_eq!(taken_back(&composed, text, &after), text);
        assert_eq!(edited(&TextEdit::between(text, &after), text), Some(after));
    }
    assert_eq!(taken_back(&first, text, &between), text);
}

fn edited(edit: &TextEdit, text: &str) -> Option<String> {
    let bytes = edit.apply(text.as_bytes()).ok()?;
    Some(String::from_utf8(bytes.into()).expect("an edit of text gives text"))
}

fn taken_back(edit: &TextEdit, text: &str, after: &str) -> String {
    let inverse = edit.invert(text).expect("an edit that applied");
    edited(&inverse, after).expect("the inverse applies")
}

/// A merge does not depend on who was first, and where one side did nothing it is the
/// other.
fn merges(kind: NodeKind, base: &Bytes, first: &Bytes, second: &Bytes) {
    let merged =
        |current, proposed| merge(kind, base, current, proposed).expect("readable contents");
    let (one_way, other_way) = (merged(first, second), merged(second, first));
    match (one_way, other_way) {
        (Merged::Clean(one), Merged::Clean(other)) => {
            assert_eq!(one.is_empty(), other.is_empty());
            if kind == NodeKind::File {
                assert_eq!(one, other);
            } else {
                assert_eq!(document::check(&one), Ok(()));
            }
        }
        (Merged::Conflicting(hunks), Merged::Conflicting(others)) => {
            assert!(!hunks.is_empty() && !others.is_empty());
        }
        (one, other) => panic!("clean one way alone: {one:?}, {other:?}"),
    }
    for side in [first, second] {
        assert_eq!(merged(side, base), Merged::Clean(side.clone()));
        assert_eq!(merged(base, side), Merged::Clean(side.clone()));
        assert_eq!(merged(side, side), Merged::Clean(side.clone()));
    }
}
