//! What is answered at once, beside what the usual way answers.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Version};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use vdom_core::Diff;
use vdom_edge::Environment;
use vdom_edge::observe::Metrics;
use vdom_edge::serve::{RequestContext, RequestPath, RequestService};
use vdom_edge::token::TokenVerifier;

use super::*;
use crate::dom::fake::{ENDLESS_PATH, FakeDocumentService, caller};
use crate::dom::grpc::fast_path::{FastPathBody, FastPathService, PATH};
use crate::dom::grpc::{Compression, document_server};

fn framed(request: &wire::ReadSnapshotRequest, accepts: Option<&str>) -> Request<Full<Bytes>> {
    let message = request.encode_to_vec();
    let framed = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
    let mut head = Request::post(PATH).version(Version::HTTP_2);
    head = head.header(CONTENT_TYPE, "application/grpc").header("te", "trailers");
    if let Some(accepts) = accepts {
        head = head.header(ACCEPT_ENCODING, accepts);
    }
    head.body(Full::from(framed)).unwrap()
}

async fn message<B: Body<Data = Bytes, Error: std::fmt::Debug>>(body: B) -> Bytes {
    let mut collected = body.collect().await.unwrap().to_bytes();
    collected.split_off(FRAME_HEAD_BYTES)
}

#[tokio::test]
async fn what_memory_has_is_answered_as_on_the_usual_way() {
    let environment = Environment::new(std::time::SystemTime::now, Duration::default, |bytes| {
        bytes.fill(1);
        Ok(())
    });
    let context = RequestContext {
        tokens: TokenVerifier::anonymous(),
        environment,
        route_labels: crate::route_labels(),
        metrics: Metrics::new("test", "0").requests(),
        transport: "tcp",
        draining: CancellationToken::new(),
    };
    let room = Arc::new(FakeDocumentService::default());
    let routes = tonic::service::Routes::new(document_server(room.clone(), Compression::Never));
    let usual = RequestService::new(routes.prepare().into_axum_router(), context.clone());
    let reads = MemoryReads::new(room.clone());
    let fast = FastPathService::new(reads, RequestPath::new(context), usual.clone());
    let read = |path: &str| wire::ReadSnapshotRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        path: path.to_owned(),
        ..Default::default()
    };
    for (path, content) in [("small", &b"one"[..]), ("large", &[7; 2 * COMPRESS_ABOVE_BYTES])] {
        let request = wire::WriteDiffRequest {
            repo: "vdom".to_owned(),
            branch: "main".to_owned(),
            path: path.to_owned(),
            diff_bson: Diff::put_file(content),
            ..Default::default()
        };
        let request = decode::write_diff(request, None).unwrap();
        room.write_diff(&caller(), request).await.unwrap();
    }
    // Path, the encodings that the peer takes, whether it is answered at once.
    for (path, accepts, at_once) in [
        ("small", None, true),
        ("small", Some("gzip"), true),
        ("large", None, true),
        ("large", Some("zstd, gzip"), false),
        ("absent", None, false),
        ("../absent", None, false),
    ] {
        let answer = fast.clone().oneshot(framed(&read(path), accepts)).await.unwrap();
        let expected = usual.clone().oneshot(framed(&read(path), accepts)).await.unwrap();
        assert_eq!(matches!(answer.body(), FastPathBody::Ready(_)), at_once, "{path} {accepts:?}");
        assert_eq!(answer.headers().get("grpc-status"), expected.headers().get("grpc-status"));
        if !answer.headers().contains_key("grpc-status") {
            assert_eq!(message(answer).await, message(expected).await, "{path} {accepts:?}");
        }
    }
    // What must be waited for is waited for on the usual way.
    let endless = fast.oneshot(framed(&read(ENDLESS_PATH), None));
    assert!(tokio::time::timeout(Duration::from_millis(20), endless).await.is_err());
}
