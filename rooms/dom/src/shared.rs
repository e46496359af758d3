//! What all calls of a room share: its store, and its branches, opened when they are
//! asked for and closed when nobody uses them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OnceCell, mpsc};
use tokio::time::Instant;
use vdom_core::limits::WRITER_QUEUE_MAX_WRITES;
use vdom_core::{BranchAddress, Error, ErrorCode, RealmName, Result};
use vdom_store::{OperationKey, Store};

use super::branch::BranchHandle;
use super::compaction::{CompactionReport, Retention};
use super::hot::HotNodes;
use super::load::no_such_branch;
use super::log_names::repo_and_branch;
use super::maintenance::{address_of, all_logs};
use super::quota::{Quotas, RealmUsage};
use super::room::RoomBounds;
use super::{compaction, derive, writer};
use crate::metrics::DomMetrics;
use vdom_edge::Environment;
use vdom_security::{Authority, Duty, Permit};

const IDLE_MAX: Duration = Duration::from_secs(60);

pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) environment: Environment,
    pub(super) authority: Authority,
    pub(super) metrics: DomMetrics,
    pub(super) quotas: Quotas,
    pub(super) hot: HotNodes,
    pub(super) usage: Mutex<HashMap<RealmName, Arc<RealmUsage>>>,
    slots: Mutex<HashMap<BranchAddress, Slot>>,
}

/// A branch that is open or being opened, once for all who ask.
struct Slot {
    cell: Arc<OnceCell<Open>>,
    used_at: Instant,
}

/// The newest log of a branch.
pub(super) struct LastLog {
    /// Which of that name.
    pub incarnation: u64,
    /// Its epoch.
    pub epoch: u64,
    /// Whether it has ended.
    pub closed: bool,
    /// The operations of its last batch.
    pub operations: Vec<OperationKey>,
}

struct Open {
    handle: Arc<BranchHandle>,
    derive: tokio::task::AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.derive.abort();
    }
}

impl Shared {
    /// Nothing open yet.
    pub(super) fn new(
        store: Arc<dyn Store>,
        environment: Environment,
        authority: Authority,
        metrics: DomMetrics,
        bounds: RoomBounds,
    ) -> Self {
        let RoomBounds { quotas, cache_bytes } = bounds;
        let (usage, slots) = (Mutex::default(), Mutex::default());
        let hot = HotNodes::new(cache_bytes);
        Self { store, environment, authority, metrics, quotas, hot, usage, slots }
    }

    /// Lets go of every branch.
    pub(super) fn let_go(&self) {
        self.slots.lock().clear();
    }

    /// A branch that exists.
    pub(super) async fn existing(
        &self,
        permit: &Permit,
        address: &BranchAddress,
    ) -> Result<Arc<BranchHandle>> {
        let handle = self.open(permit, address, false).await?;
        if handle.branch.head().number == 0 {
            return Err(no_such_branch(address));
        }
        Ok(handle)
    }

    /// A branch that the first write creates where it does not exist.
    pub(super) async fn existing_or_new(
        &self,
        permit: &Permit,
        address: &BranchAddress,
    ) -> Result<Arc<BranchHandle>> {
        self.open(permit, address, true).await
    }

    /// The branches that are open now.
    pub(super) fn opened(&self) -> Vec<Arc<BranchHandle>> {
        let slots = self.slots.lock();
        slots.values().filter_map(|slot| Some(slot.cell.get()?.handle.clone())).collect()
    }

    /// Lets go of branches that nobody has used for a while, and counts the rest.
    pub(super) fn close_idle(&self) {
        self.slots.lock().retain(|_, slot| {
            let in_use = slot.cell.get().is_none_or(|open| {
                let branch = &open.handle.branch;
                Arc::strong_count(&open.handle) > 1
                    || branch.watchers() > 0
                    || branch.watermark().number < branch.head().number
            });
            if in_use {
                slot.used_at = Instant::now();
            }
            slot.used_at.elapsed() < IDLE_MAX
        });
        let handles = self.opened();
        let lag = |handle: &Arc<BranchHandle>| handle.branch.view_lag_changes();
        self.metrics.branches(handles.len(), handles.iter().map(lag).max().unwrap_or(0));
    }

    /// The branches that have a log.
    pub(super) async fn branches_of_all_realms(&self) -> Result<Vec<BranchAddress>> {
        let logs = all_logs(&*self.store).await?;
        let of_branches = logs.iter().filter(|log| !repo_and_branch(log).0.is_empty());
        let mut branches = of_branches.map(address_of).collect::<Result<Vec<_>>>()?;
        branches.dedup();
        Ok(branches)
    }

    /// Compacts a branch, where it is not deleted and that takes out at least `min_changes`.
    pub(super) async fn compact(
        &self,
        address: &BranchAddress,
        retention: Retention,
        min_changes: u64,
    ) -> Result<Option<CompactionReport>> {
        let handle = match self.existing(&Permit::system(Duty::Compact), address).await {
            Err(error) if error.code == ErrorCode::NotFound => return Ok(None),
            handle => handle?,
        };
        compaction::compact(&handle, &self.environment, retention, min_changes).await
    }

    pub(super) async fn open(
        &self,
        permit: &Permit,
        address: &BranchAddress,
        create: bool,
    ) -> Result<Arc<BranchHandle>> {
        if permit.realm().is_some_and(|realm| *realm != address.realm) {
            return Err(Error::internal(format!("a permit for another realm opens {address}")));
        }
        let cell = {
            let mut slots = self.slots.lock();
            if let Some(slot) = slots.get_mut(address) {
                slot.used_at = Instant::now();
                match slot.cell.get() {
                    Some(open) if open.handle.branch.is_retired() => {
                        slot.cell = Arc::new(OnceCell::new());
                    }
                    Some(open) => return Ok(open.handle.clone()),
                    None => {}
                }
                slot.cell.clone()
            } else {
                let cell = Arc::new(OnceCell::new());
                let slot = Slot { cell: cell.clone(), used_at: Instant::now() };
                slots.insert(address.clone(), slot);
                cell
            }
        };
        let opened = cell.get_or_try_init(|| self.open_anew(address, create)).await;
        let handle = opened.map(|open| open.handle.clone());
        if handle.is_err() {
            let mut slots = self.slots.lock();
            if slots.get(address).is_some_and(|slot| slot.cell.get().is_none()) {
                slots.remove(address);
            }
        }
        handle
    }

    async fn open_anew(&self, address: &BranchAddress, create: bool) -> Result<Open> {
        let is_counted = self.usage.lock().contains_key(&address.realm);
        if self.quotas != Quotas::default() && !is_counted {
            self.count_usage(&address.realm).await?;
        }
        let branch = Arc::new(self.load(address, create).await?);
        writer::catch_up_first(&branch).await?;
        let (writer, queue) = mpsc::channel(WRITER_QUEUE_MAX_WRITES);
        let writing =
            writer::run(branch.clone(), queue, self.environment.clone(), self.metrics.clone());
        tokio::spawn(writing);
        let derive = tokio::spawn(derive::run(branch.clone())).abort_handle();
        Ok(Open { handle: Arc::new(BranchHandle { branch, writer }), derive })
    }
}
