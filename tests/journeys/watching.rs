//! The watch validator: under load, with disconnects, every subscriber gets
//! every event once, in order, whole, and can go on from where it was.

use std::time::Duration;

use vdom_core::Hash;
use vdom_core::change::CHAIN_START;
use vdom_proto::v1;
use vdom_proto::v1::change_event::Type;
use vdom_testkit::client::Client;
use vdom_testkit::gateway::TestGateway;

const WRITERS: u64 = 8;
const WRITES_EACH: u64 = 250;
const SUBSCRIBERS: u64 = 6;

/// Numbers that look random and are the same in every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_subscriber_sees_every_change_once_and_in_order() {
    let gateway = TestGateway::embedded().await;
    let mut client = gateway.client().await;
    let first = client.overwrite("start", b"0").await.expect("written");
    let total = 1 + WRITERS * WRITES_EACH;

    let writers = (0..WRITERS).map(|writer| {
        let mut client = client.clone();
        tokio::spawn(async move {
            for number in 0..WRITES_EACH {
                let path = format!("w{writer}/n{}", number % 10);
                client.overwrite(&path, number.to_string().as_bytes()).await.expect("written");
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let watches: Vec<_> = (0..SUBSCRIBERS)
        .map(|seed| tokio::spawn(watch(gateway.grpc_url(), first.epoch, total, Seeded(seed))))
        .collect();
    for writer in writers {
        writer.await.expect("wrote");
    }
    for watch in watches {
        let seen = tokio::time::timeout(Duration::from_secs(60), watch).await;
        assert_eq!(seen.expect("in time").expect("valid"), total);
    }
    gateway.gateway.drain().await.expect("drained");
}

/// Watches from the start to `total`, breaking off now and then, and checks
/// every event. Answers how many there were.
async fn watch(url: String, epoch: u64, total: u64, mut seeded: Seeded) -> u64 {
    let mut revision = 0;
    let mut hash = CHAIN_START;
    let mut progress = 0;
    while revision < total {
        let mut client = Client::connect(&url, None).await;
        let request = v1::SubscribeRequest {
            repo: "repo".into(),
            branch: "main".into(),
            from_epoch: epoch,
            from_revision: revision,
            from_hash: hash.0.to_vec().into(),
            include_diffs: true,
            ..Default::default()
        };
        let mut events =
            client.raw.subscribe_changes(request).await.expect("a stream").into_inner();
        let break_off_after = 20 + seeded.below(400);
        for _ in 0..break_off_after {
            let event = events.message().await.expect("no error").expect("no end");
            assert_eq!(event.epoch, epoch);
            if event.r#type() == Type::Progress {
                assert_eq!(event.revision, revision, "progress speaks of what was delivered");
                progress += 1;
                if revision == total {
                    break;
                }
                continue;
            }
            assert_eq!(event.revision, revision + 1, "ordered, unique and complete");
            assert!(!event.diff_bson.is_empty() && !event.diff_omitted);
            revision = event.revision;
            hash = Hash::from_slice(&event.hash).expect("32 bytes");
        }
    }
    assert!(progress > 0, "a stream starts with where it is");
    revision
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_reading_goes_on_or_is_told_where() {
    let gateway = TestGateway::start().await;
    let mut client = gateway.client().await;
    let first = client.overwrite("a", b"0").await.expect("written");
    let mut slow = client.subscribe(Some((first.epoch, 0))).await.expect("a stream");
    let content = vec![b'x'; 64 << 10];
    // More than windows, queues and the tail in memory hold.
    for _ in 0..400 {
        client.overwrite("large", &content).await.expect("written");
    }
    let mut revision = 0;
    while revision < 401 {
        let event = slow.message().await.expect("no error").expect("no end");
        if event.r#type() != Type::Progress {
            assert_eq!(event.revision, revision + 1);
            revision = event.revision;
        }
    }
    gateway.gateway.drain().await.expect("drained");
}
