//! The prepared answers of the fast path, beside those of the ordinary one.

use std::convert::Infallible;

use axum::Router;
use http_body_util::{BodyExt, Full};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use vdom_api::dom::grpc::fast_path::{
    FRAME_HEAD_BYTES, FastPathBody, FastPathService, PATH, RewindBody,
};
use vdom_edge::observe::Metrics;
use vdom_edge::serve::{RequestPath, RequestService};
use vdom_edge::token::TokenVerifier;
use vdom_proto::v1 as wire;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, Version};
use http_body::{Body, Frame};
use std::time::Duration;
use vdom_edge::serve::RequestContext;

use super::*;
use crate::branch::{Joined, StalenessPolicy};
use crate::branches::BranchSettings;
use crate::cache::NodeKey;
use crate::fixtures::{EPOCH, address, id, node, path, snapshot};
use crate::identity::OwnIdentity;
use crate::sidecar::SidecarSettings;
use crate::upstream::{Upstream, UpstreamAddress};
use vdom_edge::Environment;

/// A sidecar whose gateway is not there, with what a test puts into its cache.
struct Setup {
    sidecar: Sidecar,
    context: RequestContext,
}

impl Setup {
    fn new() -> Self {
        let ones = |bytes: &mut [u8]| {
            bytes.fill(1);
            Ok(())
        };
        let environment = Environment::new(std::time::SystemTime::now, Duration::default, ones);
        let gateway = UpstreamAddress { url: "http://127.0.0.1:1".into(), ca_file: None };
        let upstream =
            Upstream::new(&gateway, OwnIdentity::anonymous(), environment.clone()).unwrap();
        let long = Duration::from_secs(3_600);
        let settings = SidecarSettings {
            cache_max_bytes: 16 << 20,
            branches: BranchSettings {
                max_branches: 4,
                staleness: StalenessPolicy { stale_after: long, offline_max: long },
            },
            idle_after: long,
        };
        let runtime = tokio::runtime::Handle::current();
        let sidecar = Sidecar::new(upstream, environment.clone(), &settings, runtime);
        let context = RequestContext {
            tokens: TokenVerifier::anonymous(),
            environment,
            route_labels: vdom_api::route_labels(),
            metrics: Metrics::new("test", "0").requests(),
            transport: "tcp",
            draining: CancellationToken::new(),
        };
        Self { sidecar, context }
    }

    fn keep(&self, number: u8, at_path: &str, content: &[u8]) {
        let branch = self.sidecar.branches().open(&address()).unwrap();
        let Joined::First(mut load, _) = branch.join(&NodeKey::Path(path(at_path)), 0) else {
            panic!("nobody else loads");
        };
        load.ask();
        load.settle(Ok(snapshot(node(number, at_path, 3, content), 300)));
    }

    fn usual(&self) -> RequestService<Router> {
        let calls = vdom_api::dom::grpc::document_server(
            Arc::new(self.sidecar.clone()),
            vdom_api::dom::grpc::Compression::Never,
        );
        let routes = tonic::service::Routes::new(calls).prepare().into_axum_router();
        RequestService::new(routes, self.context.clone())
    }

    /// The fast path before another way.
    fn before<S>(&self, usual: S) -> FastPathService<CachedReads, S> {
        let path = RequestPath::new(self.context.clone());
        FastPathService::new(CachedReads::new(self.sidecar.clone()), path, usual)
    }

    /// The answer of the fast path, which must have given it itself, and the one
    /// of the usual way.
    async fn both(&self, request: &wire::ReadSnapshotRequest) -> [wire::ReadSnapshotResponse; 2] {
        let hot = self.before(self.usual()).oneshot(http(request)).await.unwrap();
        assert!(matches!(hot.body(), FastPathBody::Ready(_)), "the fast path gives way");
        let usual = self.usual().oneshot(http(request)).await.unwrap();
        assert_eq!(hot.status(), usual.status());
        assert_eq!(hot.headers()[CONTENT_TYPE], usual.headers()[CONTENT_TYPE]);
        [decoded(hot).await, decoded(usual).await]
    }
}

fn http(request: &wire::ReadSnapshotRequest) -> Request<Full<Bytes>> {
    let message = request.encode_to_vec();
    let mut framed = vec![0];
    framed.extend((message.len() as u32).to_be_bytes());
    framed.extend(message);
    Request::post(PATH)
        .version(Version::HTTP_2)
        .header(CONTENT_TYPE, "application/grpc")
        .header("te", "trailers")
        .body(Full::from(framed))
        .unwrap()
}

async fn decoded<B>(response: Response<B>) -> wire::ReadSnapshotResponse
where
    B: Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    let framed = collected.to_bytes();
    let (head, message) = framed.split_first_chunk::<FRAME_HEAD_BYTES>().unwrap();
    assert_eq!(head[1..], (message.len() as u32).to_be_bytes());
    wire::ReadSnapshotResponse::decode(message).unwrap()
}

fn by_path(at_path: &str) -> wire::ReadSnapshotRequest {
    wire::ReadSnapshotRequest {
        repo: "app".into(),
        branch: "main".into(),
        path: at_path.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn the_short_way_answers_as_the_usual_one_does() {
    let setup = Setup::new();
    for (number, length) in [0, 4, 9_000, 1 << 20].into_iter().enumerate() {
        let content = vec![7; length];
        let at_path = format!("file-{number}");
        setup.keep(number as u8 + 1, &at_path, &content);
        let requests = [
            by_path(&at_path),
            wire::ReadSnapshotRequest { realm: "default".into(), ..by_path(&at_path) },
            wire::ReadSnapshotRequest { min_revision: 300, ..by_path(&at_path) },
            wire::ReadSnapshotRequest {
                min_revision: 7,
                min_epoch: EPOCH,
                max_age_ms: Some(60_000),
                ..by_path(&at_path)
            },
        ];
        for request in requests {
            let [mut hot, mut usual] = setup.both(&request).await;
            assert_eq!(hot.content, content);
            // The two were not answered in the same millisecond.
            for answer in [&mut hot, &mut usual] {
                answer.freshness.as_mut().unwrap().age_ms = 0;
            }
            assert_eq!(hot, usual);
        }
    }
}

#[tokio::test]
async fn what_memory_does_not_have_goes_the_usual_way_with_every_byte() {
    let setup = Setup::new();
    setup.keep(1, "a", b"text");
    let compressed = {
        let mut request = http(&by_path("a"));
        request.headers_mut().insert("grpc-encoding", HeaderValue::from_static("gzip"));
        request
    };
    let signed = {
        let mut request = http(&by_path("a"));
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic eA=="));
        request
    };
    let of_a_page = {
        let mut request = http(&by_path("a"));
        request.headers_mut().insert(http::header::ORIGIN, HeaderValue::from_static("http://x"));
        request
    };
    let requests = [
        of_a_page,
        http(&wire::ReadSnapshotRequest { revision: 3, ..by_path("a") }),
        http(&wire::ReadSnapshotRequest { min_revision: 301, ..by_path("a") }),
        http(&wire::ReadSnapshotRequest { branch: "other".into(), ..by_path("a") }),
        http(&by_path("b")),
        compressed,
        signed,
    ];
    for (number, request) in requests.into_iter().enumerate() {
        let sent = request.clone().into_body().collect().await.unwrap().to_bytes();
        let echo = tower::service_fn(|request: Request<RewindBody<Full<Bytes>>>| {
            Box::pin(async move { Ok::<_, Infallible>(Response::new(request.into_body())) })
        });
        let answer = setup.before(echo).oneshot(request).await.unwrap();
        let FastPathBody::Usual(body) = answer.into_body() else { panic!("request {number}") };
        assert_eq!(body.collect().await.unwrap().to_bytes(), sent, "request {number}");
    }
}

#[tokio::test]
async fn a_request_that_comes_in_pieces_is_read_all_the_same() {
    let setup = Setup::new();
    setup.keep(1, "a", b"text");
    let framed = http(&by_path("a")).into_body().collect().await.unwrap().to_bytes();
    let pieces = futures::stream::iter(
        framed
            .chunks(3)
            .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect::<Vec<_>>(),
    );
    let request = http(&by_path("a")).map(|_| http_body_util::StreamBody::new(pieces));
    let answer = setup.before(setup.usual()).oneshot(request).await.unwrap();
    assert!(matches!(answer.body(), FastPathBody::Ready(_)));
    assert_eq!(decoded(answer).await.content, "text");
}

#[tokio::test]
async fn an_answer_by_id_is_the_one_by_path() {
    let setup = Setup::new();
    setup.keep(1, "a", b"text");
    let branch = setup.sidecar.branches().get(&address()).unwrap();
    let Joined::First(mut load, _) = branch.join(&NodeKey::Id(id(1)), 0) else {
        panic!("nobody else loads");
    };
    load.ask();
    load.settle(Ok(snapshot(node(1, "a", 3, b"text"), 300)));
    let by_id = wire::ReadSnapshotRequest {
        node_id: Bytes::copy_from_slice(id(1).as_bytes()),
        ..by_path("")
    };
    let [hot, _] = setup.both(&by_id).await;
    assert_eq!((hot.path.as_str(), &hot.content[..]), ("a", &b"text"[..]));
}

#[test]
fn the_call_is_named_as_it_is_on_the_usual_way() {
    let label = vdom_api::route_labels().iter().find_map(|label| label(PATH));
    assert_eq!(label, Some("ReadSnapshot"));
}

#[tokio::test]
async fn an_answer_of_the_fast_path_names_the_request_as_its_caller_did() {
    let setup = Setup::new();
    setup.keep(1, "a", b"text");
    let ask = async |id: Option<&'static str>| {
        let mut request = http(&by_path("a"));
        if let Some(id) = id {
            request.headers_mut().insert("x-request-id", HeaderValue::from_static(id));
        }
        let answer = setup.before(setup.usual()).oneshot(request).await;
        let answer = answer.unwrap();
        assert!(matches!(answer.body(), FastPathBody::Ready(_)));
        answer.headers().get("x-request-id").map(|id| id.to_str().unwrap().to_owned())
    };
    assert_eq!(ask(None).await, None, "nobody has seen it");
    assert_eq!(ask(Some("job-7")).await.as_deref(), Some("job-7"));
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_refused_on_the_usual_way() {
    let setup = Setup::new();
    setup.keep(1, "a", b"text");
    let mut request = http(&by_path("a"));
    request.headers_mut().insert("grpc-timeout", HeaderValue::from_static("soon"));
    let answer = setup.before(setup.usual()).oneshot(request).await.unwrap();
    assert!(matches!(answer.body(), FastPathBody::Usual(_)));
    assert_eq!(answer.headers()["grpc-status"], "3", "INVALID_ARGUMENT");
}
