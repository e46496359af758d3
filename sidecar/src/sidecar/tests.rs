//! Reads and writes over a scripted gateway.

use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};
use vdom_core::access::Scopes;
use vdom_core::dom::calls::{
    AckLevel, DiffSource, NodeSelector, OnConflict, ReadAt, Source, WriteContent,
};
use vdom_core::dom::diff::Diff;
use vdom_core::{Content, Error, ErrorCode, RealmName, VectorClock};

use super::*;
use crate::fake_gateway::FakeGateway;
use crate::fixtures::{address, path, staleness};
use crate::identity::OwnIdentity;
use crate::upstream::{Connectivity, UpstreamAddress};

mod sets;
mod watches;

/// How long a test waits for what must happen.
const SOON: Duration = Duration::from_secs(10);

struct Setup {
    gateway: FakeGateway,
    sidecar: Sidecar,
}

impl Setup {
    async fn new() -> Self {
        Self::with(OwnIdentity::anonymous(), SOON * 60).await
    }

    async fn with(identity: OwnIdentity, idle_after: Duration) -> Self {
        let gateway = FakeGateway::start().await;
        let environment = Environment::system();
        let address = UpstreamAddress { url: gateway.url(), ca_file: None };
        let upstream = Upstream::new(&address, identity, environment.clone()).unwrap();
        let settings = SidecarSettings {
            cache_max_bytes: 16 << 20,
            branches: BranchSettings { max_branches: 4, staleness: staleness() },
            idle_after,
        };
        let sidecar = Sidecar::new(upstream, environment, &settings, Handle::current());
        Self { gateway, sidecar }
    }

    async fn read_at(&self, at_path: &str, at: ReadAt) -> Result<Snapshot> {
        let node = NodeSelector::Path(path(at_path));
        let request = ReadSnapshot { address: address(), node, at };
        self.sidecar.read_snapshot(&caller(), request).await
    }

    async fn read(&self, at_path: &str) -> Result<Snapshot> {
        self.read_at(at_path, ReadAt::default()).await
    }

    async fn text(&self, at_path: &str) -> String {
        text(&self.read(at_path).await.unwrap())
    }

    async fn write(&self, at_path: &str, content: &str) -> Result<WriteOutcome> {
        self.sidecar.write_diff(&caller(), put(at_path, content)).await
    }

    /// Waits until the follower is where the gateway is.
    async fn caught_up(&self) {
        let wanted = self.gateway.revision();
        until(|| {
            let branch = self.sidecar.branches().get(&address());
            branch.and_then(|branch| branch.head()).is_some_and(|head| head.revision == wanted)
        })
        .await;
    }
}

fn caller() -> Caller {
    Caller {
        subject: "anna".into(),
        realm: None,
        scopes: Scopes::all(),
        deadline: None,
        expires_at: None,
        received_at: std::time::SystemTime::now(),
        request_id: "request-1".into(),
        bearer: Some("callers-token".into()),
    }
}

fn put(at_path: &str, content: &str) -> WriteDiff {
    upload(at_path).with_diff(DiffSource::Bson(Diff::put_file(content.as_bytes())))
}

fn upload(at_path: &str) -> WriteContent {
    WriteContent {
        address: address(),
        node_id: None,
        path: Some(path(at_path)),
        kind: None,
        clock: VectorClock::default(),
        on_conflict: OnConflict::Overwrite,
        min_ack: AckLevel::Committed,
        keep_conflict: false,
        actor: None,
        author: None,
        message: String::new(),
        metadata: std::collections::BTreeMap::new(),
        operation_id: None,
        expected_bytes: None,
    }
}

fn text(snapshot: &Snapshot) -> String {
    match &snapshot.node.content {
        Content::Inline(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Content::Part(_) | Content::Chunked(_) => panic!("at hand"),
    }
}

fn reached(revision: u64) -> ReadAt {
    ReadAt { min_revision: Some(revision), ..ReadAt::default() }
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not happen in time");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_second_read_comes_from_memory_and_says_so() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    let first = setup.read("a").await.unwrap();
    assert_eq!((text(&first).as_str(), first.freshness.source), ("one", Source::Store));
    let second = setup.read("a").await.unwrap();
    assert_eq!((text(&second).as_str(), second.freshness.source), ("one", Source::Cache));
    assert!(!second.freshness.stale);
    assert_eq!(setup.gateway.reads().len(), 1);
    assert_eq!((first.epoch, first.revision), (second.epoch, second.revision));
}

#[tokio::test]
async fn what_another_client_changes_comes_by_itself() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    assert_eq!(setup.text("a").await, "one");
    let revision = setup.gateway.put("a", b"two");
    let answer = setup.read_at("a", reached(revision)).await.unwrap();
    assert_eq!((text(&answer).as_str(), answer.freshness.source), ("two", Source::Cache));
    assert_eq!(answer.revision, revision);
    assert_eq!(setup.gateway.reads().len(), 1, "the change itself brought the content");
}

#[tokio::test]
async fn a_slow_answer_never_overwrites_a_change_that_overtook_it() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    setup.gateway.put("b", b"old");
    setup.text("a").await;
    setup.gateway.hold_reads(true);
    let slow = {
        let sidecar = setup.sidecar.clone();
        let request = ReadSnapshot {
            address: address(),
            node: NodeSelector::Path(path("b")),
            at: ReadAt::default(),
        };
        tokio::spawn(async move { sidecar.read_snapshot(&caller(), request).await })
    };
    until(|| setup.gateway.reads().len() == 2).await;
    setup.gateway.put("b", b"new");
    setup.caught_up().await;
    setup.gateway.hold_reads(false);
    assert_eq!(text(&slow.await.unwrap().unwrap()), "new");
    assert_eq!(setup.text("b").await, "new");
}

#[tokio::test]
async fn a_write_is_seen_by_the_next_read_even_before_its_event() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    setup.text("a").await;
    setup.gateway.hold_events(true);
    let WriteOutcome::Written(written) = setup.write("a", "two").await.unwrap() else {
        panic!("written");
    };
    assert_eq!(written.operation_id, None, "the client gave none");
    let answer = setup.read("a").await.unwrap();
    assert_eq!(text(&answer), "two");
    assert!(answer.revision >= written.revision);
    setup.write("new", "x").await.unwrap();
    assert_eq!(setup.text("new").await, "x");
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_written_once() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    setup.gateway.lose_answers(1);
    let WriteOutcome::Written(written) = setup.write("a", "two").await.unwrap() else {
        panic!("written");
    };
    assert_eq!(written.revision, 2);
    assert_eq!(setup.gateway.revision(), 2);
    let ids: Vec<_> =
        setup.gateway.writes().into_iter().map(|request| request.operation_id).collect();
    assert_eq!(ids.len(), 2, "it was sent twice");
    assert_eq!((ids[0].len(), &ids[0]), (16, &ids[1]));
}

#[tokio::test]
async fn writes_and_reads_past_the_cache_carry_the_callers_token() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "own-token\n").unwrap();
    let identity = OwnIdentity::from_file(file.path()).unwrap();
    let setup = Setup::with(identity, SOON).await;
    setup.gateway.put("a", b"one");
    setup.text("a").await;
    setup.read_at("a", ReadAt { max_age_ms: Some(0), ..ReadAt::default() }).await.unwrap();
    let tokens: Vec<_> = setup.gateway.tokens().into_iter().flatten().collect();
    assert_eq!(tokens, ["Bearer own-token", "Bearer callers-token"]);
}

#[tokio::test]
async fn without_an_identity_of_its_own_nothing_is_cached() {
    let setup = Setup::with(OwnIdentity::nobody(), SOON).await;
    setup.gateway.put("a", b"one");
    for _ in 0..2 {
        assert_eq!(setup.read("a").await.unwrap().freshness.source, Source::Store);
    }
    assert_eq!(setup.gateway.subscriptions(), 0);
    assert!(setup.sidecar.branches().all().is_empty());
}

#[tokio::test]
async fn memory_is_only_for_those_who_may_read_the_realm() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    setup.text("a").await;
    let request = || ReadSnapshot {
        address: address(),
        node: NodeSelector::Path(path("a")),
        at: ReadAt::default(),
    };
    let of_other_realm = Caller { realm: Some(RealmName::parse("other").unwrap()), ..caller() };
    let writer = Caller { scopes: Scopes::parse("dom.write"), ..caller() };
    for (caller, rule) in [(of_other_realm, "realm"), (writer, "dom.read")] {
        let error = setup.sidecar.read_snapshot(&caller, request()).await.unwrap_err();
        assert_eq!((error.code, error.rule.as_deref()), (ErrorCode::PermissionDenied, Some(rule)));
    }
}

#[tokio::test]
async fn without_the_gateway_what_is_cached_is_served_and_the_rest_unavailable() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    setup.gateway.put("b", b"two");
    setup.text("a").await;
    setup.gateway.cut();
    assert_eq!(setup.text("a").await, "one");
    assert_eq!(setup.read("b").await.unwrap_err().code, ErrorCode::Unavailable);
    assert!(matches!(setup.sidecar.upstream().connectivity(), Connectivity::Away(_)));
    let error = setup.read_at("a", reached(3)).await.unwrap_err();
    assert_eq!((error.code, error.revision), (ErrorCode::Unavailable, Some(2)));
    let confirmed = ReadAt { max_age_ms: Some(0), ..ReadAt::default() };
    assert_eq!(setup.read_at("a", confirmed).await.unwrap_err().code, ErrorCode::Unavailable);
}

#[tokio::test]
async fn after_a_broken_connection_no_change_is_missing() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    setup.gateway.put("b", b"one");
    assert_eq!((setup.text("a").await, setup.text("b").await), ("one".into(), "one".into()));
    setup.gateway.cut();
    setup.gateway.put("a", b"two");
    setup.gateway.put("b", b"two");
    setup.gateway.mend();
    setup.caught_up().await;
    assert_eq!((setup.text("a").await, setup.text("b").await), ("two".into(), "two".into()));
    assert_eq!(setup.gateway.reads().len(), 2, "the missed changes brought the contents");
    assert!(setup.gateway.subscriptions() >= 2);
}

#[tokio::test]
async fn a_wanted_revision_that_comes_in_time_is_waited_for() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    setup.text("a").await;
    setup.gateway.cut();
    let sidecar = setup.sidecar.clone();
    let waiting = tokio::spawn(async move {
        let node = NodeSelector::Path(path("a"));
        let request = ReadSnapshot { address: address(), node, at: reached(2) };
        sidecar.read_snapshot(&caller(), request).await
    });
    setup.gateway.put("a", b"two");
    setup.gateway.mend();
    assert_eq!(text(&waiting.await.unwrap().unwrap()), "two");
}

#[tokio::test]
async fn a_new_epoch_ends_everything_that_was_known() {
    let setup = Setup::new().await;
    for content in [b"one", b"two"] {
        setup.gateway.put("a", content);
    }
    let before = setup.read("a").await.unwrap();
    setup.gateway.restore();
    setup.gateway.put("a", b"restored");
    let branch = setup.sidecar.branches().get(&address());
    until(|| branch.as_ref().is_none_or(|branch| branch.is_over())).await;
    let after = setup.read("a").await.unwrap();
    assert_eq!((text(&after).as_str(), after.revision), ("restored", 1));
    assert!(after.epoch > before.epoch);
}

#[tokio::test]
async fn a_right_that_is_taken_away_ends_what_is_cached() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    setup.text("a").await;
    until(|| setup.gateway.subscriptions() == 1).await;
    setup.gateway.deny(true);
    until(|| setup.sidecar.branches().all().is_empty()).await;
    assert_eq!(setup.read("a").await.unwrap_err().code, ErrorCode::PermissionDenied);
    assert_eq!(setup.sidecar.cache().figures().entries, 0);
}

#[tokio::test]
async fn a_token_that_was_replaced_in_time_changes_nothing() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first-token").unwrap();
    let identity = OwnIdentity::from_file(file.path()).unwrap();
    let setup = Setup::with(identity, SOON).await;
    setup.gateway.put("a", b"one");
    setup.text("a").await;
    until(|| setup.gateway.subscriptions() == 1).await;
    std::fs::write(file.path(), "second-token").unwrap();
    setup.gateway.let_watch("second-token");
    setup.gateway.put("a", b"two");
    setup.caught_up().await;
    assert_eq!(setup.text("a").await, "two");
    assert_eq!(setup.gateway.reads().len(), 1, "what was cached stayed");

    setup.gateway.let_watch("third-token");
    until(|| setup.sidecar.branches().all().is_empty()).await;
}

#[tokio::test]
async fn a_branch_that_nobody_reads_is_let_go() {
    let setup = Setup::with(OwnIdentity::anonymous(), Duration::from_millis(100)).await;
    setup.gateway.put("a", b"one");
    setup.text("a").await;
    until(|| setup.sidecar.branches().all().is_empty()).await;
    assert_eq!(setup.text("a").await, "one");
    assert_eq!(setup.gateway.reads().len(), 2);
}

#[tokio::test]
async fn branches_above_the_bound_go_straight_to_the_gateway() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    for number in 0..6 {
        let address = vdom_core::BranchAddress::parse("", "app", &format!("b{number}")).unwrap();
        let node = NodeSelector::Path(path("a"));
        let request = ReadSnapshot { address, node, at: ReadAt::default() };
        setup.sidecar.read_snapshot(&caller(), request).await.unwrap();
    }
    assert_eq!(setup.sidecar.branches().all().len(), 4);
}

#[tokio::test]
async fn that_nothing_is_there_is_remembered_until_something_comes() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    setup.text("a").await;
    for _ in 0..3 {
        assert_eq!(setup.read("b").await.unwrap_err().code, ErrorCode::NotFound);
    }
    assert_eq!(setup.gateway.reads(), ["a", "b"]);
    setup.gateway.put("b", b"new");
    setup.caught_up().await;
    assert_eq!(setup.text("b").await, "new");
}

#[tokio::test]
async fn many_readers_of_one_node_ask_the_gateway_once() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    setup.gateway.put("b", b"two");
    setup.text("a").await;
    setup.gateway.hold_reads(true);
    let reads: Vec<_> = (0..50)
        .map(|_| {
            let sidecar = setup.sidecar.clone();
            let node = NodeSelector::Path(path("b"));
            let request = ReadSnapshot { address: address(), node, at: ReadAt::default() };
            tokio::spawn(async move { sidecar.read_snapshot(&caller(), request).await })
        })
        .collect();
    until(|| setup.gateway.reads().len() == 2).await;
    setup.gateway.hold_reads(false);
    for read in reads {
        assert_eq!(text(&read.await.unwrap().unwrap()), "two");
    }
    assert_eq!(setup.gateway.reads(), ["a", "b"]);
}

#[tokio::test]
async fn a_node_is_found_by_its_id_too() {
    let setup = Setup::new().await;
    setup.gateway.put("a", b"one");
    let id = setup.read("a").await.unwrap().node.id;
    for _ in 0..3 {
        let node = NodeSelector::Id(id);
        let request = ReadSnapshot { address: address(), node, at: ReadAt::default() };
        let answer = setup.sidecar.read_snapshot(&caller(), request).await.unwrap();
        assert_eq!(text(&answer), "one");
    }
    assert_eq!(setup.gateway.reads().len(), 2);
}

#[tokio::test]
async fn large_contents_stream_through() {
    let setup = Setup::new().await;
    let large = vec![b'x'; 3 << 20];
    setup.gateway.put("large", &large);
    for _ in 0..2 {
        let node = NodeSelector::Path(path("large"));
        let request = ReadSnapshot { address: address(), node, at: ReadAt::default() };
        let (snapshot, size, pieces) =
            setup.sidecar.read_content(&caller(), request).await.unwrap();
        let pieces: Vec<Bytes> = pieces.try_collect().await.unwrap();
        assert_eq!((size, snapshot.node.version), (large.len() as u64, 1));
        assert_eq!(pieces.concat(), large);
    }
    assert_eq!(setup.sidecar.cache().figures().entries, 0);
}

#[tokio::test]
async fn a_content_that_breaks_off_is_not_written() {
    let setup = Setup::new().await;
    let whole = stream::iter([Ok(Bytes::from("two ")), Ok(Bytes::from("pieces"))]).boxed();
    setup.sidecar.write_content(&caller(), upload("a"), whole).await.unwrap();
    assert_eq!(setup.text("a").await, "two pieces");

    let broken = stream::iter([Ok(Bytes::from("half")), Err(Error::invalid("broke off"))]).boxed();
    let error = setup.sidecar.write_content(&caller(), upload("a"), broken).await;
    assert_eq!(error.unwrap_err().message, "broke off");
    assert_eq!(setup.gateway.revision(), 1);
    assert_eq!(setup.text("a").await, "two pieces");
}

#[tokio::test]
async fn a_local_answer_is_refused_clearly() {
    let setup = Setup::new().await;
    let request = WriteDiff { min_ack: AckLevel::Local, ..put("a", "x") };
    let error = setup.sidecar.write_diff(&caller(), request).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unimplemented);
    assert!(error.message.contains("COMMITTED"), "{error}");
    assert!(setup.gateway.writes().is_empty());
}
