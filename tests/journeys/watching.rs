//! The watch validator: under load, with disconnects, every subscriber gets
//! every event once, in order, whole, and can go on from where it was.

use std::time::Duration;

use vdom_core::dom::change::CHAIN_START;
use vdom_core::{ErrorCode, Hash};
use vdom_proto::v1;
use vdom_proto::v1::change_event::Type;
use vdom_testkit::client::Client;
use vdom_testkit::gateway::{TestGateway, on_embedded};

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

/// How fast a watcher of the next test reads.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    AsItComes,
    /// Falls far behind, so that compaction may overtake it.
    Slow,
}

const SETS_EACH: u64 = 60;
const SET_SIZE: u64 = 17;

/// Change sets and single writes from many writers, while the history behind them is
/// compacted: whoever keeps up sees every change once, sets whole; whoever is overtaken
/// is told from where to go on, and sees every change from there.
#[tokio::test(flavor = "multi_thread")]
async fn sets_and_compaction_leave_no_watcher_with_a_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = on_embedded(folder.path().join("store"));
    config.retention.changes = 400;
    config.retention.check_every = "50ms".parse().expect("a duration");
    let gateway = TestGateway::with(config).await;
    let mut client = gateway.client().await;
    let first = client.overwrite("start", b"0").await.expect("written");
    let total = 1 + WRITERS * SETS_EACH * (SET_SIZE + 1);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let client = client.clone();
            tokio::spawn(write_sets(client, writer))
        })
        .collect();
    let paces = [Pace::AsItComes, Pace::AsItComes, Pace::Slow, Pace::Slow];
    let watches: Vec<_> = paces
        .into_iter()
        .map(|pace| tokio::spawn(follow(gateway.grpc_url(), first.epoch, total, pace)))
        .collect();
    for writer in writers {
        writer.await.expect("wrote");
    }
    for (watch, pace) in watches.into_iter().zip(paces) {
        let seen = tokio::time::timeout(Duration::from_secs(60), watch).await;
        let seen = seen.expect("in time").expect("valid");
        if pace == Pace::AsItComes {
            assert!(seen > 0);
        }
    }
    // What was compacted meanwhile is refused, naming the oldest that is kept.
    let compacted = async {
        loop {
            match client.subscribe(Some((first.epoch, 0))).await {
                Err(status) => break status,
                Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(20), compacted).await.expect("in time");
    assert_eq!(status.code(), tonic::Code::OutOfRange, "{status:?}");
    assert!(oldest_revision(&status) > 0);
    gateway.gateway.drain().await.expect("drained");
}

async fn write_sets(mut client: Client, writer: u64) {
    for number in 0..SETS_EACH {
        let diffs = (0..SET_SIZE).map(|member| {
            let content = format!("{number}");
            let mut diff = client.put_request(&format!("w{writer}/{member}"), content.as_bytes());
            diff.on_conflict = v1::OnConflict::Overwrite.into();
            diff
        });
        let diffs = diffs.collect();
        let mut request = v1::WriteDiffsRequest { diffs, ..client.set_header() };
        request.on_conflict = v1::OnConflict::Overwrite.into();
        assert!(client.raw.write_diffs(request).await.expect("written").into_inner().success);
        client.overwrite(&format!("w{writer}/alone"), b"x").await.expect("written");
    }
}

/// Watches up to `total`; answers how many changes there were. A watcher that is
/// overtaken goes on from the oldest revision that it is told.
async fn follow(url: String, epoch: u64, total: u64, pace: Pace) -> u64 {
    let mut client = Client::connect(&url, None).await;
    // The resume point is always between sets.
    let (mut resume, mut hash) = (0, Some(CHAIN_START));
    let mut seen = 0;
    'streams: while resume < total {
        let request = v1::SubscribeRequest {
            repo: "repo".into(),
            branch: "main".into(),
            from_epoch: epoch,
            from_revision: resume,
            from_hash: hash.map(|hash| hash.0.to_vec()).unwrap_or_default().into(),
            include_diffs: true,
            ..Default::default()
        };
        let mut events = match client.raw.subscribe_changes(request).await {
            Ok(events) => events.into_inner(),
            Err(status) => {
                (resume, hash) = (overtaken(&status, resume), None);
                continue;
            }
        };
        let (mut revision, mut open_set) = (resume, None);
        for taken in 0..700_u64 {
            let event = match events.message().await {
                Ok(event) => event.expect("no end"),
                Err(status) => {
                    (resume, hash) = (overtaken(&status, resume), None);
                    continue 'streams;
                }
            };
            if pace == Pace::Slow && taken % 16 == 0 {
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            if event.r#type() == Type::Progress {
                assert!(event.revision >= resume, "progress never goes back");
                if event.revision == total {
                    break;
                }
                continue;
            }
            assert_eq!(event.revision, revision + 1, "ordered, unique and complete");
            revision = event.revision;
            seen += 1;
            match (&event.change_set, open_set) {
                (None, None) => {}
                (Some(position), None) => assert_eq!(position.index, 0, "a set from its start"),
                (Some(position), Some(index)) => assert_eq!(position.index, index + 1),
                (None, Some(index)) => panic!("a set ends at {index}, before {revision}"),
            }
            open_set = event
                .change_set
                .as_ref()
                .filter(|position| position.index + 1 < position.size)
                .map(|position| position.index);
            if open_set.is_none() {
                resume = revision;
                hash = Some(Hash::from_slice(&event.hash).expect("32 bytes"));
            }
        }
    }
    seen
}

/// From where to go on, as the refusal says.
fn overtaken(status: &tonic::Status, resume: u64) -> u64 {
    assert_eq!(status.code(), tonic::Code::OutOfRange, "{status:?}");
    let oldest = oldest_revision(status);
    assert!(oldest > resume, "{oldest} is not after {resume}");
    oldest
}

fn oldest_revision(status: &tonic::Status) -> u64 {
    let error = vdom_edge::error::from_status(status);
    assert_eq!(error.code, ErrorCode::Compacted, "{error}");
    error.oldest_revision.expect("it names the oldest revision")
}
