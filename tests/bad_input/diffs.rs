//! Diffs that are documents, but no diffs of the node that they are sent to.

use bytes::Bytes;
use vdom_core::document::DocumentBuilder;
use vdom_core::dom::diff::TextOperation;
use vdom_core::{Diff, NodePath};

use super::{Server, document};

at_both_doors! {
    what_names_no_kind_of_diff_is_refused
    text_operations_must_fit_the_text
    a_text_diff_needs_a_text
    patches_must_fit_the_document
    a_diff_must_suit_the_kind_of_its_node
}

/// A diff of this kind whose `ops` are these documents.
fn with_operations(kind: &str, operations: &[Bytes]) -> Bytes {
    let mut list = DocumentBuilder::new();
    for (index, operation) in operations.iter().enumerate() {
        list.append_document(&index.to_string(), operation);
    }
    let list = list.finish();
    document(|it| it.append_str("t", kind).append_array("ops", &list))
}

fn patch(operation: &str, path: &str) -> Bytes {
    let operation = document(|it| {
        it.append_str("op", operation).append_str("path", path).append_i32("value", 2)
    });
    with_operations("patch", &[operation])
}

async fn what_names_no_kind_of_diff_is_refused(mut server: Server) {
    let put_number = document(|it| it.append_str("t", "put").append_i32("v", 7));
    let put_nothing = document(|it| it.append_str("t", "put"));
    let unknown_field = document(|it| it.append_str("t", "delete").append_i32("force", 1));
    let twice = document(|it| it.append_str("t", "delete").append_str("t", "delete"));
    let rename_in_rename =
        Diff::rename(&NodePath::parse("b").expect("a path"), Some(&Diff::delete()));
    let rename_out = document(|it| it.append_str("t", "rename").append_str("to", "../b"));
    for (what, diff, words) in [
        ("no bytes", Bytes::new(), &["diff_bson is empty", "`t`"][..]),
        ("an empty document", document(|it| it), &["at byte", "`t` is missing", "put, text"]),
        ("no text", document(|it| it.append_i32("t", 1)), &["at byte", "(t)", "a string"]),
        (
            "unknown kind",
            document(|it| it.append_str("t", "merge")),
            &["at byte", "(t)", "\"merge\"", "put, text, patch, attr, delete or rename"],
        ),
        ("put of a number", put_number, &["(v)", "a binary (FILE) or a document", "7"]),
        ("put of nothing", put_nothing, &["`v` is missing"]),
        ("unknown field", unknown_field, &["(force)", "unknown field"]),
        ("a field twice", twice, &["(t)", "twice"]),
        ("a rename in a rename", rename_in_rename, &["(then.t)", "\"delete\""]),
        ("a rename out of the tree", rename_out, &["(to)", "`..`"]),
    ] {
        let request = server.edit_file(diff);
        server.refuse(what, request, "InvalidArgument", words).await;
    }
    server.check_serves().await;
}

async fn text_operations_must_fit_the_text(mut server: Server) {
    use TextOperation::{Delete, Retain};
    let text = Diff::text;
    let negative = with_operations("text", &[document(|it| it.append_i64("r", -1))]);
    let fraction = with_operations("text", &[document(|it| it.append_f64("d", 0.5))]);
    let unknown = with_operations("text", &[document(|it| it.append_str("x", ""))]);
    let both = document(|it| it.append_i64("r", 1).append_str("i", "x"));
    let no_list = document(|it| it.append_str("t", "text").append_str("ops", "x"));
    for (what, diff, words) in [
        ("retain too much", text(&[Retain(8)]), &["operation 0 (retain 8)", "7 bytes"][..]),
        (
            "delete too much",
            text(&[Retain(2), TextOperation::insert("x"), Delete(6)]),
            &["operation 2 (delete 6)", "starts at byte 2", "7 bytes"],
        ),
        ("too long to count", text(&[Retain(u64::MAX >> 1), Retain(2)]), &["operation 0"]),
        (
            "inside a character",
            text(&[Retain(3), TextOperation::insert("x")]),
            &["operation 0 (retain 3)", "byte 3", "inside a character", "UTF-8 bytes"],
        ),
        ("half a character", text(&[Retain(2), Delete(1)]), &["operation 1 (delete 1)", "byte 3"]),
        ("less than nothing", negative, &["(ops.0.r)", "0 or more", "-1"]),
        ("half a byte", fraction, &["(ops.0.d)", "whole number", "0.5"]),
        ("unknown operation", unknown, &["(ops.0.x)", "unknown operation", "{r: bytes}"]),
        ("two in one", with_operations("text", &[both]), &["(ops.0)", "one field"]),
        ("no list", no_list, &["(ops)", "an array"]),
    ] {
        let request = server.edit_file(diff);
        server.refuse(what, request, "InvalidArgument", words).await;
    }
    server.check_serves().await;
}

async fn a_text_diff_needs_a_text(mut server: Server) {
    let written = server.client.overwrite("file", b"\xff\xfe").await.expect("written");
    (server.meta.revision, server.file) = (written.revision, written);
    let request = server.edit_file(Diff::text(&[TextOperation::insert("x")]));
    server.refuse("bytes", request, "InvalidArgument", &["UTF-8", "put"]).await;
    server.check_serves().await;
}

async fn patches_must_fit_the_document(mut server: Server) {
    for (what, diff, code, words) in [
        ("unknown operation", patch("increment", "/a"), "InvalidArgument", &["\"increment\""][..]),
        ("no pointer", patch("replace", "a"), "InvalidArgument", &["(ops.0.path)", "/"]),
        ("nothing there", patch("replace", "/b"), "FailedPrecondition", &["/b"]),
        ("a failed test", patch("test", "/a"), "FailedPrecondition", &["/a"]),
        ("no list there", patch("add", "/a/-"), "FailedPrecondition", &["/a"]),
    ] {
        let request = server.edit_meta(diff);
        server.refuse(what, request, code, words).await;
    }
    server.check_serves().await;
}

async fn a_diff_must_suit_the_kind_of_its_node(mut server: Server) {
    let empty = document(|it| it);
    for (what, request) in [
        ("bytes in META", server.edit_meta(Diff::put_file(b"bytes"))),
        ("text in META", server.edit_meta(Diff::text(&[]))),
        ("a document in FILE", server.edit_file(Diff::put_document(&empty))),
        ("a patch of FILE", server.edit_file(patch("add", "/a"))),
    ] {
        server.refuse(what, request, "InvalidArgument", &["does not take"]).await;
    }
    server.check_serves().await;
}
