//! Clocks that do not say what stands there.

use vdom_core::Diff;
use vdom_proto::v1;
use vdom_proto::v1::conflict_info::Reason;

use super::{Server, TEXT};

at_both_doors! {
    a_stale_clock_is_a_conflict_that_shows_both_sides
    a_clock_from_the_future_is_refused
    a_clock_that_is_none_is_refused
}

fn clock(entries: impl IntoIterator<Item = (String, u64)>) -> v1::VectorClock {
    v1::VectorClock { entries: entries.into_iter().collect() }
}

async fn a_stale_clock_is_a_conflict_that_shows_both_sides(mut server: Server) {
    let newer = server.edit_file(Diff::put_file(b"newer"));
    let newer = server.client.write(newer).await.expect("written");
    server.meta.revision = newer.revision;

    let stale = server.edit_file(Diff::put_file(b"lost?"));
    let answer = server.client.write(stale).await.expect("an answer");
    assert!(!answer.success, "{answer:?}");
    let conflict = answer.conflict.expect("a conflict");
    assert_eq!(conflict.reason(), Reason::StaleClock);
    assert_eq!(conflict.current_content, b"newer"[..]);
    assert_eq!(conflict.base_content, TEXT.as_bytes());
    assert_eq!(conflict.current_clock, newer.vector_clock);
    assert_eq!(conflict.revision, newer.revision);
    server.check_untouched("a stale clock").await;

    let blind = server.client.put_request("file", b"lost?");
    let answer = server.client.write(blind).await.expect("an answer");
    assert_eq!(answer.conflict.expect("a conflict").reason(), Reason::PathExists);
    server.check_untouched("an empty clock").await;
    server.check_serves().await;
}

async fn a_clock_from_the_future_is_refused(mut server: Server) {
    let mut entries = server.file.vector_clock.clone().expect("a clock").entries;
    for counter in entries.values_mut() {
        *counter += 1;
    }
    let ahead = v1::WriteDiffRequest {
        vector_clock: Some(clock(entries)),
        ..server.edit_file(Diff::put_file(b"x"))
    };
    let overwriting =
        v1::WriteDiffRequest { on_conflict: v1::OnConflict::Overwrite.into(), ..ahead.clone() };
    for (what, request) in [("rejecting", ahead), ("overwriting", overwriting)] {
        let words = ["vector_clock is ahead", "1 changes", "read the node again"];
        server.refuse(what, request, "FailedPrecondition", &words).await;
    }
    server.check_serves().await;
}

async fn a_clock_that_is_none_is_refused(mut server: Server) {
    let with = |clock| v1::WriteDiffRequest {
        vector_clock: Some(clock),
        ..server.edit_file(Diff::put_file(b"x"))
    };
    let crowded = with(clock((0..65).map(|number| (format!("actor-{number}"), 1))));
    let long = with(clock([("a".repeat(257), 1)]));
    let control = with(clock([("a\nb".to_owned(), 1)]));
    let mut without_node = server.edit_file(Diff::put_file(b"x"));
    without_node.node_id.clear();
    let mut short_node = server.edit_file(Diff::put_file(b"x"));
    short_node.node_id.truncate(15);
    for (what, request, words) in [
        ("65 actors", crowded, &["vector_clock", "65 actors", "at most 64"][..]),
        ("a long actor", long, &["256 bytes"]),
        ("a control character", control, &["a\\nb", "control"]),
        ("no node", without_node, &["vector_clock", "`node_id`"]),
        ("a short node", short_node, &["node_id has 15 bytes, needs 16"]),
    ] {
        server.refuse(what, request, "InvalidArgument", words).await;
    }
    let unknown = v1::WriteDiffRequest {
        node_id: vec![7; 16].into(),
        ..server.edit_file(Diff::put_file(b"x"))
    };
    server.refuse("an unknown node", unknown, "NotFound", &["07070707"]).await;
    server.check_serves().await;
}
