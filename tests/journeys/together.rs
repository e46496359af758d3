//! Two sidecars, a Python program and a gateway: an edit through one is seen by
//! all the others.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use vdom_core::Diff;
use vdom_core::dom::diff::TextOperation;
use vdom_edge::settings::Interval;
use vdom_proto::v1;
use vdom_testkit::client::Client;
use vdom_testkit::gateway::TestGateway;
use vdom_testkit::sidecar::TestSidecar;
use vdom_testkit::{clients, skipped};

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_through_one_sidecar_shows_in_the_cached_read_of_another() {
    let gateway = TestGateway::embedded().await;
    let here = TestSidecar::start(&gateway.grpc_url()).await;
    let there = TestSidecar::start(&gateway.grpc_url()).await;
    let mut writer = Client::connect(&here.url(), None).await;
    let mut reader = Client::connect(&there.url(), None).await;

    let mut seen = writer.overwrite("notes.txt", b"one\n").await.expect("written");
    reader.read_after("notes.txt", &seen).await.expect("read");
    for line in ["two", "three", "four"] {
        let at = reader.read("notes.txt").await.expect("read").content.len() as u64;
        let text = format!("{line}\n");
        let edit = Diff::text(&[TextOperation::Retain(at), TextOperation::insert(&text)]);
        let request = v1::WriteDiffRequest {
            node_id: seen.node_id.clone(),
            vector_clock: seen.vector_clock.clone(),
            diff_bson: edit,
            ..writer.put_request("notes.txt", b"")
        };
        seen = writer.write(request).await.expect("written");
        assert!(seen.success, "{seen:?}");
        let read = reader.read_after("notes.txt", &seen).await.expect("read");
        assert!(read.content.ends_with(text.as_bytes()), "{read:?}");
        assert_eq!(read.changed_revision, seen.revision);
        let freshness = read.freshness.expect("an answer says how fresh it is");
        assert_eq!(freshness.source(), v1::freshness::Source::Cache);
        assert!(!freshness.stale);
    }
    here.sidecar.drain().await;
    there.sidecar.drain().await;
    gateway.gateway.drain().await.expect("drained");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_subscriber_sees_what_a_sidecar_writes() {
    let python = match clients::python() {
        Ok(python) => python,
        Err(reason) => return skipped("a_python_subscriber_sees_what_a_sidecar_writes", &reason),
    };
    let gateway = TestGateway::start().await;
    let sidecar = TestSidecar::start(&gateway.grpc_url()).await;
    let mut writer = Client::connect(&sidecar.url(), None).await;
    writer.overwrite("first", b"1").await.expect("written");
    let mut subscriber = python
        .script("client.py")
        .args(["subscribe", "--target", &sidecar.addresses.tcp.to_string()])
        .args(["--repo", "repo", "--count", "3", "--timeout", "30"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let mut lines = BufReader::new(subscriber.stdout.take().expect("its output")).lines();
    // Its first line is the progress event: it watches from there on.
    let first = lines.next_line().await.expect("read").expect("a line");
    assert!(first.contains("progress"), "{first}");
    for number in 0..3 {
        writer.overwrite(&format!("n{number}"), b"x").await.expect("written");
    }
    let mut paths = Vec::new();
    while let Some(line) = lines.next_line().await.expect("read") {
        let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        if event["type"] != "progress" {
            paths.push(event["path"].as_str().expect("a path").to_owned());
        }
    }
    assert_eq!(paths, ["n0", "n1", "n2"]);
    assert!(subscriber.wait().await.expect("ended").success());
    sidecar.sidecar.drain().await;
    gateway.gateway.drain().await.expect("drained");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_serves_what_it_has_and_says_so_while_the_gateway_is_away() {
    let gateway = TestGateway::embedded().await;
    let sidecar = TestSidecar::with(&gateway.grpc_url(), |config| {
        config.dev = true;
        config.follow.stale_after = Interval(Duration::from_millis(500));
    })
    .await;
    let mut client = Client::connect(&sidecar.url(), None).await;
    let written = client.overwrite("a", b"kept").await.expect("written");
    client.read_after("a", &written).await.expect("read");
    gateway.gateway.drain().await.expect("drained");

    vdom_testkit::eventually("the sidecar says that it is stale", || {
        let mut client = client.clone();
        async move {
            let read = client.read("a").await.expect("still served");
            assert_eq!(read.content, b"kept".as_slice());
            read.freshness.is_some_and(|freshness| freshness.stale)
        }
    })
    .await;
    let mut request = client.read_request("a");
    request.min_revision = written.revision + 1;
    request.min_epoch = written.epoch;
    let refused = client.raw.read_snapshot(request).await.expect_err("not known here");
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    let refused = client.overwrite("a", b"x").await.expect_err("nobody commits it");
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    sidecar.sidecar.drain().await;
}
