//! The document room on the memory store: what its callers may rely on.

mod branches;
mod change_sets;
mod collecting;
mod compaction;
mod faults;
mod forks;
mod listing;
mod maintenance;
mod merging;
mod quotas;
mod reading;
mod restores;
mod retries;
mod two_gateways;
mod uploads;
mod watching;
mod watching_encoded;
mod writing;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use vdom_api::dom::{DocumentService, one_by_one};
use vdom_core::access::Scopes;
use vdom_core::dom::calls::{
    AckLevel, BranchSummary, Conflict, DiffSource, Event, ListBranches, NodeSelector, OnConflict,
    ReadAt, ReadSnapshot, Snapshot, Subscribe, WriteDiff, WriteDiffs, WriteOutcome, Written,
};
use vdom_core::{
    BranchAddress, Content, Diff, NodePath, OperationId, RealmName, Result, VectorClock,
};
use vdom_edge::{Caller, ServiceStream};
use vdom_store::Store;
use vdom_store::memory::MemoryStore;

use crate::maintenance::MaintainedStore;
use crate::metrics::DomMetrics;
use crate::{DocumentRoom, Quotas, RoomBounds};
use vdom_edge::Environment;
use vdom_security::{Authority, GuardedStore};

thread_local! {
    /// Tells the gateways of one test apart, as real randomness does.
    static GATEWAYS: Cell<u64> = const { Cell::new(0) };
}

/// A clock that moves a second whenever it is asked, and counted randomness.
fn environment() -> Environment {
    let gateway = GATEWAYS.replace(GATEWAYS.get() + 1);
    let seconds = AtomicU64::new(1_700_000_000);
    let drawn = AtomicU64::new(gateway << 32);
    Environment::new(
        move || {
            let now = seconds.fetch_add(1, Ordering::Relaxed);
            SystemTime::UNIX_EPOCH + Duration::from_secs(now)
        },
        Duration::default,
        move |bytes| {
            for (place, byte) in bytes
                .iter_mut()
                .zip(drawn.fetch_add(1, Ordering::Relaxed).to_be_bytes().into_iter().cycle())
            {
                *place = byte;
            }
            Ok(())
        },
    )
}

fn room_over(store: Arc<dyn Store>) -> DocumentRoom {
    room_with(store, Quotas::default())
}

fn room_with(store: Arc<dyn Store>, quotas: Quotas) -> DocumentRoom {
    room_in(environment(), store, quotas)
}

fn room_in(environment: Environment, store: Arc<dyn Store>, quotas: Quotas) -> DocumentRoom {
    room_bounded(environment, store, RoomBounds { quotas, ..RoomBounds::default() })
}

fn room_bounded(
    environment: Environment,
    store: Arc<dyn Store>,
    bounds: RoomBounds,
) -> DocumentRoom {
    let realm = RealmName::parse("default").expect("valid");
    let (authority, permits) = Authority::new([realm]);
    let (store, metrics) = (GuardedStore::new(store), DomMetrics::new());
    DocumentRoom::new(store, environment, authority, permits, metrics, bounds)
}

/// The store as an operator maintains it.
fn maintained(store: &Arc<dyn Store>) -> MaintainedStore {
    let (authority, permits) = Authority::new([]);
    MaintainedStore::new(GuardedStore::new(store.clone()), authority, permits)
}

/// All branches of the repo, a few a page.
async fn branches_of(room: &DocumentRoom) -> Result<Vec<BranchSummary>> {
    let (BranchAddress { realm, repo, .. }, mut branches) = (address(), Vec::new());
    let mut token = String::new();
    loop {
        let request = ListBranches::new(realm.clone(), repo.clone(), None, 2, &token)?;
        let page = room.list_branches(&caller("anna"), request).await?;
        branches.extend(page.branches);
        token = page.next_page_token;
        if token.is_empty() {
            return Ok(branches);
        }
    }
}

fn room() -> DocumentRoom {
    room_over(Arc::new(MemoryStore::new(1)))
}

/// What a subscription delivers, one by one.
async fn events_of(
    room: &DocumentRoom,
    caller: &Caller,
    request: Subscribe,
) -> Result<ServiceStream<Event>> {
    room.subscribe(caller, request).await.map(one_by_one)
}

fn caller(subject: &str) -> Caller {
    Caller {
        subject: subject.into(),
        realm: None,
        scopes: Scopes::all(),
        deadline: None,
        expires_at: None,
        received_at: SystemTime::now(),
        request_id: "test".into(),
        bearer: None,
    }
}

fn address() -> BranchAddress {
    BranchAddress::parse("", "repo", "main").expect("valid")
}

fn path(text: &str) -> NodePath {
    NodePath::parse(text).expect("valid")
}

fn operation(number: u8) -> OperationId {
    OperationId([number; 16])
}

/// A write of a new node; tests change what they are about.
fn write(at: &str, diff: Bytes) -> WriteDiff {
    WriteDiff {
        address: address(),
        node_id: None,
        path: Some(path(at)),
        kind: None,
        diff: DiffSource::Bson(diff),
        clock: VectorClock::default(),
        on_conflict: OnConflict::Reject,
        min_ack: AckLevel::Committed,
        keep_conflict: false,
        actor: None,
        author: None,
        message: String::new(),
        metadata: BTreeMap::new(),
        operation_id: None,
    }
}

/// What is the same for all diffs of a change set; tests change what they are about.
fn set() -> WriteDiffs {
    WriteDiffs {
        address: address(),
        operation_id: None,
        expected_revision: None,
        on_conflict: OnConflict::Reject,
        min_ack: AckLevel::Committed,
        author: None,
        authored_at_ms: None,
        message: String::new(),
        metadata: BTreeMap::new(),
    }
}

/// A write by who has seen the node as `seen` says.
fn edit(seen: &Written, at: &str, diff: Bytes) -> WriteDiff {
    WriteDiff { node_id: Some(seen.node_id), clock: seen.clock.clone(), ..write(at, diff) }
}

fn overwrite(at: &str, content: &str) -> WriteDiff {
    WriteDiff {
        on_conflict: OnConflict::Overwrite,
        ..write(at, Diff::put_file(content.as_bytes()))
    }
}

async fn accepted(room: &DocumentRoom, request: WriteDiff) -> Written {
    match room.write_diff(&caller("anna"), request).await {
        Ok(WriteOutcome::Written(written)) => written,
        other => panic!("not written: {other:?}"),
    }
}

async fn conflicted(room: &DocumentRoom, request: WriteDiff) -> Conflict {
    match room.write_diff(&caller("anna"), request).await {
        Ok(WriteOutcome::Conflicted(conflict)) => *conflict,
        other => panic!("no conflict: {other:?}"),
    }
}

async fn put(room: &DocumentRoom, at: &str, content: &str) -> Written {
    accepted(room, write(at, Diff::put_file(content.as_bytes()))).await
}

async fn read_at(room: &DocumentRoom, at: &str, when: ReadAt) -> Result<Snapshot> {
    let request = ReadSnapshot { address: address(), node: NodeSelector::Path(path(at)), at: when };
    room.read_snapshot(&caller("anna"), request).await
}

fn text_of(snapshot: &Snapshot) -> String {
    match &snapshot.node.content {
        Content::Inline(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Content::Part(_) | Content::Chunked(_) => panic!("a snapshot has its content inline"),
    }
}

async fn text_at(room: &DocumentRoom, at: &str, revision: Option<u64>) -> Option<String> {
    let when = ReadAt { revision, ..ReadAt::default() };
    read_at(room, at, when).await.ok().map(|snapshot| text_of(&snapshot))
}
