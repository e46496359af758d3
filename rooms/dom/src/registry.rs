//! The branches of the document room, opened when they are
//! asked for and closed when nobody uses them.

mod bounds;
mod ended_logs;
pub(crate) mod open;
pub(crate) mod read_consistency;
pub(crate) mod remote_feed;
pub(crate) mod usage_count;

pub use bounds::RoomBounds;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use vdom_core::{BranchAddress, Error, RealmName, Result};
use vdom_edge::Environment;
use vdom_security::{Authority, Duty, GuardedStore, Permit, SystemPermits};
use vdom_store::OperationKey;

use crate::branch::node_cache::NodeCache;
use crate::branch::usage::{Quotas, RealmUsage};
use crate::log_names::{address_of, all_logs, repo_and_branch};
use crate::metrics::DomMetrics;
use crate::registry::open::no_such_branch;
use crate::uploads::Uploads;
use crate::views::view_builder::ViewBuilder;
use crate::writer;
use crate::writer::{BranchHandle, CommandQueue};

const IDLE_MAX: Duration = Duration::from_secs(60);
/// Of branches that nobody uses, no more stay open.
const UNUSED_OPEN_MAX: usize = 2_048;
/// Nor such that hold more bytes of changes together.
const UNUSED_OPEN_MAX_BYTES: usize = 64 << 20;
/// A branch may end, or be compacted, again while it is opened.
const OPEN_ATTEMPTS_MAX: u32 = 4;

pub(crate) struct BranchRegistry {
    pub(crate) store: GuardedStore,
    pub(crate) permits: Arc<SystemPermits>,
    pub(crate) environment: Environment,
    pub(crate) authority: Authority,
    pub(crate) metrics: DomMetrics,
    pub(crate) quotas: Quotas,
    pub(crate) uploads: Uploads,
    pub(crate) node_cache: NodeCache,
    pub(crate) usage: Mutex<HashMap<RealmName, Arc<RealmUsage>>>,
    slots: Mutex<HashMap<BranchAddress, Slot>>,
}

/// A branch that is open or being opened, once for all who ask.
struct Slot {
    cell: Arc<OnceCell<Arc<BranchHandle>>>,
    used_at: Instant,
}

impl Slot {
    /// Whether somebody opens the branch, or waits for that.
    fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.cell) > 1
    }

    /// Whether the branch may not be closed now.
    fn is_in_use(&self) -> bool {
        self.is_awaited()
            || self.cell.get().is_some_and(|open| {
                let branch = &open.branch;
                Arc::strong_count(open) > 1
                    || open.writer.is_busy()
                    || branch.watchers() > 0
                    || branch.watermark().number < branch.head().number
            })
    }
}

/// The newest log of a branch; `closed`: it has ended.
pub(crate) struct LastLog {
    pub incarnation: u64,
    pub epoch: u64,
    pub closed: bool,
    /// The operations of its last batch.
    pub operations: Vec<OperationKey>,
}

impl BranchRegistry {
    /// Nothing open yet.
    pub(crate) fn new(
        store: GuardedStore,
        environment: Environment,
        authority: Authority,
        permits: Arc<SystemPermits>,
        metrics: DomMetrics,
        bounds: RoomBounds,
    ) -> Self {
        let RoomBounds { quotas, cache_bytes, staged_bytes_per_caller } = bounds;
        let uploads = Uploads::new(
            store.clone(),
            environment.clone(),
            metrics.clone(),
            staged_bytes_per_caller,
        );
        let (usage, slots) = (Mutex::default(), Mutex::default());
        let node_cache = NodeCache::new(cache_bytes);
        Self {
            store,
            permits,
            environment,
            authority,
            metrics,
            quotas,
            uploads,
            node_cache,
            usage,
            slots,
        }
    }

    /// Lets go of every branch.
    pub(crate) fn close_all(&self) {
        for handle in self.opened() {
            handle.view_builder.end();
        }
        self.slots.lock().clear();
    }

    /// A branch that exists.
    pub(crate) async fn existing(
        &self,
        permit: &Permit,
        address: &BranchAddress,
    ) -> Result<Arc<BranchHandle>> {
        begun(self.known(permit, address, false).await?)
    }

    /// A branch that exists, as it stands now and not as it was last heard of here.
    pub(crate) async fn verified_existing(
        &self,
        permit: &Permit,
        address: &BranchAddress,
    ) -> Result<Arc<BranchHandle>> {
        begun(self.verified(permit, address, false).await?)
    }

    /// A branch that the first write creates where it does not exist.
    pub(crate) async fn existing_or_new(
        &self,
        permit: &Permit,
        address: &BranchAddress,
    ) -> Result<Arc<BranchHandle>> {
        self.known(permit, address, true).await
    }

    /// A branch that the first write creates where it does not exist now, whatever was
    /// last heard of here.
    pub(crate) async fn verified_existing_or_new(
        &self,
        permit: &Permit,
        address: &BranchAddress,
    ) -> Result<Arc<BranchHandle>> {
        self.verified(permit, address, true).await
    }

    /// A branch that is open, or is opened now. One that was opened for a first write that was
    /// refused may have been begun since.
    async fn known(
        &self,
        permit: &Permit,
        address: &BranchAddress,
        create: bool,
    ) -> Result<Arc<BranchHandle>> {
        let handle = self.get_or_open(permit, address, create).await?;
        if handle.branch.head().number > 0 {
            return Ok(handle);
        }
        // On its own: what waits for a branch that is open stays small.
        Box::pin(self.verified(permit, address, create)).await
    }

    /// A branch whose head is proven now; one that turns out to have ended is opened anew.
    async fn verified(
        &self,
        permit: &Permit,
        address: &BranchAddress,
        create: bool,
    ) -> Result<Arc<BranchHandle>> {
        let mut attempts = 0;
        loop {
            let handle = self.get_or_open(permit, address, create).await?;
            attempts += 1;
            match handle.verify_head_if_shared().await {
                Err(_) if handle.branch.is_retired() && attempts < OPEN_ATTEMPTS_MAX => {}
                verified => return verified.map(|()| handle),
            }
        }
    }

    /// A branch, if it is open now.
    pub(crate) fn open_now(&self, address: &BranchAddress) -> Option<Arc<BranchHandle>> {
        self.slots.lock().get(address).and_then(|slot| slot.cell.get().cloned())
    }

    /// The branches that are open now.
    pub(crate) fn opened(&self) -> Vec<Arc<BranchHandle>> {
        let slots = self.slots.lock();
        slots.values().filter_map(|slot| slot.cell.get().cloned()).collect()
    }

    /// Lets go of branches that nobody has used for a while, or, where there are too many, of
    /// those that were not used for longest; counts the rest.
    pub(crate) fn close_idle(&self) {
        {
            let mut slots = self.slots.lock();
            let now = Instant::now();
            let mut unused = Vec::new();
            for slot in slots.values_mut() {
                if slot.is_in_use() {
                    slot.used_at = now;
                } else {
                    let bytes = slot.cell.get().map_or(0, |open| open.branch.tail_bytes());
                    unused.push((now.duration_since(slot.used_at), bytes));
                }
            }
            let unused_max = longest_kept(unused);
            slots.retain(|_, slot| {
                slot.is_in_use() || now.duration_since(slot.used_at) < unused_max
            });
        }
        let handles = self.opened();
        let lag = |handle: &Arc<BranchHandle>| handle.branch.view_lag_changes();
        self.metrics.branches(handles.len(), handles.iter().map(lag).max().unwrap_or(0));
    }

    /// The branches that have a log.
    pub(crate) async fn branches_of_all_realms(&self) -> Result<Vec<BranchAddress>> {
        let logs = all_logs(self.store.with(self.permits.of(Duty::ServeBranches))).await?;
        let of_branches = logs.iter().filter(|log| !repo_and_branch(log).0.is_empty());
        let mut branches = of_branches.map(address_of).collect::<Result<Vec<_>>>()?;
        branches.dedup();
        Ok(branches)
    }

    /// A branch that is open, or is opened now; where it does not exist, `create` says
    /// whether it may begin.
    pub(crate) async fn get_or_open(
        &self,
        permit: &Permit,
        address: &BranchAddress,
        create: bool,
    ) -> Result<Arc<BranchHandle>> {
        if permit.realm().is_some_and(|realm| *realm != address.realm) {
            return Err(Error::internal(format!("a permit for another realm opens {address}")));
        }
        self.ensure_counted(&address.realm).await?;
        self.open_slot(address, create).await
    }

    /// As [`Self::get_or_open`], also while the realm is being counted, which may need what
    /// other branches continue.
    pub(crate) async fn open_slot(
        &self,
        address: &BranchAddress,
        create: bool,
    ) -> Result<Arc<BranchHandle>> {
        let cell = {
            let mut slots = self.slots.lock();
            if let Some(slot) = slots.get_mut(address) {
                slot.used_at = Instant::now();
                match slot.cell.get() {
                    Some(open) if open.branch.is_retired() => {
                        slot.cell = Arc::new(OnceCell::new());
                    }
                    Some(open) => return Ok(open.clone()),
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
        let opened = cell.get_or_try_init(|| Box::pin(self.start(address, create))).await;
        let handle = opened.cloned();
        if handle.is_err() {
            let mut slots = self.slots.lock();
            drop(cell);
            // Who still waits opens the branch next, for all who ask from now on.
            if slots
                .get(address)
                .is_some_and(|slot| slot.cell.get().is_none() && !slot.is_awaited())
            {
                slots.remove(address);
            }
        }
        handle
    }

    async fn start(&self, address: &BranchAddress, create: bool) -> Result<Arc<BranchHandle>> {
        let branch = Arc::new(self.open_branch(address, create).await?);
        let build_views = self.permits.of(Duty::BuildViews).within(&address.realm);
        writer::recover(&branch, &build_views).await?;
        if self.has_quotas() {
            branch.begin_to_count();
        }
        let (writer, queue) = CommandQueue::new();
        let append = self.permits.of(Duty::Append).within(&address.realm);
        let (environment, metrics) = (self.environment.clone(), self.metrics.clone());
        let uploads = self.uploads.clone();
        tokio::spawn(writer::run(branch.clone(), queue, append, environment, metrics, uploads));
        let view_builder = ViewBuilder::start(branch.clone(), build_views);
        Ok(Arc::new(BranchHandle { branch, writer, view_builder }))
    }
}

/// How long a branch may be unused before it is closed, where these are: for how long each was
/// unused, and how many bytes it holds.
pub(crate) fn longest_kept(mut unused: Vec<(Duration, usize)>) -> Duration {
    unused.sort_unstable();
    let mut bytes = 0;
    let past = unused.iter().enumerate().find(|(at, (_, held))| {
        bytes += held;
        *at >= UNUSED_OPEN_MAX || bytes > UNUSED_OPEN_MAX_BYTES
    });
    past.map_or(IDLE_MAX, |(_, (unused, _))| IDLE_MAX.min(*unused))
}

/// A branch, if it has begun.
fn begun(handle: Arc<BranchHandle>) -> Result<Arc<BranchHandle>> {
    if handle.branch.head().number == 0 {
        return Err(no_such_branch(&handle.branch.address));
    }
    Ok(handle)
}
