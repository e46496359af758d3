//! The examples of RFC 6902, and the suite that JSON Patch implementations
//! share.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use super::*;

fn accepted(document: &Json, operations: &Json, expected: &Json) {
    assert_eq!(apply(document, operations).as_ref(), Ok(expected), "{operations}");
}

fn refused(document: &Json, operations: &Json) -> Error {
    apply(document, operations).expect_err(&operations.to_string())
}

#[test]
fn examples_of_rfc_6902_that_change_a_document() {
    // A.1 to A.7
    accepted(
        &json!({"foo": "bar"}),
        &json!([{"op": "add", "path": "/baz", "value": "qux"}]),
        &json!({"baz": "qux", "foo": "bar"}),
    );
    accepted(
        &json!({"foo": ["bar", "baz"]}),
        &json!([{"op": "add", "path": "/foo/1", "value": "qux"}]),
        &json!({"foo": ["bar", "qux", "baz"]}),
    );
    accepted(
        &json!({"baz": "qux", "foo": "bar"}),
        &json!([{"op": "remove", "path": "/baz"}]),
        &json!({"foo": "bar"}),
    );
    accepted(
        &json!({"foo": ["bar", "qux", "baz"]}),
        &json!([{"op": "remove", "path": "/foo/1"}]),
        &json!({"foo": ["bar", "baz"]}),
    );
    accepted(
        &json!({"baz": "qux", "foo": "bar"}),
        &json!([{"op": "replace", "path": "/baz", "value": "boo"}]),
        &json!({"baz": "boo", "foo": "bar"}),
    );
    accepted(
        &json!({"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}}),
        &json!([{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}]),
        &json!({"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}}),
    );
    accepted(
        &json!({"foo": ["all", "grass", "cows", "eat"]}),
        &json!([{"op": "move", "from": "/foo/1", "path": "/foo/3"}]),
        &json!({"foo": ["all", "cows", "eat", "grass"]}),
    );
    // A.8, A.10, A.11, A.14, A.16
    accepted(
        &json!({"baz": "qux", "foo": ["a", 2, "c"]}),
        &json!([
            {"op": "test", "path": "/baz", "value": "qux"},
            {"op": "test", "path": "/foo/1", "value": 2}
        ]),
        &json!({"baz": "qux", "foo": ["a", 2, "c"]}),
    );
    accepted(
        &json!({"foo": "bar"}),
        &json!([{"op": "add", "path": "/child", "value": {"grandchild": {}}}]),
        &json!({"foo": "bar", "child": {"grandchild": {}}}),
    );
    accepted(
        &json!({"foo": "bar"}),
        &json!([{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}]),
        &json!({"foo": "bar", "baz": "qux"}),
    );
    accepted(
        &json!({"/": 9, "~1": 10}),
        &json!([{"op": "test", "path": "/~01", "value": 10}]),
        &json!({"/": 9, "~1": 10}),
    );
    accepted(
        &json!({"foo": ["bar"]}),
        &json!([{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}]),
        &json!({"foo": ["bar", ["abc", "def"]]}),
    );
}

#[test]
fn examples_of_rfc_6902_that_fail_say_which_operation_and_why() {
    // A.9, A.12, A.15
    let error =
        refused(&json!({"baz": "qux"}), &json!([{"op": "test", "path": "/baz", "value": "bar"}]));
    assert_eq!(error.code, ErrorCode::FailedPrecondition);
    assert!(error.message.starts_with("patch operation 0 (test \"/baz\")"), "{error}");
    let error = refused(
        &json!({"foo": "bar"}),
        &json!([{"op": "add", "path": "/baz/bat", "value": "qux"}]),
    );
    assert_eq!(error.code, ErrorCode::FailedPrecondition);
    assert_eq!(
        error.message,
        "patch operation 0 (add \"/baz/bat\") cannot be applied: there is no field \"baz\""
    );
    let error = refused(
        &json!({"/": 9, "~1": 10}),
        &json!([{"op": "test", "path": "/~01", "value": "10"}]),
    );
    assert_eq!(error.code, ErrorCode::FailedPrecondition);
}

/// One file of the npm package `json-patch-test-suite`. Our documents are
/// objects, so each one stands in the field `v` and pointers begin with `/v`.
fn run_suite(test: &str, file: &str) {
    let Ok(folder) = std::env::var("VDOM_JSON_PATCH_SUITE") else {
        // Not `println!`, which the test runner keeps to itself.
        let skipped = format!("skipped: {test}: VDOM_JSON_PATCH_SUITE names no folder\n");
        io::stderr().write_all(skipped.as_bytes()).expect("standard error");
        return;
    };
    let text = fs::read_to_string(Path::new(&folder).join(file)).expect("readable");
    let cases: Vec<Json> = serde_json::from_str(&text).expect("JSON");
    let mut seen = 0;
    for case in cases.iter().filter(|case| case["disabled"] != true && !is_unsayable(case)) {
        let mut operations = case["patch"].clone();
        for operation in operations.as_array_mut().expect("a patch") {
            for member in ["path", "from"] {
                if let Some(Json::String(pointer)) = operation.get_mut(member)
                    && (pointer.is_empty() || pointer.starts_with('/'))
                {
                    pointer.insert_str(0, "/v");
                }
            }
        }
        let result = apply(&json!({ "v": case["doc"] }), &operations);
        if case.get("error").is_some() {
            assert!(result.is_err(), "{case}");
        } else if let Some(expected) = case.get("expected") {
            assert_eq!(result, Ok(json!({ "v": expected })), "{case}");
        } else {
            assert!(result.is_ok(), "{case}: {result:?}");
        }
        seen += 1;
    }
    assert!(seen > 10, "{seen} cases");
}

/// JSON text in which a member stands twice is gone once it is parsed.
fn is_unsayable(case: &Json) -> bool {
    case["error"].as_str().is_some_and(|error| error.contains("two 'op' members"))
}

#[test]
fn the_shared_suite_passes() {
    run_suite("the_shared_suite_passes", "tests.json");
}

#[test]
fn the_shared_suite_of_the_specification_passes() {
    run_suite("the_shared_suite_of_the_specification_passes", "spec_tests.json");
}
