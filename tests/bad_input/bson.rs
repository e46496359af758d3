//! Documents: too deep, truncated, lying, and MongoDB's corpus, which nobody
//! here wrote.

use bytes::Bytes;
use http::{HeaderValue, Method};
use serde_json::Value;
use vdom_core::Diff;
use vdom_testkit::http::request;
use vdom_testkit::{shared_data, skipped};

use super::{Server, assert_refusal, document, meta_request, nested};
use crate::refusal::Refusal;

at_both_doors! {
    valid_documents_come_back_byte_for_byte
    damaged_documents_are_refused_with_their_place
    documents_nest_at_most_100_deep
    a_document_that_ends_early_or_lies_about_its_length_is_refused
}

/// Every case of the corpus with its place and bytes; `None` without it.
fn corpus(test: &str, list: &str, field: &str) -> Option<Vec<(String, Bytes)>> {
    let Some(folder) = shared_data("bson-corpus") else {
        skipped(test, "no BSON corpus beside the checkout");
        return None;
    };
    let mut cases = Vec::new();
    for file in folder.read_dir().expect("a folder") {
        let path = file.expect("a file").path();
        let json: Value =
            serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
        for case in json[list].as_array().into_iter().flatten() {
            let name = format!("{}: {}", path.display(), case["description"]);
            let bytes = hex::decode(case[field].as_str().expect("digits")).expect("digits");
            cases.push((name, Bytes::from(bytes)));
        }
    }
    Some(cases)
}

async fn valid_documents_come_back_byte_for_byte(mut server: Server) {
    let test = "valid_documents_come_back_byte_for_byte";
    let Some(cases) = corpus(test, "valid", "canonical_bson") else { return };
    for (number, (name, bytes)) in cases.iter().enumerate() {
        let path = format!("corpus/{number}");
        let request = meta_request(&server.client, &path, bytes);
        let written =
            server.client.write(request).await.unwrap_or_else(|it| panic!("{name}: {it}"));
        assert!(written.success, "{name}: {written:?}");
        let read = server.client.read_after(&path, &written).await.expect("read");
        assert_eq!(read.content, bytes, "{name}");
    }
    assert!(cases.len() > 300, "{} documents", cases.len());
}

async fn damaged_documents_are_refused_with_their_place(mut server: Server) {
    let test = "damaged_documents_are_refused_with_their_place";
    let Some(cases) = corpus(test, "decodeErrors", "bson") else { return };
    let rest = server.http();
    for (name, bytes) in &cases {
        let as_diff = server.edit_meta(bytes.clone());
        if !bytes.is_empty() {
            server.refuse(name, as_diff, "InvalidArgument", &["diff_bson: at byte "]).await;
        }
        let as_content = server.edit_meta(Diff::put_document(bytes));
        server.refuse(name, as_content, "InvalidArgument", &["diff_bson: at byte "]).await;

        let path = "/v1/repos/repo/branches/main/nodes/new";
        let mut put = request(Method::PUT, path, bytes.clone());
        let bson = HeaderValue::from_static("application/bson");
        put.headers_mut().insert("content-type", bson);
        let refusal = Refusal::from_http(&rest.send(put).await);
        assert_refusal(name, &refusal, "InvalidArgument", &["at byte "]);
        server.check_untouched(name).await;
    }
    assert!(cases.len() > 40, "{} documents", cases.len());
    server.check_serves().await;
}

async fn documents_nest_at_most_100_deep(mut server: Server) {
    // The diff around it is one level.
    let deepest = meta_request(&server.client, "deep", &nested(99));
    let written = server.client.write(deepest).await.expect("written");
    server.meta.revision = written.revision;
    for depth in [100, 101, 10_000, 300_000] {
        let request = server.edit_meta(Diff::put_document(&nested(depth)));
        let words = ["diff_bson: at byte ", "deeper than 100"];
        server.refuse(&format!("depth {depth}"), request, "InvalidArgument", &words).await;
    }
    server.check_serves().await;
}

async fn a_document_that_ends_early_or_lies_about_its_length_is_refused(mut server: Server) {
    let whole = Diff::put_document(&document(|it| it.append_str("name", "value")));
    for length in 1..whole.len() {
        let request = server.edit_meta(whole.slice(..length));
        let what = format!("cut to {length} bytes");
        server.refuse(&what, request, "InvalidArgument", &["diff_bson: at byte 0"]).await;
    }
    // The length of the diff, of its first text, of the document in it.
    for (what, at) in [("diff", 0), ("text", 7), ("document", 18)] {
        for lie in [0, 1, 3, -1, i32::MIN, i32::MAX, 1_000] {
            let mut lying = whole.to_vec();
            lying[at..at + 4].copy_from_slice(&i32::to_le_bytes(lie));
            let request = server.edit_meta(lying.into());
            let what = format!("length {lie} of the {what}");
            server.refuse(&what, request, "InvalidArgument", &["diff_bson: at byte "]).await;
        }
    }
    server.check_serves().await;
}
