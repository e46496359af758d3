//! Streamed contents: their order, their limits, their ends.

use futures::{TryStreamExt, stream};
use vdom_core::ErrorCode;
use vdom_core::calls::DiffSource;
use vdom_core::diff::Diff;

use super::*;

fn chunk(chunk: Chunk) -> wire::WriteDiffsChunk {
    wire::WriteDiffsChunk { chunk: Some(chunk) }
}

fn header() -> wire::WriteDiffsChunk {
    chunk(Chunk::Header(wire::WriteDiffsRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        message: "why".to_owned(),
        ..Default::default()
    }))
}

fn diff(diff_bson: Bytes) -> wire::WriteDiffsChunk {
    let path = "a".to_owned();
    chunk(Chunk::Diff(wire::WriteDiffRequest { path, diff_bson, ..Default::default() }))
}

fn content(piece: &'static [u8]) -> wire::WriteDiffsChunk {
    chunk(Chunk::Content(Bytes::from_static(piece)))
}

async fn opened(chunks: Vec<wire::WriteDiffsChunk>) -> Result<Opened> {
    open(stream::iter(chunks).map(Ok).boxed(), None).await
}

#[tokio::test]
async fn a_put_without_content_takes_the_pieces_that_follow() {
    for bare in [Bytes::new(), Bytes::from_static(PUT_WITHOUT_CONTENT)] {
        let chunks = vec![header(), diff(bare), content(b"ab"), content(b""), content(b"c")];
        let Ok(Opened::InPieces(request, pieces)) = opened(chunks).await else {
            panic!("not in pieces");
        };
        assert_eq!(request.address.to_string(), "default/vdom/main");
        assert_eq!(request.message, "why", "the header speaks for its diff");
        let pieces: Vec<_> = pieces.try_collect().await.expect("pieces");
        assert_eq!(pieces.concat(), b"abc");
    }
}

#[tokio::test]
async fn a_whole_diff_needs_no_content() {
    let put = Diff::put_file(b"x");
    let Ok(Opened::Whole(request)) = opened(vec![header(), diff(put.clone())]).await else {
        panic!("not whole");
    };
    assert_eq!(request.diff, DiffSource::Bson(put));
}

#[tokio::test]
async fn streams_out_of_order_are_refused() {
    let put = || diff(Diff::put_file(b"x"));
    let empty = wire::WriteDiffsChunk::default();
    for (chunks, code) in [
        (vec![], ErrorCode::InvalidArgument),
        (vec![put()], ErrorCode::InvalidArgument),
        (vec![header()], ErrorCode::InvalidArgument),
        (vec![header(), content(b"x")], ErrorCode::InvalidArgument),
        (vec![header(), empty], ErrorCode::InvalidArgument),
        (vec![header(), put(), content(b"x")], ErrorCode::InvalidArgument),
        (vec![header(), put(), put()], ErrorCode::Unimplemented),
    ] {
        assert_eq!(opened(chunks).await.map(drop).map_err(|error| error.code), Err(code));
    }
    for (last, code) in [(put(), ErrorCode::Unimplemented), (header(), ErrorCode::InvalidArgument)]
    {
        let chunks = vec![header(), diff(Bytes::new()), content(b"x"), last];
        let Ok(Opened::InPieces(_, pieces)) = opened(chunks).await else { panic!("no pieces") };
        let failed = pieces.try_collect::<Vec<_>>().await;
        assert_eq!(failed.map(drop).map_err(|error| error.code), Err(code));
    }
}
