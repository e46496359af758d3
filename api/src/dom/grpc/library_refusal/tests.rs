//! The library's real refusals, each provoked: another version that words them in another
//! way fails here.

use std::io::Write;
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use flate2::write::GzEncoder;
use http_body_util::Full;
use prost::Message;
use tower::Service;
use vdom_edge::caller::CheckedCaller;
use vdom_edge::error::from_status;
use vdom_proto::v1 as wire;
use vdom_proto::v1::write_diffs_chunk::Chunk;

use super::super::{Compression, document_server};
use super::*;
use crate::dom::fake::{FakeDocumentService, caller};

/// What a server answers to these bytes.
async fn refusal(call: &str, encoding: Option<&str>, body: Vec<u8>) -> Error {
    let mut request = http::Request::post(format!("/virtualdom.v1.MemoryGateway/{call}"))
        .header("content-type", "application/grpc");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let body = tonic::body::Body::new(Full::new(Bytes::from(body)));
    let mut request = request.body(body).expect("a request");
    request.extensions_mut().insert(CheckedCaller(Ok(caller())));
    let mut server = document_server(Arc::new(FakeDocumentService::default()), Compression::Never);
    let response = server.call(request).await.expect("infallible");
    let status = Status::from_header_map(response.headers()).expect("a refusal");
    assert!(!status.details().is_empty(), "{call}: bare {status:?}");
    from_status(&status)
}

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.put_u32(message.len() as u32);
    frame.extend_from_slice(message);
    frame
}

#[tokio::test]
async fn every_refusal_of_the_library_has_our_words() {
    use ErrorCode::{InvalidArgument, TooLarge, Unimplemented};
    let zeros = vec![0; UNARY_MESSAGE_MAX_BYTES + 1];
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&zeros).expect("compressed");
    let gzip = gzip.finish().expect("compressed");
    let zstd = zstd::bulk::compress(&zeros, zstd::DEFAULT_COMPRESSION_LEVEL).expect("compressed");
    // A head that announces more than is allowed, and one that announces more than comes.
    let (mut long, mut cut) = (vec![0], vec![0]);
    long.put_u32(UNARY_MESSAGE_MAX_BYTES as u32 + 1);
    cut.put_u32(9);
    for (encoding, body, code, words) in [
        (None, long, TooLarge, "is larger than 4194304 bytes: stream the content"),
        (Some("gzip"), frame(1, &gzip), TooLarge, "4194304 bytes once decompressed"),
        (Some("zstd"), frame(1, &zstd), TooLarge, "4194304 bytes once decompressed"),
        (Some("gzip"), frame(1, b"no gzip"), InvalidArgument, "cannot be read: Error decompress"),
        (Some("br"), frame(1, b""), Unimplemented, "compressed with `br` which isn't supported"),
        (None, frame(1, b""), InvalidArgument, "cannot be read: protocol error"),
        (None, frame(7, b""), InvalidArgument, "invalid compression flag: 7"),
        (None, frame(0, &[0xff; 3]), InvalidArgument, "cannot be read: "),
        (None, cut, InvalidArgument, "cannot be read: Unexpected EOF"),
        (None, Vec::new(), InvalidArgument, "cannot be read: Missing request message"),
    ] {
        // One that the library serves, and the one that is served in front of it.
        for call in ["ReadSnapshot", "SubscribeChanges"] {
            let error = refusal(call, encoding, body.clone()).await;
            assert_eq!(error.code, code, "{call}: {error}");
            assert!(error.message.contains(words), "{call}: {error}");
        }
    }
}

#[tokio::test]
async fn a_refusal_within_a_stream_has_our_words_too() {
    let header = wire::WriteDiffsRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        ..Default::default()
    };
    let header = wire::WriteDiffsChunk { chunk: Some(Chunk::Header(header)) };
    let stream = [frame(0, &header.encode_to_vec()), frame(7, b"")].concat();
    let error = refusal("WriteDiffsStream", None, stream).await;
    assert_eq!(error.code, ErrorCode::InvalidArgument, "{error}");
    assert!(error.message.contains("invalid compression flag: 7"), "{error}");
}

#[test]
fn what_is_ours_is_left_alone() {
    let ours = vdom_edge::error::to_status(Error::invalid("no"), "request-1");
    assert_eq!(library_refusal(&ours), None);
    assert_eq!(library_refusal(&Status::unavailable("the connection is gone")), None);
}
