//! A gateway: a document room over a store, which may end and start again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;
use vdom_api::dom::DocumentService;
use vdom_core::access::Scopes;
use vdom_core::dom::calls::{BranchSummary, ChangeSetPart, ListBranches};
use vdom_core::{BranchAddress, RealmName, Result};
use vdom_dom::maintenance::MaintainedStore;
use vdom_dom::{DocumentRoom, DomMetrics, Quotas, Retention, RoomBounds};
use vdom_edge::{Caller, Environment};
use vdom_security::{Authority, GuardedStore};
use vdom_store::Store;

use super::store::GatewayStore;
use crate::model::answers::{Answer, Asked, Call};
use crate::random::mixed;
use crate::steps::Scenario;

/// When scenarios begin, in s since the Unix epoch.
const BEGIN_SECONDS: u64 = 1_700_000_000;

/// One run of a gateway.
pub(super) struct Gateway {
    /// What it answers from.
    pub(super) room: DocumentRoom,
    /// Its way to the store.
    pub(super) store: Arc<GatewayStore>,
}

impl Gateway {
    /// Starts one. `run` tells the runs of a scenario apart.
    pub(super) fn start(
        inner: Arc<dyn Store>,
        begun: Instant,
        run: u64,
        scenario: &Scenario,
    ) -> Self {
        let &Scenario { seed, delay_ms, quota_nodes, .. } = scenario;
        let seed = mixed(seed ^ mixed(run));
        let store = Arc::new(GatewayStore::new(inner, seed, u64::from(delay_ms)));
        let (authority, permits) = Authority::new(RealmName::parse("default").ok());
        let nodes = (quota_nodes > 0).then_some(u64::from(quota_nodes));
        let quotas = Quotas { nodes, bytes: None };
        let bounds = RoomBounds { quotas, ..RoomBounds::default() };
        let guarded = GuardedStore::new(store.clone());
        let environment = environment(seed, begun, Duration::ZERO);
        let metrics = DomMetrics::new();
        let room = DocumentRoom::new(guarded, environment, authority, permits, metrics, bounds);
        Self { room, store }
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask(&self, asked: &Asked) -> Answer {
        let caller = caller(&asked.subject);
        let room = &self.room;
        match asked.call.clone() {
            Call::Write(write) => Answer::Write(room.write_diff(&caller, *write).await),
            Call::Set(set, items) => {
                let parts = items.into_iter().map(|item| Ok(ChangeSetPart::Diff(Box::new(item))));
                let parts = stream::iter(parts).boxed();
                Answer::Set(room.write_diffs(&caller, *set, parts).await)
            }
            Call::Revert(revert) => Answer::Set(room.revert_changes(&caller, revert).await),
            Call::Resolve(resolve) => {
                Answer::Resolve(room.resolve_conflict(&caller, resolve).await)
            }
            Call::Fork(fork) => Answer::Fork(room.create_branch(&caller, fork).await),
            Call::Delete(delete) => Answer::Delete(room.delete_branch(&caller, delete).await),
            Call::Read(read) => Answer::Read(room.read_snapshot(&caller, read).await),
            Call::Tree(tree) => {
                let entries = match room.read_tree(&caller, tree).await {
                    Ok(entries) => entries.try_collect().await,
                    Err(error) => Err(error),
                };
                Answer::Tree(entries)
            }
            Call::History(history) => Answer::History(room.history(&caller, history).await),
            Call::Conflicts(list) => Answer::Conflicts(room.list_conflicts(&caller, list).await),
            Call::Branches(of) => Answer::Branches(all_branches(room, &caller, &of).await),
            Call::Compact(of, keep) => {
                let retention = Retention { changes: Some(keep), age: None };
                Answer::Compact(room.compact(&of, retention).await)
            }
        }
    }
}

/// The branches of a repo, two a page.
async fn all_branches(
    room: &DocumentRoom,
    caller: &Caller,
    of: &BranchAddress,
) -> Result<Vec<BranchSummary>> {
    let (mut branches, mut token) = (Vec::new(), String::new());
    loop {
        let (realm, repo) = (of.realm.clone(), of.repo.clone());
        let request = ListBranches::new(realm, repo, None, 2, &token)?;
        let page = room.list_branches(caller, request).await?;
        branches.extend(page.branches);
        token = page.next_page_token;
        if token.is_empty() {
            return Ok(branches);
        }
    }
}

/// The store as an operator maintains it.
pub(super) fn maintained(store: Arc<dyn Store>) -> MaintainedStore {
    let (authority, permits) = Authority::new([]);
    MaintainedStore::new(GuardedStore::new(store), authority, permits)
}

/// A client with every right.
pub(super) fn caller(subject: &str) -> Caller {
    Caller {
        subject: subject.into(),
        realm: None,
        scopes: Scopes::all(),
        deadline: None,
        expires_at: None,
        received_at: UNIX_EPOCH,
        request_id: "model".into(),
        bearer: None,
    }
}

/// The runtime's own time, so much later, and randomness by seed.
pub(super) fn environment(seed: u64, begun: Instant, later: Duration) -> Environment {
    let drawn = AtomicU64::new(0);
    let begin = UNIX_EPOCH + Duration::from_secs(BEGIN_SECONDS) + later;
    Environment::new(
        move || begin + begun.elapsed(),
        move || begun.elapsed(),
        move |bytes| {
            for piece in bytes.chunks_mut(8) {
                let number = mixed(seed ^ mixed(drawn.fetch_add(1, Ordering::Relaxed) + 1));
                piece.copy_from_slice(&number.to_le_bytes()[..piece.len()]);
            }
            Ok(())
        },
    )
}
