//! What tests of several files need.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use vdom_core::dom::calls::{ChangeEvent, Freshness, Snapshot, Source};
use vdom_core::dom::diff::Diff;
use vdom_core::{
    BranchAddress, Change, ChangeKind, ChangeSetPosition, Content, Hash, Node, NodeId, NodeKind,
    NodePath, OperationId, VectorClock,
};

use crate::branch::StalenessPolicy;
use crate::cache::Position;
use vdom_edge::Environment;

/// The epoch of every fixture.
pub(crate) const EPOCH: u64 = 7;

pub(crate) fn address() -> BranchAddress {
    BranchAddress::parse("", "app", "main").unwrap()
}

pub(crate) fn path(text: &str) -> NodePath {
    NodePath::parse(text).unwrap()
}

pub(crate) fn id(number: u8) -> NodeId {
    NodeId([number; 16])
}

pub(crate) fn at(revision: u64) -> Position {
    Position { epoch: EPOCH, revision }
}

/// A clock that a test moves.
#[derive(Clone, Default)]
pub(crate) struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }

    pub(crate) fn environment(&self) -> Environment {
        let (clock, counter) = (self.clone(), AtomicU64::new(1));
        Environment::new(
            SystemTime::now,
            move || Duration::from_millis(clock.0.load(Ordering::Relaxed)),
            move |bytes| {
                bytes.fill(counter.fetch_add(1, Ordering::Relaxed) as u8);
                Ok(())
            },
        )
    }
}

pub(crate) fn staleness() -> StalenessPolicy {
    StalenessPolicy { stale_after: Duration::from_secs(3), offline_max: Duration::from_secs(3_600) }
}

pub(crate) fn node(number: u8, at_path: &str, version: u64, content: &[u8]) -> Node {
    Node {
        id: id(number),
        path: path(at_path),
        kind: NodeKind::File,
        live: true,
        version,
        clock: VectorClock::from_entries([("anna".to_owned(), version)]).unwrap(),
        last_used: BTreeMap::new(),
        content: Content::Inline(Bytes::copy_from_slice(content)),
        attributes: BTreeMap::from([("mode".to_owned(), "644".to_owned())]),
        author: "anna".to_owned(),
        timestamp_ms: 1_000,
        metadata: BTreeMap::new(),
        epoch: EPOCH,
        changed_revision: version,
    }
}

/// What the gateway answers to a read as of a revision.
pub(crate) fn snapshot(node: Node, revision: u64) -> Snapshot {
    let freshness = Freshness { age_ms: 0, stale: false, source: Source::Store };
    Snapshot { node, epoch: EPOCH, revision, freshness }
}

/// A change event with the fields that matter here.
pub(crate) struct EventBuilder(ChangeEvent);

impl EventBuilder {
    pub(crate) fn new(kind: ChangeKind, number: u8, at_path: &str, revision: u64) -> Self {
        let version = if kind == ChangeKind::Create { 1 } else { 2 };
        let change = Change {
            epoch: EPOCH,
            revision,
            previous: Hash::default(),
            diff_hash: Hash::default(),
            diff_length: 0,
            node_id: id(number),
            node_kind: NodeKind::File,
            kind,
            path: path(at_path),
            old_path: None,
            version,
            clock: VectorClock::from_entries([("anna".to_owned(), version)]).unwrap(),
            actor: "anna".to_owned(),
            author: "anna".to_owned(),
            subject: String::new(),
            message: String::new(),
            metadata: BTreeMap::new(),
            timestamp_ms: 2_000,
            authored_at_ms: None,
            operation: None,
            change_set: None,
            data_subject: None,
            encryption: None,
            set_header: None,
            merged: false,
        };
        let event =
            ChangeEvent { change: Arc::new(change), set: None, hash: Hash::default(), diff: None };
        Self(event)
    }

    pub(crate) fn put(self, content: &[u8]) -> Self {
        self.diff(Diff::put_file(content))
    }

    pub(crate) fn diff(mut self, diff: Bytes) -> Self {
        self.0.diff = Some(diff);
        self
    }

    pub(crate) fn version(self, version: u64) -> Self {
        self.with(|change| change.version = version)
    }

    pub(crate) fn from(self, old_path: &str) -> Self {
        self.with(|change| change.old_path = Some(path(old_path)))
    }

    pub(crate) fn in_set(self, index: u32, size: u32) -> Self {
        let position = ChangeSetPosition { id: OperationId([9; 16]), index, size };
        self.with(|change| change.change_set = Some(position))
    }

    pub(crate) fn build(self) -> ChangeEvent {
        self.0
    }

    fn with(mut self, edit: impl FnOnce(&mut Change)) -> Self {
        let mut change = Change::clone(&self.0.change);
        edit(&mut change);
        self.0.change = Arc::new(change);
        self
    }
}
