//! The gateway goes and comes back; what a sidecar has in memory stays true.

use std::time::Duration;

use tempfile::tempdir;
use vdom_edge::settings::Interval;
use vdom_proto::v1;
use vdom_testkit::client::Client;
use vdom_testkit::eventually;
use vdom_testkit::gateway::{TestGateway, on_embedded};
use vdom_testkit::sidecar::TestSidecar;

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_around_a_restart_of_the_gateway_is_not_missed() {
    let folder = tempdir().expect("a folder");
    let mut config = on_embedded(folder.path().join("store"));
    let gateway = TestGateway::with(config.clone()).await;
    config.listen.grpc = gateway.addresses.grpc;
    let sidecar = TestSidecar::with(&gateway.grpc_url(), |config| {
        config.dev = true;
        config.follow.stale_after = Interval(Duration::from_millis(1_500));
    })
    .await;
    let mut cached = Client::connect(&sidecar.url(), None).await;
    let paths: Vec<_> = (0..20).map(|number| format!("file-{number}")).collect();
    for path in &paths {
        cached.overwrite(path, b"before").await.expect("written");
        cached.read(path).await.expect("read");
    }

    gateway.gateway.drain().await.expect("drained");
    eventually("answers say that they are stale", || {
        let mut cached = cached.clone();
        async move {
            let read = cached.read("file-7").await.expect("still served");
            assert_eq!(read.content, b"before".as_slice());
            read.freshness.is_some_and(|freshness| freshness.stale)
        }
    })
    .await;

    // Whether or not somebody else is faster than the sidecar's reconnection.
    let gateway = TestGateway::with(config).await;
    let mut direct = gateway.client().await;
    let mut written = v1::WriteDiffResponse::default();
    for path in &paths {
        written = direct.overwrite(path, b"after").await.expect("written");
    }
    for path in &paths {
        let read = cached.read_after(path, &written).await.expect("the sidecar is back");
        assert_eq!(read.content, b"after".as_slice(), "{path}");
    }
    eventually("answers come from memory again, and are fresh", || {
        let mut cached = cached.clone();
        async move {
            let freshness = cached.read("file-7").await.expect("read").freshness;
            freshness.is_some_and(|freshness| {
                !freshness.stale && freshness.source() == v1::freshness::Source::Cache
            })
        }
    })
    .await;
    sidecar.sidecar.drain().await;
    gateway.gateway.drain().await.expect("drained");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_starts_first_serves_once_the_gateway_is_there() {
    let folder = tempdir().expect("a folder");
    let mut config = on_embedded(folder.path().join("store"));
    let gateway = TestGateway::with(config.clone()).await;
    config.listen.grpc = gateway.addresses.grpc;
    gateway.client().await.overwrite("a", b"kept").await.expect("written");
    let url = gateway.grpc_url();
    gateway.gateway.drain().await.expect("drained");

    let sidecar = TestSidecar::start(&url).await;
    let mut cached = Client::connect(&sidecar.url(), None).await;
    let refused = cached.read("a").await.expect_err("nothing is in memory yet");
    assert_eq!(refused.code(), tonic::Code::Unavailable);

    let gateway = TestGateway::with(config).await;
    eventually("the sidecar finds the gateway", || {
        let mut cached = cached.clone();
        async move { cached.read("a").await.is_ok_and(|read| read.content == b"kept".as_slice()) }
    })
    .await;
    sidecar.sidecar.drain().await;
    gateway.gateway.drain().await.expect("drained");
}
