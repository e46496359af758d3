//! Sets as they come in: their order, their limits, their ends.

use bytes::Bytes;
use futures::TryStreamExt;
use vdom_core::ErrorCode;
use vdom_core::dom::calls::{DiffSource, OnConflict};
use vdom_core::dom::diff::Diff;
use vdom_core::limits::CHANGE_SET_MAX_DIFFS;

use super::*;

/// `{t: "put"}`.
const BARE_PUT: &[u8] = b"\x10\0\0\0\x02t\0\x04\0\0\0put\0\0";

fn chunk(chunk: Chunk) -> wire::WriteDiffsChunk {
    wire::WriteDiffsChunk { chunk: Some(chunk) }
}

fn set() -> wire::WriteDiffsRequest {
    wire::WriteDiffsRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        message: "why".to_owned(),
        author: "bea".to_owned(),
        operation_id: Bytes::from(vec![7; 16]),
        on_conflict: wire::OnConflict::Merge.into(),
        ..Default::default()
    }
}

fn put(path: &str, diff_bson: Bytes) -> wire::WriteDiffRequest {
    wire::WriteDiffRequest { path: path.to_owned(), diff_bson, ..Default::default() }
}

fn whole(path: &str) -> wire::WriteDiffRequest {
    put(path, Diff::put_file(b"x"))
}

fn header() -> wire::WriteDiffsChunk {
    chunk(Chunk::Header(set()))
}

fn diff(diff: wire::WriteDiffRequest) -> wire::WriteDiffsChunk {
    chunk(Chunk::Diff(diff))
}

fn content(piece: &'static [u8]) -> wire::WriteDiffsChunk {
    chunk(Chunk::Content(Bytes::from_static(piece)))
}

async fn opened(
    chunks: Vec<wire::WriteDiffsChunk>,
) -> Result<(WriteDiffs, ServiceStream<ChangeSetPart>)> {
    in_a_stream(stream::iter(chunks).map(Ok), None).await
}

/// All parts, or the first error.
async fn read(chunks: Vec<wire::WriteDiffsChunk>) -> Result<Vec<ChangeSetPart>> {
    opened(chunks).await?.1.try_collect().await
}

async fn refusal(chunks: Vec<wire::WriteDiffsChunk>) -> Error {
    read(chunks).await.expect_err("refused")
}

#[tokio::test]
async fn a_stream_is_a_header_diffs_and_the_contents_of_those_that_need_one() {
    let own = wire::WriteDiffRequest {
        on_conflict: wire::OnConflict::Overwrite.into(),
        message: "its own".to_owned(),
        ..whole("c")
    };
    let chunks = vec![
        header(),
        diff(put("a", Bytes::new())),
        content(b"ab"),
        content(b""),
        content(b"c"),
        diff(put("empty", Bytes::from_static(BARE_PUT))),
        diff(own),
    ];
    let (set, parts) = opened(chunks).await.expect("a header");
    assert_eq!((set.address.to_string().as_str(), &*set.message), ("default/vdom/main", "why"));
    assert_eq!(set.author.as_deref(), Some("bea"));
    let parts: Vec<_> = parts.try_collect().await.expect("parts");
    let said: Vec<_> = parts
        .iter()
        .map(|part| match part {
            ChangeSetPart::Diff(diff) => {
                assert_eq!(diff.address, set.address);
                assert_eq!((diff.operation_id, diff.author.as_deref()), (None, None));
                let path = diff.path.as_ref().map(ToString::to_string).unwrap_or_default();
                let follows = matches!(diff.diff, DiffSource::Follows);
                format!("{path} {follows} {:?} {:?}", diff.on_conflict, diff.message)
            }
            ChangeSetPart::Content(piece) => format!("+{}", piece.len()),
        })
        .collect();
    assert_eq!(
        said,
        [
            r#"a true Merge """#,
            "+2",
            "+1",
            r#"empty true Merge """#,
            r#"c false Overwrite "its own""#
        ]
    );
}

#[tokio::test]
async fn a_message_brings_its_diffs_with_it() {
    let request = wire::WriteDiffsRequest { diffs: vec![whole("a"), whole("b")], ..set() };
    let (set, parts) = in_one_message(request, None).expect("read");
    assert_eq!(set.on_conflict, OnConflict::Merge);
    assert_eq!(parts.collect::<Vec<_>>().await.len(), 2);

    let follows = wire::WriteDiffsRequest {
        diffs: vec![whole("a"), put("b", Bytes::from_static(BARE_PUT))],
        ..self::set()
    };
    for (request, words) in
        [(follows, "diff 1: diff_bson brings no content"), (self::set(), "no diff")]
    {
        let Err(error) = in_one_message(request, None) else { panic!("taken: {words}") };
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_stream_out_of_order_is_refused_where_it_leaves_the_order() {
    let bare = || diff(put("p", Bytes::new()));
    let put = || diff(whole("p"));
    let full = wire::WriteDiffsRequest { diffs: vec![whole("a")], ..set() };
    let nowhere = wire::WriteDiffsRequest { repo: String::new(), ..set() };
    for (chunks, words) in [
        (vec![], "begin with a header"),
        (vec![put(), header()], "begin with a header"),
        (vec![wire::WriteDiffsChunk::default()], "neither header, diff nor content"),
        (vec![chunk(Chunk::Header(full))], "header.diffs must stay empty"),
        (vec![chunk(Chunk::Header(nowhere))], "repo"),
        (vec![header()], "has no diff"),
        (vec![header(), content(b"x")], "before any diff"),
        (vec![header(), put(), content(b"x")], "diff 0: content follows a diff that needs none"),
        (vec![header(), bare(), content(b"x"), put(), content(b"x")], "diff 1: content follows"),
        (vec![header(), put(), header()], "a second header"),
        (vec![header(), put(), wire::WriteDiffsChunk::default()], "neither header"),
    ] {
        let error = refusal(chunks).await;
        assert_eq!(error.code, ErrorCode::InvalidArgument, "{words}: {error}");
        assert!(error.message.contains(words), "{words}: {error}");
    }
}

#[tokio::test]
async fn what_the_set_says_a_diff_leaves_out_or_repeats() {
    let same = wire::WriteDiffRequest {
        realm: "default".to_owned(),
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        author: "bea".to_owned(),
        operation_id: Bytes::from(vec![7; 16]),
        min_ack: wire::AckLevel::Committed.into(),
        ..whole("a")
    };
    assert!(read(vec![header(), diff(same)]).await.is_ok());

    let other = |name: &str| name.to_owned();
    for (wrong, words) in [
        (wire::WriteDiffRequest { realm: other("acme"), ..whole("a") }, "realm is not that"),
        (wire::WriteDiffRequest { repo: other("else"), ..whole("a") }, "repo is not that"),
        (wire::WriteDiffRequest { branch: other("else"), ..whole("a") }, "branch is not that"),
        (wire::WriteDiffRequest { author: other("ann"), ..whole("a") }, "author is not that"),
        (
            wire::WriteDiffRequest { operation_id: Bytes::from(vec![8; 16]), ..whole("a") },
            "operation_id is not that",
        ),
        (
            wire::WriteDiffRequest { min_ack: wire::AckLevel::Local.into(), ..whole("a") },
            "min_ack is not that",
        ),
        (wire::WriteDiffRequest { on_conflict: 9, ..whole("a") }, "on_conflict 9 is not known"),
        (whole("a/../b"), "path"),
    ] {
        let error = refusal(vec![header(), diff(whole("first")), diff(wrong)]).await;
        assert_eq!(error.code, ErrorCode::InvalidArgument, "{words}: {error}");
        assert!(error.message.starts_with("diff 1: "), "{error}");
        assert!(error.message.contains(words), "{words}: {error}");
    }
}

#[tokio::test]
async fn limits_hold_while_the_stream_comes_in() {
    let piece = Bytes::from(vec![0; 1 << 20]);
    let pieces = |count| std::iter::repeat_n(chunk(Chunk::Content(piece.clone())), count);
    let bare = || [diff(put("p", Bytes::new()))];
    let chunks: Vec<_> = [header()].into_iter().chain(bare()).chain(pieces(101)).collect();
    let error = refusal(chunks).await;
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert!(error.message.starts_with("diff 0: the content has more than"), "{error}");

    // 4 GiB of contents, each within its own limit.
    let many = (0..42).flat_map(|_| bare().into_iter().chain(pieces(100)));
    let error = refusal([header()].into_iter().chain(many).collect()).await;
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert!(error.message.starts_with("diff 40: with it the change set has more"), "{error}");

    let diffs = (0..=CHANGE_SET_MAX_DIFFS).map(|_| diff(put("p", Bytes::new())));
    let error = refusal([header()].into_iter().chain(diffs).collect()).await;
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert!(error.message.contains("more than 250000 diffs"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_or_stalls_ends_with_an_error() {
    let begun = || stream::iter([header(), diff(put("p", Bytes::new())), content(b"half")]).map(Ok);
    let broken = begun().chain(stream::iter([Err(Error::unavailable("broke off"))]));
    let stalled = begun().chain(stream::pending());
    for (parts, code) in [
        (in_a_stream(broken, None).await, ErrorCode::Unavailable),
        (in_a_stream(stalled, None).await, ErrorCode::DeadlineExceeded),
    ] {
        let parts: Vec<_> = parts.expect("a header").1.collect().await;
        assert_eq!(parts.len(), 3, "the diff, a piece, the error");
        let last = parts.into_iter().next_back().expect("the last");
        assert_eq!(last.map_err(|error| error.code), Err(code));
    }
}
