//! Change sets that cannot be taken: nothing of them is ever visible.

use bytes::Bytes;
use http::{HeaderValue, Method};
use tokio_stream::wrappers::ReceiverStream;
use vdom_core::{Diff, NodePath};
use vdom_proto::v1;
use vdom_proto::v1::conflict_info::Reason;
use vdom_proto::v1::write_diffs_chunk::Chunk;
use vdom_testkit::client::operation_id;
use vdom_testkit::http::request;

use super::{Server, assert_refusal, check_refused};
use crate::refusal::Refusal;

at_both_doors! {
    a_stream_out_of_order_is_refused_by_the_number_of_its_diff
    what_the_set_says_no_diff_says_otherwise
    a_set_that_breaks_off_is_not_written
    a_set_keeps_its_limits
    a_set_that_contradicts_itself_is_refused
    one_wrong_diff_refuses_the_whole_set
    an_operation_id_is_for_one_set
    json_that_is_no_set_is_refused
    a_revert_needs_a_range_that_is_there
    a_time_that_no_door_can_show_is_refused
}

/// A `put` whose content follows.
fn bare(server: &Server, path: &str) -> Chunk {
    Chunk::Diff(v1::WriteDiffRequest {
        diff_bson: Bytes::new(),
        ..server.client.put_request(path, b"")
    })
}

fn whole(server: &Server, path: &str) -> Chunk {
    Chunk::Diff(server.client.put_request(path, b"content"))
}

fn header(server: &Server) -> Chunk {
    Chunk::Header(server.client.set_header())
}

fn content() -> Chunk {
    Chunk::Content(Bytes::from_static(b"content"))
}

impl Server {
    async fn refuse_stream(&mut self, what: &str, chunks: Vec<Chunk>, code: &str, words: &[&str]) {
        let answer = self.client.stream_set(chunks).await;
        check_refused(what, answer, code, words);
        self.check_untouched(what).await;
    }

    async fn refuse_set(
        &mut self,
        what: &str,
        diffs: Vec<v1::WriteDiffRequest>,
        code: &str,
        words: &[&str],
    ) {
        let answer = self.client.write_set(diffs).await;
        check_refused(what, answer, code, words);
        self.check_untouched(what).await;
    }
}

async fn a_stream_out_of_order_is_refused_by_the_number_of_its_diff(mut server: Server) {
    let (head, bare, whole) = (header(&server), bare(&server, "new"), whole(&server, "new"));
    let full = v1::WriteDiffsRequest {
        diffs: vec![server.client.put_request("new", b"")],
        ..server.client.set_header()
    };
    for (what, chunks, words) in [
        ("no header", vec![whole.clone(), head.clone()], &["begin with a header"][..]),
        ("two headers", vec![head.clone(), whole.clone(), head.clone()], &["a second header"]),
        ("diffs in the header", vec![Chunk::Header(full)], &["header.diffs"]),
        ("content first", vec![head.clone(), content()], &["before any diff"]),
        (
            "content of nobody",
            vec![head.clone(), bare.clone(), content(), whole.clone(), content()],
            &["diff 1: ", "`put` without `v`"],
        ),
        ("nothing", vec![head.clone()], &["has no diff"]),
    ] {
        server.refuse_stream(what, chunks, "InvalidArgument", words).await;
    }
    server.check_serves().await;
}

async fn what_the_set_says_no_diff_says_otherwise(mut server: Server) {
    let base = server.client.put_request("new", b"x");
    let other = |text: &str| text.to_owned();
    for (field, wrong) in [
        ("realm", v1::WriteDiffRequest { realm: other("other"), ..base.clone() }),
        ("repo", v1::WriteDiffRequest { repo: other("other"), ..base.clone() }),
        ("branch", v1::WriteDiffRequest { branch: other("other"), ..base.clone() }),
        ("author", v1::WriteDiffRequest { author: other("other"), ..base.clone() }),
        ("operation_id", v1::WriteDiffRequest { operation_id: operation_id(1), ..base.clone() }),
        ("min_ack", v1::WriteDiffRequest { min_ack: v1::AckLevel::Local.into(), ..base.clone() }),
    ] {
        let words = ["diff 1: ", field, "leave it out"];
        let first = server.client.put_request("first", b"x");
        server
            .refuse_set(field, vec![first.clone(), wrong.clone()], "InvalidArgument", &words)
            .await;
        let chunks = vec![header(&server), Chunk::Diff(first), Chunk::Diff(wrong)];
        server.refuse_stream(field, chunks, "InvalidArgument", &words).await;
    }
    server.check_serves().await;
}

/// A client may go away in the middle; what came until then is no set.
async fn a_set_that_breaks_off_is_not_written(mut server: Server) {
    for number in 0..12_usize {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let mut client = server.client.raw.clone();
        let chunks = ReceiverStream::new(receiver);
        let call = tokio::spawn(async move { client.write_diffs_stream(chunks).await });
        let diffs = (0..=number % 4).flat_map(|diff| {
            let path = format!("broken/{number}/{diff}");
            let pieces = std::iter::repeat_n(content(), number % 3);
            if number % 2 == 0 {
                vec![whole(&server, &path)]
            } else {
                [bare(&server, &path)].into_iter().chain(pieces).collect()
            }
        });
        for chunk in [header(&server)].into_iter().chain(diffs) {
            let chunk = v1::WriteDiffsChunk { chunk: Some(chunk) };
            sender.send(chunk).await.expect("the connection takes it");
        }
        call.abort();
        assert!(call.await.is_err_and(|error| error.is_cancelled()));
        server.check_untouched(&format!("round {number}")).await;
    }
    server.check_serves().await;
}

async fn a_set_keeps_its_limits(mut server: Server) {
    let piece = Chunk::Content(Bytes::from(vec![7; 1 << 20]));
    let large = [header(&server), whole(&server, "a"), bare(&server, "b")];
    let large = large.into_iter().chain(std::iter::repeat_n(piece, 101)).collect();
    let words = ["diff 1: ", "104857600 bytes"];
    server.refuse_stream("a content of 101 MiB", large, "TooLarge", &words).await;

    let diff = v1::WriteDiffRequest { diff_bson: Diff::delete(), ..Default::default() };
    let diffs = (0..=250_000).map(|number| {
        let path = number.to_string();
        Chunk::Diff(v1::WriteDiffRequest { path, ..diff.clone() })
    });
    let many = [header(&server)].into_iter().chain(diffs).collect();
    let words = ["more than 250000 diffs"];
    server.refuse_stream("250,001 diffs", many, "TooLarge", &words).await;

    let large = vec![server.client.put_request("large", &vec![7; 5 << 20])];
    server.refuse_set("5 MiB", large, "TooLarge", &["4194304 bytes", "WriteDiffsStream"]).await;
    let follows =
        v1::WriteDiffRequest { diff_bson: Bytes::new(), ..server.client.put_request("new", b"") };
    let words = ["diff 0: ", "WriteDiffsStream"];
    server.refuse_set("nothing follows a message", vec![follows], "InvalidArgument", &words).await;
    server.check_serves().await;
}

async fn a_set_that_contradicts_itself_is_refused(mut server: Server) {
    let put = |path: &str| server.client.put_request(path, b"x");
    let rename = |to: &str| Diff::rename(&NodePath::parse(to).expect("a path"), None);
    let edit = server.edit_file(Diff::put_file(b"x"));
    let away = server.edit_file(rename("new"));
    for (what, diffs, words) in [
        ("a node twice", vec![edit.clone(), away.clone()], &["diff 1 "][..]),
        ("two new nodes at a path", vec![put("new"), put("new")], &["diff 1 ", "`new`"]),
        ("a new node where another goes", vec![put("new"), away], &["diff 1 ", "`new`"]),
        (
            "two nodes that go to a path",
            vec![server.edit_file(rename("new")), server.edit_meta(rename("new"))],
            &["diff 1 ", "`new`"],
        ),
        ("no diff", vec![], &["has no diff"]),
    ] {
        server.refuse_set(what, diffs, "InvalidArgument", words).await;
    }
    server.check_serves().await;
}

async fn one_wrong_diff_refuses_the_whole_set(mut server: Server) {
    let client = server.client.clone();
    let put = |path: &str| client.put_request(path, b"x");
    let text = v1::WriteDiffRequest {
        diff_bson: Diff::text(&[vdom_core::dom::diff::TextOperation::Delete(99)]),
        ..server.edit_file(Bytes::new())
    };
    let nobody = v1::WriteDiffRequest {
        node_id: vec![7; 16].into(),
        ..server.edit_file(Diff::put_file(b"x"))
    };
    let nonsense =
        v1::WriteDiffRequest { diff_bson: Bytes::from_static(b"nonsense"), ..put("new") };
    let unknown = v1::WriteDiffRequest { kind: 99, ..put("new") };
    let kept = v1::WriteDiffRequest { keep_conflict: true, ..put("new") };
    for (what, wrong, code) in [
        ("a diff that does not fit", text, "InvalidArgument"),
        ("no such node", nobody, "NotFound"),
        ("no BSON", nonsense, "InvalidArgument"),
        ("an unknown kind", unknown, "InvalidArgument"),
        ("a bad path", put("a/../b"), "InvalidArgument"),
        ("a conflict to keep", kept, "InvalidArgument"),
    ] {
        server.refuse_set(what, vec![put("fine"), wrong], code, &["diff 1"]).await;
    }

    let clash = server.client.write_set(vec![put("fine"), put("file")]).await.expect("an answer");
    assert!(!clash.success, "{clash:?}");
    assert_eq!(clash.results[0].conflict, None);
    let conflict = clash.results[1].conflict.as_ref().expect("a conflict");
    assert_eq!((conflict.reason(), conflict.path.as_str()), (Reason::PathExists, "file"));
    assert_eq!(clash.last_revision, server.meta.revision);
    server.check_untouched("a conflict").await;

    let elsewhere = v1::WriteDiffsRequest {
        expected_revision: server.meta.revision + 1,
        diffs: vec![put("fine")],
        ..server.client.set_header()
    };
    let answer = server.client.raw.write_diffs(elsewhere).await;
    check_refused("another revision", answer, "FailedPrecondition", &["expected"]);
    server.check_untouched("another revision").await;
    server.check_serves().await;
}

async fn an_operation_id_is_for_one_set(mut server: Server) {
    let set = |path: &str, operation| v1::WriteDiffsRequest {
        operation_id: operation,
        diffs: vec![
            server.client.put_request(path, b"x"),
            server.client.put_request(&format!("{path}/2"), b"x"),
        ],
        ..server.client.set_header()
    };
    let (first, other) = (set("new", operation_id(7)), set("other", operation_id(7)));
    let short = set("short", Bytes::from_static(b"7"));
    let written = server.client.raw.write_diffs(first.clone()).await.expect("written");
    let written = written.into_inner();
    let again = server.client.raw.write_diffs(first).await.expect("the answer").into_inner();
    assert_eq!(again, written);
    server.meta.revision = written.last_revision;
    let answer = server.client.raw.write_diffs(other).await;
    check_refused("another set", answer, "FailedPrecondition", &["operation_id"]);
    let answer = server.client.raw.write_diffs(short).await;
    check_refused("a short id", answer, "InvalidArgument", &["operation_id has 1 bytes, needs 16"]);
    server.check_untouched("an id used again").await;
    server.check_serves().await;
}

async fn json_that_is_no_set_is_refused(mut server: Server) {
    let rest = server.http();
    let deep = "{\"d\":".repeat(140) + "1" + &"}".repeat(140);
    let deep = format!("{{\"diffs\": [{{\"path\": \"a\", \"put\": {deep}}}]}}");
    let large =
        format!("{{\"diffs\": [{{\"path\": \"a\", \"put\": \"{}\"}}]}}", "x".repeat(5 << 20));
    let json = "application/json";
    for (what, media_type, body, code, words) in [
        ("no JSON", json, "{".to_owned(), "InvalidArgument", "EOF"),
        ("no object", json, "[]".to_owned(), "InvalidArgument", "openapi.json"),
        ("no diffs", json, "{}".to_owned(), "InvalidArgument", "`diffs`"),
        ("a misspelt field", json, r#"{"difs": []}"#.to_owned(), "InvalidArgument", "`difs`"),
        (
            "two edits",
            json,
            r#"{"diffs": [{"path": "a", "put": "x", "text": []}]}"#.to_owned(),
            "InvalidArgument",
            "diff 0: ",
        ),
        ("too deep", json, deep, "InvalidArgument", "recursion"),
        ("too large", json, large, "TooLarge", "4194304"),
        ("no media type", "text/plain", "{}".to_owned(), "InvalidArgument", "application/json"),
    ] {
        let mut request = request(Method::POST, "/v1/repos/repo/branches/main/changes", body);
        let media_type = HeaderValue::from_static(media_type);
        request.headers_mut().insert("content-type", media_type);
        let refusal = Refusal::from_http(&rest.send(request).await);
        assert_refusal(what, &refusal, code, &[words]);
        server.check_untouched(what).await;
    }
    server.check_serves().await;
}

async fn a_revert_needs_a_range_that_is_there(mut server: Server) {
    let range = |first_revision, last_revision| v1::RevertChangesRequest {
        repo: "repo".to_owned(),
        branch: "main".to_owned(),
        first_revision,
        last_revision,
        ..Default::default()
    };
    for (what, request, code) in [
        ("from nothing", range(0, 1), "InvalidArgument"),
        ("backwards", range(2, 1), "InvalidArgument"),
        ("in the future", range(1, 99), "NotFound"),
        ("another epoch", v1::RevertChangesRequest { epoch: 1, ..range(1, 1) }, "EpochChanged"),
        (
            "another branch",
            v1::RevertChangesRequest { branch: "nowhere".to_owned(), ..range(1, 1) },
            "NotFound",
        ),
    ] {
        let answer = server.client.raw.revert_changes(request).await;
        check_refused(what, answer, code, &[]);
        server.check_untouched(what).await;
    }
    server.check_serves().await;
}

async fn a_time_that_no_door_can_show_is_refused(mut server: Server) {
    const FIRST: i64 = -62_135_596_800;
    const LAST: i64 = 253_402_300_799;
    let at = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
    for (what, authored_at) in [
        ("before the year 1", at(FIRST - 1, 999_999_999)),
        ("after the year 9999", at(LAST + 1, 0)),
        ("the least number", at(i64::MIN, 0)),
        ("the largest number", at(i64::MAX, 0)),
        ("a negative fraction", at(0, -1)),
        ("a whole second as a fraction", at(0, 1_000_000_000)),
    ] {
        let diffs = vec![server.client.put_request("new", b"x")];
        let request = v1::WriteDiffsRequest { authored_at, diffs, ..server.client.set_header() };
        let answer = server.client.raw.write_diffs(request).await;
        check_refused(what, answer, "InvalidArgument", &["authored_at"]);
        server.check_untouched(what).await;
    }
    let rest = server.http();
    for (revision, seconds) in [(3, FIRST), (4, LAST)] {
        let diffs = vec![server.client.put_request(&format!("at-{seconds}"), b"x")];
        let authored_at = at(seconds, 999_999_999);
        let request = v1::WriteDiffsRequest { authored_at, diffs, ..server.client.set_header() };
        server.client.raw.write_diffs(request).await.expect("written");
        let history = rest.get("/v1/repos/repo/branches/main/history?limit=1").await.json();
        assert_eq!(history["changes"][0]["revision"], revision);
        let text = history["changes"][0]["authored_at"].as_str().expect("text").to_owned();
        assert_eq!(vdom_core::time::parse("authored_at", &text), Ok(seconds * 1_000 + 999));
    }
}
