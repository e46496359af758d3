//! Watches through a sidecar keep nothing else waiting.

use std::time::Duration;

use futures::future::join_all;
use vdom_testkit::client::Client;
use vdom_testkit::gateway::{self, TestGateway};
use vdom_testkit::http::{HttpClient, Place};
use vdom_testkit::sidecar::TestSidecar;

const IN_TIME: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn watches_beyond_the_gateways_limit_of_a_connection_starve_nobody() {
    let mut config = gateway::config();
    config.limits.max_concurrent_streams = 20;
    let gateway = TestGateway::with(config).await;
    let sidecar = TestSidecar::start(&gateway.grpc_url()).await;
    let mut client = Client::connect(&sidecar.url(), None).await;
    client.overwrite("a", b"first").await.expect("written");

    let begun = (0..100).map(|_| {
        let mut client = client.clone();
        async move {
            let mut events = client.subscribe(None).await.expect("a stream");
            events.message().await.expect("an event").expect("an event");
            events
        }
    });
    let watches = tokio::time::timeout(IN_TIME, join_all(begun)).await.expect("all watch");
    assert_eq!(watches.len(), 100);

    let others = async {
        let written = client.overwrite("a", b"second").await.expect("written");
        let read = client.read_after("a", &written).await.expect("read");
        assert_eq!(read.content, b"second"[..]);
        client.overwrite("b", b"new").await.expect("written");
    };
    tokio::time::timeout(IN_TIME, others).await.expect("writes and reads go on");
    let admin = HttpClient::new(Place::Tcp(sidecar.addresses.admin), None);
    assert_eq!(admin.get("/health/ready").await.status, 200);
}
