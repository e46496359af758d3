//! What JSON does not have: BSON's types, the order of fields, the root.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::document::{self, elements};

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).expect("a pointer")
}

fn raw(tag: u8, bytes: &[u8]) -> Value {
    Value { tag, bytes: Bytes::copy_from_slice(bytes) }
}

/// A document of values that JSON cannot say, in an order of its own.
fn document() -> Bytes {
    let mut inner = DocumentBuilder::new();
    inner
        .append_i64("long", 1)
        .append_value("decimal", &raw(tag::DECIMAL128, &[9; 16]))
        .append_value("date", &raw(tag::DATETIME, &[8; 8]));
    let mut document = DocumentBuilder::new();
    document
        .append_bytes("z", b"\0\xff")
        .append_document("inner", &inner.finish())
        .append_i32("n", 7)
        .append_f64("a", 0.1);
    document.finish()
}

fn fields(document: &[u8]) -> Vec<(String, u8, Vec<u8>)> {
    elements(document).map(|e| (e.key.to_owned(), e.tag, e.value.to_vec())).collect()
}

fn patch(operations: Vec<PatchOperation>) -> JsonPatch {
    JsonPatch::new(operations).expect("well-formed")
}

fn test(path: &str, value: Value) -> JsonPatch {
    patch(vec![PatchOperation::Test { path: pointer(path), value }])
}

#[test]
fn untouched_elements_keep_their_bytes_and_their_place() {
    let value = Value::string("new");
    let changed = patch(vec![
        PatchOperation::Replace { path: pointer("/n"), value: value.clone() },
        PatchOperation::Add { path: pointer("/inner/more"), value },
    ])
    .apply(&document())
    .expect("fits");
    assert_eq!(document::check(&changed), Ok(()));
    let (before, after) = (fields(&document()), fields(&changed));
    assert_eq!(after.iter().map(|field| &*field.0).collect::<Vec<_>>(), ["z", "inner", "n", "a"]);
    assert_eq!((&after[0], &after[3]), (&before[0], &before[3]));
    let (before, after) = (fields(&before[1].2), fields(&after[1].2));
    assert_eq!(after[..3], before[..]);
    assert_eq!(after[3].0, "more");
}

#[test]
fn a_patch_of_tests_alone_changes_nothing() {
    let tested = test("/inner/long", Value::integer(1)).apply(&document());
    assert_eq!(tested, Ok(document()));
}

#[test]
fn numbers_are_equal_by_value_across_their_types() {
    let holds = |path: &str, value: Value| test(path, value).apply(&document()).is_ok();
    assert!(holds("/n", raw(tag::INT64, &7i64.to_le_bytes())));
    assert!(holds("/n", raw(tag::DOUBLE, &7f64.to_le_bytes())));
    assert!(holds("/inner/long", raw(tag::INT32, &1i32.to_le_bytes())));
    assert!(!holds("/n", raw(tag::DOUBLE, &7.5f64.to_le_bytes())));
    assert!(!holds("/n", Value::string("7")));
    assert!(holds("/a", raw(tag::DOUBLE, &0.1f64.to_le_bytes())));
    assert!(holds("/inner/decimal", raw(tag::DECIMAL128, &[9; 16])));
    assert!(!holds("/inner/decimal", raw(tag::DECIMAL128, &[1; 16])));
    // 2^53 + 1 is no double: neither number may stand for the other.
    let mut large = DocumentBuilder::new();
    large.append_i64("n", (1 << 53) + 1);
    let large = large.finish();
    let double = raw(tag::DOUBLE, &9_007_199_254_740_992f64.to_le_bytes());
    assert!(test("/n", double).apply(&large).is_err());
}

#[test]
fn documents_are_equal_whatever_the_order_of_their_fields() {
    let reversed = |document: &[u8]| {
        let mut reversed = DocumentBuilder::new();
        let mut all: Vec<_> = elements(document).collect();
        all.reverse();
        for element in all {
            reversed.append_value(element.key, &raw(element.tag, element.value));
        }
        reversed.finish()
    };
    let other_order = reversed(&document());
    assert_ne!(other_order, document());
    let holds = |value: Bytes| test("", Value::document(value)).apply(&document()).is_ok();
    assert!(holds(other_order));
    assert!(!holds(Bytes::from_static(&document::EMPTY)));
    let lists = json!({"a": [1, 2]});
    let swapped = json!([{"op": "test", "path": "/a", "value": [2, 1]}]);
    assert!(apply(&lists, &swapped).is_err());
}

#[test]
fn the_root_can_be_replaced_and_tested_but_stays_a_document() {
    let replaced = json!([{"op": "replace", "path": "", "value": {"b": 2}}]);
    assert_eq!(apply(&json!({"a": 1}), &replaced), Ok(json!({"b": 2})));
    let added = json!([{"op": "add", "path": "", "value": {}}]);
    assert_eq!(apply(&json!({"a": 1}), &added), Ok(json!({})));
    let lifted = json!([{"op": "copy", "from": "/a", "path": ""}]);
    assert_eq!(apply(&json!({"a": {"c": 1}}), &lifted), Ok(json!({"c": 1})));
    let into_itself = json!([{"op": "copy", "from": "", "path": "/a/b"}]);
    assert_eq!(apply(&json!({"a": {}}), &into_itself), Ok(json!({"a": {"b": {"a": {}}}})));
    let refused = |operations: Json| {
        apply(&json!({"a": 1}), &operations).expect_err(&operations.to_string()).code
    };
    assert_eq!(refused(json!([{"op": "remove", "path": ""}])), ErrorCode::InvalidArgument);
    assert_eq!(
        refused(json!([{"op": "replace", "path": "", "value": [1]}])),
        ErrorCode::InvalidArgument
    );
    assert_eq!(
        refused(json!([{"op": "move", "from": "/a", "path": ""}])),
        ErrorCode::FailedPrecondition
    );
}

#[test]
fn a_malformed_operation_is_refused_with_its_place() {
    let refused = |operation: Json| {
        let error = parse(&json!([{"op": "remove", "path": "/a"}, operation]))
            .expect_err(&operation.to_string());
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        assert!(error.message.starts_with("diff_bson: at byte "), "{error}");
        error.message
    };
    let spam = refused(json!({"op": "spam", "path": "/a"}));
    assert!(spam.contains("(ops.1.op): \"spam\" is not one of add, remove"), "{spam}");
    assert!(refused(json!({"op": "add", "path": "/a"})).contains("`value` is missing"));
    assert!(refused(json!({"op": "move", "path": "/a"})).contains("`from` is missing"));
    assert!(refused(json!({"op": "remove"})).contains("`path` is missing"));
    assert!(refused(json!({"path": "/a"})).contains("`op` is missing"));
    assert!(refused(json!({"op": 1, "path": "/a"})).contains("expected a string, found int64 1"));
    assert!(refused(json!({"op": "remove", "path": "a"})).contains("start with `/`"));
    assert!(refused(json!({"op": "remove", "path": "/~2"})).contains("followed by 0 or 1"));
    assert!(refused(json!({"op": "remove", "path": "/a\0"})).contains("contains NUL"));
    let within = refused(json!({"op": "move", "from": "/a", "path": "/a/b"}));
    assert!(within.contains("a place within itself"), "{within}");
    assert!(refused(json!("remove")).contains("(ops.1): expected a document, found string"));
}

#[test]
fn a_member_that_stands_twice_is_refused() {
    let mut operation = DocumentBuilder::new();
    operation.append_str("op", "add").append_str("path", "/a").append_null("value");
    operation.append_str("op", "remove");
    let mut list = DocumentBuilder::new();
    list.append_document("0", &operation.finish());
    let mut diff = DocumentBuilder::new();
    diff.append_str("t", "patch").append_array("ops", &list.finish());
    let error = Diff::parse(&diff.finish()).expect_err("twice");
    assert!(error.message.contains("(ops.0.op): the member stands here twice"), "{error}");
}

#[test]
fn positions_are_written_as_rfc_6901_says() {
    let list = json!({"a": [1, 2]});
    for (position, why) in [
        ("2", "beyond the array's end"),
        ("01", "no position"),
        ("-1", "no position"),
        ("1e0", "no position"),
        ("", "no position"),
        ("-", "no position"),
        ("99999999999999999999999", "beyond the array's end"),
    ] {
        let path = format!("/a/{position}");
        let error = apply(&list, &json!([{"op": "remove", "path": path}])).expect_err(position);
        assert_eq!(error.code, ErrorCode::FailedPrecondition);
        assert!(error.message.contains(why), "{error}");
    }
    let appended = json!([{"op": "add", "path": "/a/2", "value": 3}]);
    assert_eq!(apply(&list, &appended), Ok(json!({"a": [1, 2, 3]})));
}

#[test]
fn pointers_are_written_as_they_were_read() {
    for text in ["", "/", "/a/0/-", "/~0~1/m~0n", "/ /\u{e4}//"] {
        assert_eq!(pointer(text).to_string(), text);
    }
    assert_eq!(pointer("/~01").tokens(), ["~1"]);
}

#[test]
fn a_patch_that_fails_late_changes_nothing() {
    let operations = json!([
        {"op": "add", "path": "/b", "value": 2},
        {"op": "remove", "path": "/missing"}
    ]);
    let error = apply(&json!({"a": 1}), &operations).expect_err("fails");
    assert!(error.message.contains("patch operation 1 (remove \"/missing\")"), "{error}");
}

proptest! {
    #![proptest_config(crate::document::tests::seeded(512))]

    #[test]
    fn patches_never_panic_and_leave_valid_documents(
        document in crate::document::tests::documents(),
        value in crate::document::tests::documents(),
        steps in prop::collection::vec((0..6u8, "(/[a-d0-2-]{0,2}){0,3}", "(/[a-d]{0,2}){0,3}"), 0..8),
    ) {
        for (kind, path, from) in steps {
            let (path, from) = (pointer(&path), pointer(&from));
            let value = Value::document(value.clone());
            let operation = match kind {
                0 => PatchOperation::Add { path, value },
                1 => PatchOperation::Remove { path },
                2 => PatchOperation::Replace { path, value },
                3 => PatchOperation::Move { from, path },
                4 => PatchOperation::Copy { from, path },
                _ => PatchOperation::Test { path, value },
            };
            if let Ok(patch) = JsonPatch::new(vec![operation])
                && let Ok(after) = patch.apply(&document)
            {
                prop_assert_eq!(document::check(&after), Ok(()));
            }
        }
    }

    #[test]
    fn every_document_equals_itself(document in crate::document::tests::documents()) {
        prop_assert!(test("", Value::document(document.clone())).apply(&document).is_ok());
    }
}
