//! Messages above their limits: before they are decoded, before they are
//! inflated.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Method};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use vdom_core::Diff;
use vdom_core::dom::diff::TextOperation;
use vdom_proto::v1;
use vdom_proto::v1::write_diffs_chunk::Chunk;
use vdom_testkit::channel::http2;
use vdom_testkit::http::{HttpAnswer, request};
use vdom_testkit::raw;

use super::{Server, check_refused, document, meta_request};

at_both_doors! {
    a_unary_message_has_at_most_4_mib
    a_message_that_inflates_beyond_the_limit_is_refused
    a_streamed_content_has_at_most_100_mib
    a_content_that_breaks_off_is_not_written
    frames_that_lie_are_refused
    a_stream_that_cannot_be_read_is_refused
    a_document_has_at_most_what_a_message_takes
}

const MIB: usize = 1 << 20;

async fn a_unary_message_has_at_most_4_mib(mut server: Server) {
    for size in [4 * MIB, 5 * MIB, 20 * MIB] {
        let request = server.client.put_request("large", &vec![7; size]);
        let words = ["4194304 bytes", "WriteDiffsStream"];
        server.refuse(&format!("{size} bytes"), request, "TooLarge", &words).await;
    }
    let many = (0..100_001).map(|_| TextOperation::Retain(0)).collect::<Vec<_>>();
    let request = server.edit_file(Diff::text(&many));
    server.refuse("100,001 operations", request, "TooLarge", &["100000 operations"]).await;
    let text = "x".repeat(2 * MIB);
    let request = server.edit_file(Diff::text(&[TextOperation::insert(&text)]));
    server.refuse("a large edit", request, "TooLarge", &["1048576 are allowed", "`put`"]).await;
    server.check_serves().await;
}

async fn a_message_that_inflates_beyond_the_limit_is_refused(mut server: Server) {
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let mut client = server.client.raw.clone().send_compressed(encoding);
        let bomb = server.client.put_request("bomb", &vec![0; 64 * MIB]);
        let answer = client.write_diff(bomb).await;
        let what = format!("{encoding:?}");
        let words = ["4194304 bytes", "decompressed"];
        check_refused(&what, answer, "TooLarge", &words);
        server.check_untouched(&what).await;
        // What is compressed and stays within the limit is fine.
        let fine = server.client.put_request(&format!("fine with {what}"), &vec![0; 3 * MIB]);
        let written = client.write_diff(fine).await.expect("written").into_inner();
        server.meta.revision = written.revision;
    }
    server.check_serves().await;
}

async fn a_streamed_content_has_at_most_100_mib(mut server: Server) {
    let diff =
        v1::WriteDiffRequest { diff_bson: Bytes::new(), ..server.client.put_request("large", b"") };
    let piece = Bytes::from(vec![7; MIB]);
    let pieces = std::iter::repeat_n(Chunk::Content(piece), 101);
    let chunks = [Chunk::Header(server.client.set_header()), Chunk::Diff(diff)];
    let chunks = chunks.into_iter().chain(pieces);
    let chunks = chunks.map(|chunk| v1::WriteDiffsChunk { chunk: Some(chunk) });
    let answer = server.client.raw.write_diffs_stream(tokio_stream::iter(chunks)).await;
    check_refused("101 MiB", answer, "TooLarge", &["104857600 bytes"]);
    server.check_untouched("101 MiB").await;
    server.check_serves().await;
}

/// Sends the body of a gRPC-Web call as it is.
async fn send_frame(server: &Server, body: Bytes, encoding: Option<&str>) -> HttpAnswer {
    let mut call = request(Method::POST, "/virtualdom.v1.MemoryGateway/WriteDiff", body);
    let headers = call.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc-web+proto"));
    if let Some(encoding) = encoding {
        headers.insert("grpc-encoding", HeaderValue::try_from(encoding).expect("text"));
    }
    server.http().send(call).await
}

fn frame(flags: u8, length: u32, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(flags);
    frame.put_u32(length);
    frame.put_slice(message);
    frame.freeze()
}

/// The status of a gRPC-Web answer, from its head or its trailers.
fn grpc_status(answer: &HttpAnswer) -> Option<u32> {
    let in_head = answer.header("grpc-status").map(str::to_owned);
    let in_trailers = || {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let status = text.split("grpc-status:").nth(1)?;
        Some(status.split("\r\n").next()?.trim().to_owned())
    };
    in_head.or_else(in_trailers)?.parse().ok()
}

/// A client may go away in the middle; what came until then is not the content.
async fn a_content_that_breaks_off_is_not_written(mut server: Server) {
    for number in 0..16_usize {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let mut client = server.client.raw.clone();
        let chunks = ReceiverStream::new(receiver);
        let call = tokio::spawn(async move { client.write_diffs_stream(chunks).await });
        let diff = v1::WriteDiffRequest {
            diff_bson: Bytes::new(),
            ..server.client.put_request(&format!("broken/{number}"), b"")
        };
        let piece = Bytes::from(vec![7; MIB / 2]);
        let pieces = std::iter::repeat_n(Chunk::Content(piece), number % 4);
        let chunks = [Chunk::Header(server.client.set_header()), Chunk::Diff(diff)];
        for chunk in chunks.into_iter().chain(pieces) {
            let chunk = v1::WriteDiffsChunk { chunk: Some(chunk) };
            sender.send(chunk).await.expect("the connection takes it");
        }
        call.abort();
        assert!(call.await.is_err_and(|error| error.is_cancelled()));
        server.check_untouched(&format!("round {number}")).await;
    }
    server.check_serves().await;
}

async fn frames_that_lie_are_refused(mut server: Server) {
    const INVALID_ARGUMENT: u32 = 3;
    const RESOURCE_EXHAUSTED: u32 = 8;
    const UNIMPLEMENTED: u32 = 12;
    let message = prost::Message::encode_to_vec(&server.client.put_request("new", b"content"));
    let length = u32::try_from(message.len()).expect("small");
    let long = u32::try_from(5 * MIB).expect("small");
    for (what, body, encoding, statuses) in [
        ("no frame", Bytes::new(), None, &[INVALID_ARGUMENT][..]),
        ("half a frame's head", Bytes::from_static(b"\0\0\0"), None, &[INVALID_ARGUMENT]),
        ("4 GiB announced", frame(0, u32::MAX, &message), None, &[RESOURCE_EXHAUSTED]),
        ("5 MiB announced", frame(0, long, &message), None, &[RESOURCE_EXHAUSTED]),
        ("more than is there", frame(0, length + 9, &message), None, &[INVALID_ARGUMENT]),
        ("less than is there", frame(0, length - 9, &message), None, &[INVALID_ARGUMENT]),
        ("unknown flags", frame(0x42, length, &message), None, &[INVALID_ARGUMENT]),
        ("not compressed", frame(1, length, &message), Some("gzip"), &[INVALID_ARGUMENT]),
        ("unnamed compression", frame(1, length, &message), None, &[INVALID_ARGUMENT]),
        ("unknown compression", frame(1, length, &message), Some("br"), &[UNIMPLEMENTED]),
        ("no message", frame(0, 4, b"\xff\xff\xff\xff"), None, &[INVALID_ARGUMENT]),
    ] {
        let answer = send_frame(&server, body, encoding).await;
        let status = grpc_status(&answer);
        assert!(status.is_some_and(|it| statuses.contains(&it)), "{what}: {answer:?}");
        server.check_untouched(what).await;
    }
    server.check_serves().await;
}

async fn a_stream_that_cannot_be_read_is_refused(mut server: Server) {
    let channel = http2(&server.grpc_url(), None).await;
    let header = v1::WriteDiffsChunk { chunk: Some(Chunk::Header(server.client.set_header())) };
    let header = Bytes::from(prost::Message::encode_to_vec(&header));
    let garbage = Bytes::from_static(b"\xff\xff\xff\xff");
    let large = Bytes::from(vec![0; 5 * MIB]);
    for (what, messages, code, words) in [
        ("nothing", vec![], "InvalidArgument", "begin with a header"),
        ("no chunk", vec![Bytes::new()], "InvalidArgument", "neither header, diff nor content"),
        ("no diff", vec![header.clone()], "InvalidArgument", "has no diff"),
        ("two headers", vec![header.clone(), header.clone()], "InvalidArgument", "a second header"),
        ("garbage", vec![garbage], "InvalidArgument", "cannot be read"),
        ("a large piece", vec![header, large], "TooLarge", "4194304 bytes"),
    ] {
        let answer = raw::first_answer(&channel, "WriteDiffsStream", messages).await;
        check_refused(what, answer, code, &[words]);
        server.check_untouched(what).await;
    }
    server.check_serves().await;
}

async fn a_document_has_at_most_what_a_message_takes(mut server: Server) {
    let large = document(|it| it.append_bytes("b", &vec![0; 5 * MIB]));
    let request = meta_request(&server.client, "new", &large);
    server.refuse("5 MiB", request, "TooLarge", &["4194304"]).await;
    server.check_serves().await;
}
