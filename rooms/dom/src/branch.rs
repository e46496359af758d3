//! A branch in memory: its head, the tail of its log that the views do not have
//! yet, and what readers and subscribers need of both.

mod applied_batch;
pub(crate) mod checkpoint;
mod errors;
mod head;
pub(crate) mod idempotency;
pub(crate) mod kept_conflicts;
pub(crate) mod node_cache;
mod overlay;
pub(crate) mod parent;
pub(crate) mod point_in_time;
mod removed_rows;
mod replay;
pub(crate) mod row_pages;
pub(crate) mod usage;
mod usage_of_branch;
pub(crate) mod views_wait;

pub(crate) use applied_batch::{AppliedBatch, AppliedChange, SharedEvents};
pub(crate) use errors::{broken_chain, history_compacted};
pub(crate) use head::{Compaction, Head, KnownViews};
pub(crate) use replay::{after_change, next_clock};

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use overlay::BranchState;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use vdom_core::{BranchAddress, ChangeKind, Node, NodeId, NodePath, Result};
use vdom_security::{GuardedStore, Permit, PermittedStore};
use vdom_store::{LogDescriptor, LogId, Position, View, Watermark};

use crate::branch::node_cache::{BranchNodeCache, Holder};
use crate::branch::parent::ParentBranch;
use crate::branch::usage::{RealmUsage, Usage};
use crate::error::from_store;
use crate::records::{Checkpoint, ControlRecord, DocumentView, LoggedChange, decode_node};

/// Views of so many changes, or of so many bytes, wait for no more to be written with them.
const VIEWS_GATHERED_CHANGES: u64 = 4_096;
const VIEWS_GATHERED_BYTES: usize = 8 << 20;

/// What every task of a branch shares. Only the writer changes it.
pub(crate) struct Branch {
    pub address: BranchAddress,
    /// Of the incarnation.
    pub descriptor: LogDescriptor,
    pub log: LogId,
    /// What it has from another branch.
    pub parent: Option<ParentBranch>,
    /// Wakes the view builder: there are batches without views.
    pub wake_view_builder: Notify,
    /// Somebody waits for the views.
    pub flush_requested: Notify,
    /// Wakes whoever waits when views were written.
    pub views_advanced: Notify,
    /// What its realm holds.
    pub usage: Arc<RealmUsage>,
    node_cache: BranchNodeCache,
    usage_in_views: Mutex<(Usage, Position)>,
    counts: AtomicBool,
    store: GuardedStore,
    permit: Permit,
    state: RwLock<BranchState>,
    compaction: RwLock<Compaction>,
    head: watch::Sender<Head>,
    retired: AtomicBool,
}

/// What a branch is made of when it is brought into memory.
pub(crate) struct BranchParts {
    pub address: BranchAddress,
    /// Of the incarnation.
    pub descriptor: LogDescriptor,
    /// Where the log and the views are.
    pub store: GuardedStore,
    /// What it is served with.
    pub permit: Permit,
    /// What it has from another branch.
    pub parent: Option<ParentBranch>,
    /// Where the views end.
    pub head: Head,
    /// What the views know.
    pub views: KnownViews,
    /// What its realm holds.
    pub usage: Arc<RealmUsage>,
    /// Room for its nodes in memory.
    pub node_cache: BranchNodeCache,
}

impl Branch {
    /// A branch whose log ends at `head` and whose views are complete to
    /// `watermark`; the batches between are applied next.
    pub(crate) fn new(parts: BranchParts) -> Self {
        let BranchParts {
            address,
            descriptor,
            store,
            permit,
            parent,
            head,
            views,
            usage,
            node_cache,
        } = parts;
        let log = descriptor.log_id();
        let KnownViews { watermark, compaction, usage: usage_in_views } = views;
        Self {
            usage,
            node_cache,
            usage_in_views: Mutex::new(usage_in_views),
            counts: AtomicBool::new(false),
            address,
            descriptor,
            log,
            store,
            permit,
            parent,
            wake_view_builder: Notify::new(),
            flush_requested: Notify::new(),
            views_advanced: Notify::new(),
            state: RwLock::new(BranchState {
                head_verified_at: Instant::now(),
                watermark,
                tail: VecDeque::new(),
                tail_events: 0,
                tail_bytes: 0,
                unwritten_bytes: 0,
                nodes: HashMap::new(),
                paths: HashMap::new(),
                actors: HashMap::new(),
            }),
            compaction: RwLock::new(compaction),
            head: watch::Sender::new(head),
            retired: AtomicBool::new(false),
        }
    }

    /// The store, under the permit that open branches are served with.
    pub(crate) fn store(&self) -> PermittedStore<'_> {
        self.store.with(&self.permit)
    }

    /// The store, for a duty or a caller that has a permit of its own.
    pub(crate) fn store_with<'a>(&'a self, permit: &'a Permit) -> PermittedStore<'a> {
        self.store.with(permit)
    }

    /// Whether other processes may append to its log.
    pub(crate) fn is_shared(&self) -> bool {
        self.store.guarantees().shared
    }

    /// Who opens the branch next shall open it anew.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        // Who waits for the head waits for nothing.
        self.head.send_modify(|_| {});
    }

    /// Whether the branch must be opened anew: its log has ended, or can no longer be followed.
    pub(crate) fn is_retired(&self) -> bool {
        self.head().closed || self.is_left_behind()
    }

    /// Whether the log, or one that it continues, went on in a way that cannot be followed.
    pub(crate) fn is_left_behind(&self) -> bool {
        let is_retired = |branch: &Self| branch.retired.load(Ordering::Relaxed);
        is_retired(self)
            || self.parent.as_ref().is_some_and(|parent| parent.branch.is_left_behind())
    }

    /// The end of the log as far as it is known here.
    pub(crate) fn head(&self) -> Head {
        *self.head.borrow()
    }

    /// What is kept of the branch's own history.
    pub(crate) fn compaction(&self) -> Compaction {
        self.compaction.read().clone()
    }

    /// The oldest revision that may be asked for, also of what the branch continues:
    /// changes after it are kept, and states from it on. 0: all.
    pub(crate) fn oldest_revision(&self) -> u64 {
        match (self.compaction.read().limit, &self.parent) {
            (0, Some(parent)) => parent.branch.oldest_revision().min(parent.revision),
            (limit, _) => limit,
        }
    }

    /// Refuses a revision whose state is no longer kept, or whose change follows one
    /// that is not.
    pub(crate) fn check_kept(&self, revision: u64) -> Result<()> {
        let oldest = self.oldest_revision();
        if revision >= oldest { Ok(()) } else { Err(history_compacted(self, revision, oldest)) }
    }

    /// Follows the head: a receiver counts as a watcher while it lives.
    pub(crate) fn watch_head(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// How many follow the head.
    pub(crate) fn watchers(&self) -> usize {
        self.head.receiver_count()
    }

    /// When the head was last proven to be the end of the log.
    pub(crate) fn head_verified_at(&self) -> Instant {
        self.state.read().head_verified_at
    }

    /// The head was the end of the log at `at`.
    pub(crate) fn head_verified(&self, at: Instant) {
        let mut state = self.state.write();
        state.head_verified_at = state.head_verified_at.max(at);
    }

    /// How far the views are complete.
    pub(crate) fn watermark(&self) -> Watermark {
        self.state.read().watermark
    }

    /// How many changes the views lack.
    pub(crate) fn view_lag_changes(&self) -> u64 {
        self.head().revision.saturating_sub(self.watermark().position.revision)
    }

    /// By how many bytes, of diffs and what they make, the views are behind.
    pub(crate) fn view_lag_bytes(&self) -> usize {
        self.state.read().unwritten_bytes
    }

    /// How many bytes of changes it holds in memory.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.state.read().tail_bytes
    }

    /// A node, tombstones included.
    pub(crate) async fn node(&self, id: NodeId) -> Result<Option<Arc<Node>>> {
        // Before anything is looked at: see `while_at`.
        let number = self.head().number;
        if let Some(node) = self.node_in_memory(id) {
            return Ok(Some(node));
        }
        let found = match (self.own_view(id).await?, &self.parent) {
            (Some(view), _) => Some(Arc::new(decode_node(&view.value)?)),
            (None, Some(parent)) => parent.node(id).await?,
            (None, None) => None,
        };
        if let Some(node) = &found {
            self.while_at(number, || self.node_cache.put(node));
        }
        Ok(found)
    }

    /// The newest state of a node, where that is in memory.
    pub(crate) fn node_in_memory(&self, id: NodeId) -> Option<Arc<Node>> {
        self.state.read().nodes.get(&id).cloned().or_else(|| self.node_cache.node(id))
    }

    /// Caches what was read, unless something was published since the head was at
    /// `number`: what was read may lack that.
    fn while_at(&self, number: u64, keep: impl FnOnce()) {
        // Publishing takes the lock, too.
        let _state = self.state.read();
        if self.head().number == number {
            keep();
        }
    }

    /// Whether a node has changed in this branch itself.
    pub(crate) async fn has_changed(&self, id: NodeId) -> Result<bool> {
        let known = self.state.read().nodes.contains_key(&id);
        Ok(known || self.own_view(id).await?.is_some())
    }

    async fn own_view(&self, id: NodeId) -> Result<Option<View>> {
        let view = self.store().view(self.log, DocumentView::Node.kind(), id.as_bytes()).await;
        view.map_err(|error| from_store(error, &self.address))
    }

    /// The live node at a path.
    pub(crate) async fn node_at(&self, path: &NodePath) -> Result<Option<Arc<Node>>> {
        // Before anything is looked at: see `while_at`.
        let number = self.head().number;
        let known = {
            let state = self.state.read();
            state
                .paths
                .get(path)
                .map(|place| place.holder.and_then(|id| state.nodes.get(&id).cloned()))
        };
        if let Some(node) = known {
            return Ok(node);
        }
        match self.node_cache.holder(path) {
            Holder::Nobody => return Ok(None),
            Holder::Node(id) => {
                let node = self.node(id).await?;
                if let Some(node) = node.filter(|node| node.live && node.path == *path) {
                    return Ok(Some(node));
                }
            }
            Holder::Unknown => {}
        }
        let found = self.find_at(path).await?;
        self.while_at(number, || {
            self.node_cache.hold(path, found.as_ref().map(|node| node.id));
            if let Some(node) = &found {
                self.node_cache.put(node);
            }
        });
        Ok(found)
    }

    /// The live node at a path, as the views have it, and the parent.
    async fn find_at(&self, path: &NodePath) -> Result<Option<Arc<Node>>> {
        let views = self.store().views_at(self.log, DocumentView::Node.kind(), path.as_str()).await;
        for view in views.map_err(|error| from_store(error, &self.address))? {
            let node = decode_node(&view.value)?;
            // A change that is not in the views yet may have taken it away.
            let newer = self.state.read().nodes.get(&node.id).cloned();
            let node = newer.unwrap_or_else(|| Arc::new(node));
            if node.live && node.path == *path {
                return Ok(Some(node));
            }
        }
        let Some(parent) = &self.parent else { return Ok(None) };
        match parent.node_at(path).await? {
            // One that has changed here is elsewhere, or gone.
            Some(node) if self.has_changed(node.id).await? => Ok(None),
            found => Ok(found),
        }
    }

    /// The subject that an actor belongs to, if it wrote here before.
    pub(crate) async fn actor_subject(&self, actor: &str) -> Result<Option<Arc<str>>> {
        if let Some((_, subject)) = self.state.read().actors.get(actor) {
            return Ok(Some(subject.clone()));
        }
        let view = self.store().view(self.log, DocumentView::Actor.kind(), actor.as_bytes()).await;
        let view = view.map_err(|error| from_store(error, &self.address))?;
        match (view, &self.parent) {
            (Some(view), _) => Ok(Some(String::from_utf8_lossy(&view.value).as_ref().into())),
            (None, Some(parent)) => Box::pin(parent.branch.actor_subject(actor)).await,
            (None, None) => Ok(None),
        }
    }

    /// The batches after `revision` that are in memory; `None` where the first
    /// of them no longer is, so that the log must be read.
    pub(crate) fn tail_after(&self, revision: u64) -> Option<Vec<Arc<AppliedBatch>>> {
        let state = self.state.read();
        let head = self.head.borrow().revision;
        if revision >= head {
            return Some(Vec::new());
        }
        let first = state.tail.iter().find_map(|batch| batch.changes.first())?;
        if first.entry.change.revision > revision + 1 {
            return None;
        }
        let from = state.tail.partition_point(|batch| batch.head.revision <= revision);
        Some(state.tail.range(from..).cloned().collect())
    }

    /// The change at a revision, where that is in memory.
    pub(crate) fn entry_in_memory(&self, revision: u64) -> Option<LoggedChange> {
        let state = self.state.read();
        let at = state.tail.partition_point(|batch| batch.head.revision < revision);
        let changes = &state.tail.get(at)?.changes;
        let first = changes.first()?.entry.change.revision;
        let applied = changes.get(usize::try_from(revision.checked_sub(first)?).ok()?)?;
        Some(applied.entry.clone())
    }

    /// The first that is found among the changes in memory up to a revision, newest first.
    pub(crate) fn find_in_tail<T>(
        &self,
        revision: u64,
        find: impl FnMut(&AppliedChange) -> Option<T>,
    ) -> Option<T> {
        let state = self.state.read();
        let batches = state.tail.iter().rev();
        let changes = batches.flat_map(|batch| batch.changes.iter().rev());
        changes.skip_while(|applied| applied.entry.change.revision > revision).find_map(find)
    }

    /// Up to which revision the views are complete, and the batches that they do not have yet.
    pub(crate) fn unwritten(&self) -> (u64, Vec<Arc<AppliedBatch>>) {
        let state = self.state.read();
        (state.watermark.position.revision, state.unwritten().cloned().collect())
    }

    /// Makes a committed batch visible. Only the writer calls it, in order.
    pub(crate) fn publish(&self, batch: AppliedBatch, head_verified_at: Instant) {
        let head = batch.head;
        let mut state = self.state.write();
        for applied in &batch.changes {
            state.overlay(applied);
        }
        for applied in &batch.changes {
            let (change, node) = (&applied.entry.change, &applied.node);
            self.node_cache.put(node);
            if change.kind == ChangeKind::Update {
                continue;
            }
            for path in change.old_path.iter().chain([&node.path]) {
                let place = state.paths.get(path);
                self.node_cache.hold(path, place.and_then(|place| place.holder));
            }
        }
        self.take_control_records(&batch.control_records);
        self.count(&batch);
        state.tail_events += batch.changes.len();
        state.tail_bytes += batch.bytes();
        if head.number > state.watermark.number {
            state.unwritten_bytes += batch.bytes();
        }
        state.tail.push_back(Arc::new(batch));
        state.trim();
        state.head_verified_at = state.head_verified_at.max(head_verified_at);
        // Under the lock, so that nobody sees a head without its changes.
        self.head.send_replace(head);
        drop(state);
        self.wake_view_builder.notify_one();
        if self.view_lag_changes() >= VIEWS_GATHERED_CHANGES
            || self.view_lag_bytes() >= VIEWS_GATHERED_BYTES
        {
            self.flush_requested.notify_one();
        }
    }

    fn take_control_records(&self, control_records: &[ControlRecord]) {
        for control in control_records {
            let mut compaction = self.compaction.write();
            match control {
                ControlRecord::Limit(revision) => {
                    compaction.limit = compaction.limit.max(*revision);
                }
                ControlRecord::Checkpoint(checkpoint) => {
                    compaction.limit = compaction.limit.max(checkpoint.revision);
                    let is_newer = |known: &Arc<Checkpoint>| known.revision < checkpoint.revision;
                    if compaction.checkpoint.as_ref().is_none_or(is_newer) {
                        compaction.checkpoint = Some(Arc::new(Checkpoint::clone(checkpoint)));
                    }
                }
                _ => {}
            }
        }
    }

    /// The views are complete up to `watermark`, and count this much.
    pub(crate) fn views_written(&self, watermark: Watermark, usage: Usage) {
        let mut state = self.state.write();
        if watermark <= state.watermark {
            return;
        }
        let mut usage_in_views = self.usage_in_views.lock();
        // The row may have been written ahead of what it counts.
        *usage_in_views = (usage, usage_in_views.1.max(watermark.position));
        drop(usage_in_views);
        state.watermark = watermark;
        state.unwritten_bytes = state.unwritten().map(|batch| batch.bytes()).sum();
        let revision = watermark.position.revision;
        state.nodes.retain(|_, node| node.changed_revision > revision);
        state.paths.retain(|_, place| place.since_revision > revision);
        state.actors.retain(|_, (since, _)| *since > revision);
        state.trim();
        drop(state);
        self.views_advanced.notify_waiters();
    }
}
