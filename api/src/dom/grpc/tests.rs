//! The service over a real connection, against the in-memory room.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use tower::Service;
use vdom_core::ErrorCode;
use vdom_core::dom::calls::{OnConflict, WriteOutcome};
use vdom_core::dom::diff::Diff;
use vdom_proto::v1 as wire;
use vdom_proto::v1::memory_gateway_client::MemoryGatewayClient;
use vdom_proto::v1::memory_gateway_server::MemoryGateway;
use vdom_proto::v1::write_diffs_chunk::Chunk;

use super::fast_path::FastPathService;
use super::*;
use crate::dom::convert::decode;
use crate::dom::fake::{ENDLESS_PATH, EPOCH, FakeDocumentService, caller};
use vdom_edge::Environment;
use vdom_edge::caller::{Caller, CheckedCaller};
use vdom_edge::error::from_status;
use vdom_edge::observe::Metrics;
use vdom_edge::serve::{Bind, Listener, RequestContext, RequestService, ServeSettings, Server};
use vdom_edge::token::{TokenSettings, TokenVerifier, generate_secret_file};

mod conversions;
mod sets;

fn environment() -> Environment {
    let fill = |bytes: &mut [u8]| {
        bytes.fill(0xcd);
        Ok(())
    };
    Environment::new(std::time::SystemTime::now, Duration::default, fill)
}

struct Door {
    dom: Arc<FakeDocumentService>,
    metrics: Metrics,
    client: MemoryGatewayClient<Channel>,
    _server: Server,
}

impl Door {
    async fn open() -> Self {
        Self::with_tokens(TokenVerifier::anonymous()).await
    }

    async fn with_tokens(tokens: TokenVerifier) -> Self {
        let dom = Arc::new(FakeDocumentService::default());
        let metrics = Metrics::new("test", "1");
        let context = RequestContext {
            tokens,
            environment: environment(),
            route_labels: crate::route_labels(),
            metrics: metrics.requests(),
            transport: "tcp",
            draining: CancellationToken::new(),
        };
        let routes = Routes::new(document_server(Arc::clone(&dom), Compression::WhereAccepted));
        let usual = RequestService::new(routes.prepare().into_axum_router(), context);
        let (reads, path) = (MemoryReads::new(Arc::clone(&dom)), usual.path().clone());
        let service = FastPathService::new(reads, path, usual);
        let address = "127.0.0.1:0".parse().expect("an address");
        let listener =
            Listener::bind(&Bind::Tcp { address, reuse_port: false }).await.expect("a listener");
        let server = Server::start(listener, service, ServeSettings::default());
        let url = format!("http://{}", server.local_address().expect("a listener"));
        let client = MemoryGatewayClient::connect(url).await.expect("connected");
        Self { dom, metrics, client, _server: server }
    }

    async fn write(&mut self, path: &str, content: &[u8]) -> wire::WriteDiffResponse {
        let request = wire::WriteDiffRequest { diff_bson: Diff::put_file(content), ..at(path) };
        self.client.write_diff(request).await.expect("written").into_inner()
    }

    async fn refused(&mut self, request: wire::WriteDiffRequest) -> Status {
        self.client.write_diff(request).await.expect_err("refused")
    }
}

fn at(path: &str) -> wire::WriteDiffRequest {
    wire::WriteDiffRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        path: path.to_owned(),
        ..Default::default()
    }
}

fn read(path: &str) -> wire::ReadSnapshotRequest {
    wire::ReadSnapshotRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        path: path.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_node_is_written_read_watched_and_listed() {
    let mut door = Door::open().await;
    let written = door.write("src/a", b"one").await;
    assert!(written.success);
    assert_eq!((written.epoch, written.revision, written.new_version), (EPOCH, 1, 1));
    let snapshot = door.client.read_snapshot(read("src/a")).await.expect("read").into_inner();
    assert_eq!(&snapshot.content[..], b"one");
    assert_eq!(snapshot.vector_clock, written.vector_clock);

    let conflict = door.write("src/a", b"two").await;
    assert!(!conflict.success);
    let conflict = conflict.conflict.expect("a conflict");
    assert_eq!(conflict.reason(), wire::conflict_info::Reason::PathExists);
    assert_eq!(&conflict.current_content[..], b"one");

    let tree = wire::ReadTreeRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        ..Default::default()
    };
    let mut entries = door.client.read_tree(tree).await.expect("a tree").into_inner();
    let entry = entries.message().await.expect("an entry").expect("one");
    assert_eq!((entry.path.as_str(), entry.size_bytes, entry.content_omitted), ("src/a", 3, true));
    assert_eq!(entries.message().await.expect("the end"), None);

    let watch = wire::SubscribeRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        from_epoch: EPOCH,
        include_diffs: true,
        ..Default::default()
    };
    let mut events = door.client.subscribe_changes(watch).await.expect("events").into_inner();
    let created = events.message().await.expect("an event").expect("one");
    assert_eq!(created.r#type(), wire::change_event::Type::Create);
    assert_eq!((created.repo.as_str(), created.revision), ("vdom", 1));
    assert_eq!(created.diff_bson, Diff::put_file(b"one"));
    let progress = events.message().await.expect("an event").expect("one");
    assert_eq!(progress.r#type(), wire::change_event::Type::Progress);
    let lagged = from_status(&events.message().await.expect_err("the end"));
    assert_eq!((lagged.code, lagged.revision), (ErrorCode::Lagged, Some(1)));

    let history = wire::GetHistoryRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        ..Default::default()
    };
    let page = door.client.get_history(history).await.expect("a page").into_inner();
    assert_eq!((page.changes.len(), page.revision), (1, 1));
    let repos = door.client.list_repos(wire::ListReposRequest::default()).await.expect("repos");
    assert_eq!(repos.into_inner().repos[0].name, "repo-of-default");
    let branches = wire::ListBranchesRequest { repo: "vdom".to_owned(), ..Default::default() };
    let branches = door.client.list_branches(branches).await.expect("branches").into_inner();
    assert_eq!(branches.branches[0].head_hash.len(), 32);
}

#[tokio::test]
async fn bad_requests_are_refused_before_the_room_sees_them() {
    let mut door = Door::open().await;
    let put = || wire::WriteDiffRequest { diff_bson: Diff::put_file(b"x"), ..at("a") };
    let clock = |actors: usize| wire::VectorClock {
        entries: (0..actors).map(|actor| (format!("actor-{actor}"), 1)).collect(),
    };
    let metadata = |entries: usize, bytes: usize| {
        (0..entries).map(|entry| (format!("{entry}"), "x".repeat(bytes))).collect()
    };
    // The ids of requests that bring none follow one another.
    let mut ids = 0xcd_u8..;
    for (request, why) in [
        (wire::WriteDiffRequest { diff_bson: Bytes::new(), ..put() }, "diff_bson is empty"),
        (wire::WriteDiffRequest { repo: "a b".to_owned(), ..put() }, "repo"),
        (wire::WriteDiffRequest { branch: "a..b".to_owned(), ..put() }, "branch"),
        (wire::WriteDiffRequest { path: "a/../b".to_owned(), ..put() }, "path"),
        (wire::WriteDiffRequest { realm: "/".to_owned(), ..put() }, "realm"),
        (wire::WriteDiffRequest { node_id: Bytes::from_static(b"x"), ..put() }, "needs 16"),
        (wire::WriteDiffRequest { operation_id: Bytes::from_static(b"x"), ..put() }, "needs 16"),
        (wire::WriteDiffRequest { kind: 99, ..put() }, "kind 99 is not known"),
        (wire::WriteDiffRequest { on_conflict: -1, ..put() }, "on_conflict -1 is not known"),
        (wire::WriteDiffRequest { min_ack: 7, ..put() }, "min_ack 7 is not known"),
        (wire::WriteDiffRequest { actor: "x".repeat(257), ..put() }, "actor"),
        (wire::WriteDiffRequest { author: "a\nb".to_owned(), ..put() }, "author"),
        (wire::WriteDiffRequest { message: "x".repeat(65_537), ..put() }, "message has 65537"),
        (wire::WriteDiffRequest { metadata: metadata(65, 1), ..put() }, "metadata has 65 entries"),
        (wire::WriteDiffRequest { metadata: metadata(2, 5_000), ..put() }, "metadata has 10002"),
        (wire::WriteDiffRequest { vector_clock: Some(clock(65)), ..put() }, "65 actors"),
    ] {
        let status = door.refused(request).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{why}");
        assert!(status.message().contains(why), "{why}: {}", status.message());
        let details = status.get_error_details();
        assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("InvalidArgument"));
        let id = details.request_info().map(|info| info.request_id.clone());
        let last = ids.next().expect("few requests");
        assert_eq!(id, Some(format!("{}{last:02x}", "cd".repeat(15))));
    }
    let mut nothing = read("");
    nothing.path.clear();
    let both = wire::ReadSnapshotRequest { node_id: Bytes::from(vec![1; 16]), ..read("a") };
    for request in [nothing, both] {
        let status = door.client.read_snapshot(request).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    assert!(door.dom.written().is_empty());
}

#[tokio::test]
async fn refusals_of_the_library_are_ours_too() {
    let mut door = Door::open().await;
    let large = wire::WriteDiffRequest { diff_bson: vec![0; 5 << 20].into(), ..at("a") };
    let status = door.refused(large.clone()).await;
    assert_eq!(
        (status.code(), from_status(&status).code),
        (Code::ResourceExhausted, ErrorCode::TooLarge,)
    );
    door.client = door.client.clone().send_compressed(CompressionEncoding::Gzip);
    let status = door.refused(large).await;
    assert_eq!(from_status(&status).code, ErrorCode::TooLarge, "{status:?}");
}

#[tokio::test]
async fn large_contents_stream_both_ways() {
    let mut door = Door::open().await;
    let content = vec![b'x'; (2 << 20) + 5];
    let header = wire::WriteDiffsRequest {
        repo: "vdom".to_owned(),
        branch: "main".to_owned(),
        ..Default::default()
    };
    let diff = wire::WriteDiffRequest { path: "big".to_owned(), ..Default::default() };
    let mut chunks = vec![Chunk::Header(header), Chunk::Diff(diff)];
    chunks.extend(content.chunks(700_000).map(|piece| Chunk::Content(piece.to_vec().into())));
    let chunks = chunks.into_iter().map(|chunk| wire::WriteDiffsChunk { chunk: Some(chunk) });
    let written =
        door.client.write_diffs_stream(stream::iter(chunks)).await.expect("written").into_inner();
    assert!(written.success);
    assert_eq!((written.first_revision, written.last_revision, written.results.len()), (1, 1, 1));

    let unary = door.client.read_snapshot(read("big")).await.expect_err("too large");
    assert_eq!(from_status(&unary).code, ErrorCode::TooLarge);
    let mut pieces =
        door.client.read_snapshot_stream(read("big")).await.expect("a stream").into_inner();
    let head = pieces.message().await.expect("a chunk").expect("one");
    assert_eq!(head.size_bytes, content.len() as u64);
    assert!(head.snapshot.is_some_and(|snapshot| snapshot.content.is_empty()));
    let mut received = Vec::new();
    while let Some(piece) = pieces.message().await.expect("a chunk") {
        received.extend_from_slice(&piece.content);
    }
    assert!(received == content, "byte for byte");
}

/// Asks the service itself; the first byte of the answer, which says whether it
/// is compressed, and the encoding that the head names.
async fn compressed(dom: &Arc<FakeDocumentService>, path: &str, accepted: &str) -> (u8, String) {
    let mut message = BytesMut::from(&[0][..]);
    let request = read(path).encode_to_vec();
    message.put_u32(request.len() as u32);
    message.extend_from_slice(&request);
    let mut request = http::Request::post("/virtualdom.v1.MemoryGateway/ReadSnapshot")
        .header("content-type", "application/grpc")
        .header("grpc-accept-encoding", accepted)
        .body(tonic::body::Body::new(Full::new(message.freeze())))
        .expect("a request");
    request.extensions_mut().insert(CheckedCaller(Ok(caller())));
    let mut server = document_server(Arc::clone(dom), Compression::WhereAccepted);
    let response = server.call(request).await.expect("infallible");
    let encoding = response.headers().get("grpc-encoding");
    let encoding = encoding.map_or("", |value| value.to_str().expect("ASCII")).to_owned();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (body[0], encoding)
}

#[tokio::test]
async fn answers_above_one_kibibyte_are_compressed_for_who_accepts_it() {
    let mut door = Door::open().await;
    door.write("small", b"x").await;
    door.write("large", &[b'x'; 10_000]).await;
    for (accepted, flag) in [("gzip", 1), ("zstd", 1), ("identity", 0), ("br", 0)] {
        let (compressed_flag, encoding) = compressed(&door.dom, "large", accepted).await;
        assert_eq!(compressed_flag, flag, "{accepted}");
        assert_eq!(encoding, if flag == 1 { accepted } else { "" });
        assert_eq!(compressed(&door.dom, "small", accepted).await.0, 0, "{accepted}");
    }
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let client = door.client.clone().accept_compressed(encoding).send_compressed(encoding);
        let answer = client.clone().read_snapshot(read("large")).await.expect("read");
        assert_eq!(answer.into_inner().content.len(), 10_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_is_given_up_and_nobodys_is_not_read() {
    let endless = || {
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Status>>());
        http::Request::post("/virtualdom.v1.MemoryGateway/ReadSnapshot")
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::new(body))
            .expect("a request")
    };
    let mut server = document_server(Arc::new(FakeDocumentService::default()), Compression::Never);
    let nobody = server.call(endless()).await.expect("infallible");
    assert_eq!(nobody.headers()["grpc-status"], "16");
    let mut request = endless();
    request.extensions_mut().insert(CheckedCaller(Ok(caller())));
    let late = server.call(request).await.expect("infallible");
    assert_eq!(late.headers()["grpc-status"], "4");
}

#[tokio::test]
async fn calls_of_other_rooms_say_that_they_are_not_offered() {
    let mut door = Door::open().await;
    let refusal = door.client.collaborative_session(stream::empty()).await.map(drop);
    let error = from_status(&refusal.expect_err("not offered"));
    assert_eq!(error.code, ErrorCode::Unimplemented);
    assert!(error.message.contains("is not offered by this server"), "{error}");
    let rendered = door.metrics.render().expect("text");
    let line = "vdom_requests_total{call=\"CollaborativeSession\",code=\"UNIMPLEMENTED\",\
                transport=\"tcp\"} 1";
    assert!(rendered.contains(line), "{rendered}");
    door.write("a", b"x").await;
}

#[tokio::test]
async fn nobody_gets_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    generate_secret_file(&secret).expect("a secret");
    let tokens = TokenVerifier::load(TokenSettings {
        issuer: "us".to_owned(),
        audience: "vdom".to_owned(),
        key_files: vec![secret],
        ..TokenSettings::default()
    })
    .await
    .expect("keys");
    let mut door = Door::with_tokens(tokens).await;
    let status = door.client.read_snapshot(read("a")).await.expect_err("refused");
    assert_eq!(status.code(), Code::Unauthenticated);
    let mut forged = Request::new(read("a"));
    forged.metadata_mut().insert("authorization", "Bearer a.b.c".parse().expect("ASCII"));
    let status = door.client.read_snapshot(forged).await.expect_err("refused");
    assert!(status.message().contains("not a signed JWT"), "{status:?}");
    let status = door.client.revert_changes(wire::RevertChangesRequest::default()).await;
    assert_eq!(status.expect_err("refused").code(), Code::Unauthenticated);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_the_callers_deadline_or_at_the_default() {
    let service = service::DocumentCalls::new(Arc::new(FakeDocumentService::default()));
    let begun = tokio::time::Instant::now();
    let named = std::time::Instant::now() + Duration::from_secs(5);
    for (deadline, seconds) in [(Some(named), 5), (None, 35)] {
        let mut request = Request::new(read(ENDLESS_PATH));
        let caller = Caller { deadline, ..caller() };
        request.extensions_mut().insert(CheckedCaller(Ok(caller)));
        let status = service.read_snapshot(request).await.expect_err("late");
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(begun.elapsed() >= Duration::from_secs(seconds), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_refused() {
    let mut door = Door::open().await;
    let mut request = Request::new(read("a"));
    request.metadata_mut().insert("grpc-timeout", "soon".parse().expect("ASCII"));
    let status = door.client.read_snapshot(request).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[test]
fn merge_is_passed_on_for_the_room_to_decide() {
    let merge = wire::WriteDiffRequest {
        diff_bson: Diff::delete(),
        on_conflict: wire::OnConflict::Merge.into(),
        ..at("a")
    };
    let request = decode::write_diff(merge, None).expect("read");
    assert_eq!(request.on_conflict, OnConflict::Merge);
    let unreadable = decode::write_outcome(wire::WriteDiffResponse::default());
    assert_eq!(
        unreadable.map(|_: WriteOutcome| ()).map_err(|error| error.code),
        Err(ErrorCode::Internal)
    );
}
