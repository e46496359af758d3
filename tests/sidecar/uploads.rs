//! Contents that are streamed through a sidecar.

use bytes::Bytes;
use vdom_proto::v1;
use vdom_proto::v1::write_diffs_chunk::Chunk;
use vdom_testkit::client::Client;
use vdom_testkit::gateway::TestGateway;
use vdom_testkit::sidecar::TestSidecar;

const LARGE: usize = 3 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_content_keeps_its_conflict_through_a_sidecar_as_at_the_gateway() {
    let gateway = TestGateway::start().await;
    let sidecar = TestSidecar::start(&gateway.grpc_url()).await;
    for (name, url) in [("gateway", gateway.grpc_url()), ("sidecar", sidecar.url())] {
        let mut client = Client::connect(&url, None).await;
        client.overwrite(name, b"stands").await.expect("written");
        let diff = v1::WriteDiffRequest {
            keep_conflict: true,
            diff_bson: Bytes::new(),
            message: "why".to_owned(),
            ..client.put_request(name, b"")
        };
        let content = vec![7; LARGE];
        let header = [Chunk::Header(client.set_header()), Chunk::Diff(diff)];
        let pieces = content.chunks(1 << 20).map(|piece| Chunk::Content(piece.to_vec().into()));
        let answer = client.stream_set(header.into_iter().chain(pieces).collect()).await;
        let answer = answer.unwrap_or_else(|status| panic!("{name}: {status:?}"));
        let conflict = answer.results[0].conflict.as_ref().expect("a conflict");
        assert_eq!(conflict.conflict_id.len(), 16, "{name}: it is kept");

        let resolve = v1::ResolveConflictRequest {
            repo: client.repo.clone(),
            branch: client.branch.clone(),
            conflict_id: conflict.conflict_id.clone(),
            resolution: v1::resolve_conflict_request::Resolution::Theirs.into(),
            ..Default::default()
        };
        let resolved = client.raw.resolve_conflict(resolve).await.expect("resolved").into_inner();
        assert!(resolved.written.is_some_and(|written| written.success), "{name}");
    }
    sidecar.sidecar.drain().await;
    gateway.gateway.drain().await.expect("drained");
}
