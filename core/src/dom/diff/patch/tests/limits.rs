//! Small patches that ask for too much.

use serde_json::json;

use super::*;
use crate::document;
use crate::limits::BSON_MAX_DEPTH;

fn copies(from: &str, path: &str, times: usize) -> JsonPatch {
    let pointer = |text: &str| Pointer::parse(text).expect("a pointer");
    let copy = PatchOperation::Copy { from: pointer(from), path: pointer(path) };
    JsonPatch::new(vec![copy; times]).expect("well-formed")
}

#[test]
fn a_result_that_nests_too_deep_is_refused() {
    let deepest = document::tests::nested(BSON_MAX_DEPTH - 1);
    let apply = |path: &str| {
        let value = Value::document(Bytes::from(deepest.clone()));
        let add = PatchOperation::Add { path: Pointer::parse(path).expect("a pointer"), value };
        JsonPatch::new(vec![add]).expect("well-formed").apply(&to_bson(&json!({"a": {}})))
    };
    assert_eq!(document::check(&apply("/b").expect("at the limit")), Ok(()));
    let error = apply("/a/b").expect_err("beyond");
    assert!(error.message.contains("101 levels deep"), "{error}");
}

#[test]
fn copying_a_document_into_itself_ends() {
    let deep = copies("", "/a/a", 100_000).apply(&to_bson(&json!({"a": {}}))).expect_err("deep");
    assert_eq!(deep.code, ErrorCode::FailedPrecondition);
    assert!(deep.message.contains("levels deep"), "{deep}");
    // Doubles with each operation.
    let wide = copies("/a", "/a/-", 100).apply(&to_bson(&json!({"a": []}))).expect_err("wide");
    assert_eq!(wide.code, ErrorCode::TooLarge);
    assert!(wide.message.contains("too much work"), "{wide}");
}

#[test]
fn copying_large_values_ends_at_the_size_limit() {
    let document = to_bson(&json!({"a": "x".repeat(1 << 20), "list": []}));
    let error = copies("/a", "/list/-", 101).apply(&document).expect_err("too large");
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert!(error.message.contains("at most 104857600"), "{error}");
}

#[test]
fn work_is_bounded() {
    // 100,000 insertions at the start of an array of 400,000 items.
    let items: Vec<_> = vec![1; 400_000];
    let document = to_bson(&json!({ "a": items }));
    let add = PatchOperation::Add {
        path: Pointer::parse("/a/0").expect("a pointer"),
        value: Value::integer(1),
    };
    let patch = JsonPatch::new(vec![add; 100_000]).expect("well-formed");
    let error = patch.apply(&document).expect_err("too much");
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert!(error.message.contains("too much work, at operation "), "{error}");
}
