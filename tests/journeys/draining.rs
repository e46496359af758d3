//! What waits when a server drains is answered, not cut off.

use std::time::Duration;

use tonic::{Code, Request};
use vdom_proto::v1;
use vdom_testkit::gateway::TestGateway;
use vdom_testkit::http::{HttpClient, Place};

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_wait_for_a_revision_do_not_hold_the_drain() {
    let gateway = TestGateway::start().await;
    let mut client = gateway.client().await;
    let written = client.overwrite("a", b"one").await.expect("written");
    let http = HttpClient::new(Place::Tcp(gateway.addresses.http), None);

    let over_grpc = {
        let request = v1::ReadSnapshotRequest {
            min_revision: written.revision + 1,
            min_epoch: written.epoch,
            ..client.read_request("a")
        };
        let mut request = Request::new(request);
        request.set_timeout(Duration::from_secs(60));
        let mut raw = client.raw.clone();
        tokio::spawn(async move { raw.read_snapshot(request).await.expect_err("not there") })
    };
    let over_rest = {
        let mut request = vdom_testkit::http::request(
            http::Method::GET,
            &format!("/v1/repos/repo/branches/main/nodes/a?min_revision={}", written.revision + 1),
            "",
        );
        let timeout = http::HeaderValue::from_static("60S");
        request.headers_mut().insert("grpc-timeout", timeout);
        tokio::spawn(async move { http.send(request).await })
    };
    let admin = HttpClient::new(Place::Tcp(gateway.addresses.admin), None);
    let both_wait = async {
        loop {
            let metrics = admin.get("/metrics").await;
            let text = String::from_utf8_lossy(&metrics.body).into_owned();
            if text.lines().any(|line| line == "vdom_requests_in_flight 2") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), both_wait).await.expect("both wait");
    let drained = tokio::time::timeout(Duration::from_secs(8), gateway.gateway.drain());
    drained.await.expect("nothing holds it").expect("drained");
    assert_eq!(over_grpc.await.expect("answered").code(), Code::Unavailable);
    assert_eq!(over_rest.await.expect("answered").status, 503);
}
