//! A branch in memory: its head, the tail of its log that the views do not have
//! yet, and what readers and subscribers need of both.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use vdom_core::dom::diff;
use vdom_core::limits::{SUBSCRIPTION_QUEUE_MAX_BYTES, SUBSCRIPTION_QUEUE_MAX_EVENTS};
use vdom_core::{
    BranchAddress, Change, ChangeKind, Content, Error, Hash, Node, NodeId, NodePath, Result,
    VectorClock,
};
use vdom_store::{LogDescriptor, LogId, Position, Store, View, Watermark};

use super::content;
use super::error::from_store;
use super::hot::{Holder, HotBranch};
use super::origin::Origin;
use super::packs::{PackReader, StoredDiff};
use super::quota::{RealmUsage, Usage};
use super::records::{Base, DocumentView, Entry, Note, decode_node};
use super::subscribe::EncodedForms;
use super::writer::Command;

/// The end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The incarnation.
    pub epoch: u64,
    /// Of the last change; 0 before the first.
    pub revision: u64,
    /// Of the last change.
    pub hash: Hash,
    /// Of the last batch; 0 where the log does not exist yet.
    pub number: u64,
    /// Of the last batch, for the next one to name.
    pub digest: [u8; 32],
    /// The log ends here: the branch was deleted.
    pub closed: bool,
}

/// A change and the node after it.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    /// The change.
    pub entry: Entry,
    /// The node after it.
    pub node: Arc<Node>,
    /// By how much the branch grew.
    pub growth: Usage,
}

/// A committed batch, applied.
#[derive(Debug)]
pub(crate) struct AppliedBatch {
    /// The head after it.
    pub head: Head,
    /// Its changes, in order.
    pub changes: Vec<Applied>,
    /// What it says besides.
    pub notes: Vec<Note>,
    /// As its subscribers get it.
    pub encoded: EncodedForms,
}

/// What every task of a branch shares. Only the writer changes it.
pub(crate) struct Branch {
    /// Its name.
    pub address: BranchAddress,
    /// Of the incarnation.
    pub descriptor: LogDescriptor,
    /// Its log.
    pub log: LogId,
    /// Where the log and the views are.
    pub store: Arc<dyn Store>,
    /// What it has from another branch.
    pub origin: Option<Origin>,
    /// Wakes the task that derives views.
    pub derive: Notify,
    /// Somebody waits for the views.
    pub hurry: Notify,
    /// Wakes whoever waits when views were written.
    pub derived: Notify,
    /// What its realm holds.
    pub usage: Arc<RealmUsage>,
    hot: HotBranch,
    derived_usage: Mutex<(Usage, Position)>,
    state: RwLock<State>,
    compaction: RwLock<Compaction>,
    head: watch::Sender<Head>,
    retired: AtomicBool,
}

/// What of a branch's history is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compaction {
    /// The oldest revision that may still be asked for; 0: all.
    pub limit: u64,
    /// What stands in for what is older.
    pub base: Option<Arc<Base>>,
}

/// What the views of a log know when it is opened.
#[derive(Debug, Default)]
pub(crate) struct KnownViews {
    /// How far they are complete.
    pub watermark: Watermark,
    /// What of the history is kept.
    pub compaction: Compaction,
    /// How much the nodes take, and as of when.
    pub usage: (Usage, Position),
}

/// What a branch is made of when it is brought into memory.
pub(crate) struct BranchParts {
    /// Its name.
    pub address: BranchAddress,
    /// Of the incarnation.
    pub descriptor: LogDescriptor,
    /// Where the log and the views are.
    pub store: Arc<dyn Store>,
    /// What it has from another branch.
    pub origin: Option<Origin>,
    /// Where the views end.
    pub head: Head,
    /// What the views know.
    pub views: KnownViews,
    /// What its realm holds.
    pub usage: Arc<RealmUsage>,
    /// Room for its nodes in memory.
    pub hot: HotBranch,
}

/// A branch with its writer; the writer ends when the last handle is dropped.
pub(crate) struct BranchHandle {
    /// What is shared.
    pub branch: Arc<Branch>,
    /// The writer's queue.
    pub writer: mpsc::Sender<Command>,
}

struct State {
    confirmed_at: Instant,
    watermark: Watermark,
    /// Everything after the watermark, and before it as much as subscribers
    /// may be behind.
    tail: VecDeque<Arc<AppliedBatch>>,
    tail_events: usize,
    tail_bytes: usize,
    nodes: HashMap<NodeId, Arc<Node>>,
    paths: HashMap<NodePath, Occupancy>,
    actors: HashMap<String, (u64, Arc<str>)>,
}

struct Occupancy {
    since_revision: u64,
    holder: Option<NodeId>,
}

impl Branch {
    /// A branch whose log ends at `head` and whose views are complete to
    /// `watermark`; the batches between are applied next.
    pub(crate) fn new(parts: BranchParts) -> Self {
        let BranchParts { address, descriptor, store, origin, head, views, usage, hot } = parts;
        let log = descriptor.log_id();
        let KnownViews { watermark, compaction, usage: derived_usage } = views;
        Self {
            usage,
            hot,
            derived_usage: Mutex::new(derived_usage),
            address,
            descriptor,
            log,
            store,
            origin,
            derive: Notify::new(),
            hurry: Notify::new(),
            derived: Notify::new(),
            state: RwLock::new(State {
                confirmed_at: Instant::now(),
                watermark,
                tail: VecDeque::new(),
                tail_events: 0,
                tail_bytes: 0,
                nodes: HashMap::new(),
                paths: HashMap::new(),
                actors: HashMap::new(),
            }),
            compaction: RwLock::new(compaction),
            head: watch::Sender::new(head),
            retired: AtomicBool::new(head.closed),
        }
    }

    /// Who opens the branch next shall open it anew.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether the branch must be opened anew.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// The end of the log as far as it is known here.
    pub(crate) fn head(&self) -> Head {
        *self.head.borrow()
    }

    /// Whether `revision` of an earlier epoch of this branch is in this one too.
    pub(crate) fn shares(&self, epoch: u64, revision: u64) -> bool {
        let Some(origin) = self.origin.as_ref() else { return false };
        let Some(previous) = origin.previous_epoch else { return false };
        revision <= origin.revision && (epoch == previous || origin.parent.shares(epoch, revision))
    }

    /// What is kept of the branch's own history.
    pub(crate) fn compaction(&self) -> Compaction {
        self.compaction.read().clone()
    }

    /// The oldest revision that may be asked for, also of what the branch continues:
    /// changes after it are kept, and states from it on. 0: all.
    pub(crate) fn oldest_revision(&self) -> u64 {
        match (self.compaction.read().limit, &self.origin) {
            (0, Some(origin)) => origin.parent.oldest_revision().min(origin.revision),
            (limit, _) => limit,
        }
    }

    /// Refuses a revision whose state is no longer kept, or whose change follows one
    /// that is not.
    pub(crate) fn check_kept(&self, revision: u64) -> Result<()> {
        let oldest = self.oldest_revision();
        if revision >= oldest { Ok(()) } else { Err(compacted(self, revision, oldest)) }
    }

    /// Follows the head.
    pub(crate) fn watch_head(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// How many follow the head.
    pub(crate) fn watchers(&self) -> usize {
        self.head.receiver_count()
    }

    /// When the head was last proven to be the end of the log.
    pub(crate) fn confirmed_at(&self) -> Instant {
        self.state.read().confirmed_at
    }

    /// The head was the end of the log at `at`.
    pub(crate) fn confirmed(&self, at: Instant) {
        let mut state = self.state.write();
        state.confirmed_at = state.confirmed_at.max(at);
    }

    /// How far the views are complete.
    pub(crate) fn watermark(&self) -> Watermark {
        self.state.read().watermark
    }

    /// How many changes the views lack.
    pub(crate) fn view_lag_changes(&self) -> u64 {
        self.head().revision.saturating_sub(self.watermark().position.revision)
    }

    /// Waits until the views have all that the log says up to this batch.
    pub(crate) async fn views_complete(&self, number: u64) {
        loop {
            let derived = self.derived.notified();
            if self.watermark().number >= number {
                return;
            }
            self.hurry.notify_one();
            derived.await;
        }
    }

    /// Waits until the views are complete up to `revision`, or for `at_most`.
    pub(crate) async fn views_reach(&self, revision: u64, at_most: Duration) {
        let reached = async {
            loop {
                let derived = self.derived.notified();
                if self.watermark().position.revision >= revision {
                    return;
                }
                self.hurry.notify_one();
                derived.await;
            }
        };
        // Who waits has another way if it takes longer.
        let _ = tokio::time::timeout(at_most, reached).await;
    }

    /// A node, tombstones included.
    pub(crate) async fn node(&self, id: NodeId) -> Result<Option<Arc<Node>>> {
        // Before anything is looked at: see `while_at`.
        let number = self.head().number;
        if let Some(node) = self.at_hand(id) {
            return Ok(Some(node));
        }
        let found = match (self.own_view(id).await?, &self.origin) {
            (Some(view), _) => Some(Arc::new(decode_node(&view.value)?)),
            (None, Some(origin)) => origin.node(id).await?,
            (None, None) => None,
        };
        if let Some(node) = &found {
            self.while_at(number, || self.hot.put(node));
        }
        Ok(found)
    }

    /// The newest state of a node, where that is in memory.
    pub(crate) fn at_hand(&self, id: NodeId) -> Option<Arc<Node>> {
        self.state.read().nodes.get(&id).cloned().or_else(|| self.hot.node(id))
    }

    /// Keeps at hand what was read, unless something was published since the head was at
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
        let view = self.store.view(self.log, DocumentView::Node.kind(), id.as_bytes()).await;
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
        match self.hot.holder(path) {
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
            self.hot.hold(path, found.as_ref().map(|node| node.id));
            if let Some(node) = &found {
                self.hot.put(node);
            }
        });
        Ok(found)
    }

    /// The live node at a path, as the views have it, and the origin.
    async fn find_at(&self, path: &NodePath) -> Result<Option<Arc<Node>>> {
        let views = self.store.views_at(self.log, DocumentView::Node.kind(), path.as_str()).await;
        for view in views.map_err(|error| from_store(error, &self.address))? {
            let node = decode_node(&view.value)?;
            // A change that is not in the views yet may have taken it away.
            let newer = self.state.read().nodes.get(&node.id).cloned();
            let node = newer.unwrap_or_else(|| Arc::new(node));
            if node.live && node.path == *path {
                return Ok(Some(node));
            }
        }
        let Some(origin) = &self.origin else { return Ok(None) };
        match origin.node_at(path).await? {
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
        let view = self.store.view(self.log, DocumentView::Actor.kind(), actor.as_bytes()).await;
        let view = view.map_err(|error| from_store(error, &self.address))?;
        match (view, &self.origin) {
            (Some(view), _) => Ok(Some(String::from_utf8_lossy(&view.value).as_ref().into())),
            (None, Some(origin)) => Box::pin(origin.parent.actor_subject(actor)).await,
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

    /// The batches that the views do not have yet.
    pub(crate) fn underived(&self) -> Vec<Arc<AppliedBatch>> {
        let state = self.state.read();
        let from = state.tail.partition_point(|batch| batch.head.number <= state.watermark.number);
        state.tail.range(from..).cloned().collect()
    }

    /// Makes a committed batch visible. Only the writer calls it, in order.
    pub(crate) fn publish(&self, batch: AppliedBatch, confirmed_at: Instant) {
        let head = batch.head;
        if head.closed {
            self.retire();
        }
        let mut state = self.state.write();
        for applied in &batch.changes {
            state.overlay(applied);
        }
        for applied in &batch.changes {
            let (change, node) = (&applied.entry.change, &applied.node);
            self.hot.put(node);
            for path in change.old_path.iter().chain([&node.path]) {
                let place = state.paths.get(path);
                self.hot.hold(path, place.and_then(|place| place.holder));
            }
        }
        self.note(&batch.notes);
        self.usage.grow(batch.growth());
        state.tail_events += batch.changes.len();
        state.tail_bytes += batch.bytes();
        state.tail.push_back(Arc::new(batch));
        state.trim();
        state.confirmed_at = state.confirmed_at.max(confirmed_at);
        // Under the lock, so that nobody sees a head without its changes.
        self.head.send_replace(head);
        drop(state);
        self.derive.notify_one();
    }

    /// The last own revision of what this branch continues.
    pub(crate) fn inherited_revision(&self) -> u64 {
        self.origin.as_ref().map_or(0, |origin| origin.revision)
    }

    /// How much the nodes take as far as the views count.
    pub(crate) fn derived_usage(&self) -> Usage {
        self.derived_usage.lock().0
    }

    /// The same, after changes; those that the views count already are left out.
    pub(crate) fn usage_after(&self, usage: Usage, changes: &[Applied]) -> Usage {
        let counted = self.derived_usage.lock().1;
        let is_later = |applied: &&Applied| {
            let change = &applied.entry.change;
            Position { epoch: change.epoch, revision: change.revision } > counted
        };
        changes.iter().filter(is_later).fold(usage, |sum, applied| sum + applied.growth)
    }

    /// How much the nodes take, with what the views do not have yet.
    pub(crate) fn usage_now(&self) -> Usage {
        let underived = self.underived();
        underived
            .iter()
            .fold(self.derived_usage(), |usage, batch| self.usage_after(usage, &batch.changes))
    }

    fn note(&self, notes: &[Note]) {
        for note in notes {
            let mut compaction = self.compaction.write();
            match note {
                Note::Limit(revision) => compaction.limit = compaction.limit.max(*revision),
                Note::Base(base) => {
                    compaction.limit = compaction.limit.max(base.revision);
                    let is_newer = |known: &Arc<Base>| known.revision < base.revision;
                    if compaction.base.as_ref().is_none_or(is_newer) {
                        compaction.base = Some(Arc::new(Base::clone(base)));
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
        *self.derived_usage.lock() = (usage, watermark.position);
        state.watermark = watermark;
        let revision = watermark.position.revision;
        state.nodes.retain(|_, node| node.changed_revision > revision);
        state.paths.retain(|_, place| place.since_revision > revision);
        state.actors.retain(|_, (since, _)| *since > revision);
        state.trim();
        drop(state);
        self.derived.notify_waiters();
    }

    /// Applies changes that somebody else wrote, or that were read from the log
    /// at start, to the nodes they are about.
    pub(crate) async fn apply(&self, entries: Vec<Entry>) -> Result<Vec<Applied>> {
        let mut packs = self.packs();
        let mut latest: HashMap<NodeId, Arc<Node>> = HashMap::new();
        let mut changes: Vec<Applied> = Vec::with_capacity(entries.len());
        for entry in entries {
            let id = entry.change.node_id;
            let before = match latest.get(&id) {
                Some(node) => Some(node.clone()),
                None => self.node(id).await?,
            };
            let inherited = self.inherited_revision();
            let (node, growth) = match before {
                // The views may be ahead of what is applied here.
                Some(node) if node.changed_revision >= entry.change.revision => {
                    (node, Usage::default())
                }
                before => {
                    let before = before.as_deref();
                    let node = Arc::new(self.node_after(before, &entry, &mut packs).await?);
                    let growth = Usage::growth(before, &node, inherited);
                    (node, growth)
                }
            };
            latest.insert(id, node.clone());
            changes.push(Applied { entry, node, growth });
        }
        Ok(changes)
    }

    /// Reads the packs of the branch's change sets.
    pub(crate) fn packs(&self) -> PackReader<'_> {
        PackReader::new(&*self.store, &self.address)
    }

    /// The node that a change makes of the node before it.
    pub(crate) async fn node_after(
        &self,
        before: Option<&Node>,
        entry: &Entry,
        packs: &mut PackReader<'_>,
    ) -> Result<Node> {
        let diff = diff::Diff::parse_stored(&packs.diff(&entry.diff).await?)?;
        let pack = packs.holding(&entry.diff).await?;
        let empty = Content::Inline(Bytes::new());
        let old = before.map_or(&empty, |node| &node.content);
        let bytes = if diff.needs_content() {
            content::load(&*self.store, &self.address, old).await?
        } else {
            Bytes::new()
        };
        let no_attributes = std::collections::BTreeMap::new();
        let attributes = before.map_or(&no_attributes, |node| &node.attributes);
        let applied = diff::apply(&diff, entry.change.node_kind, &bytes, attributes)?;
        let content =
            content::settle(&*self.store, &self.address, applied.content, old, pack.as_ref())
                .await?;
        Ok(after_change(
            before,
            &entry.change,
            content,
            applied.attributes.unwrap_or_else(|| attributes.clone()),
        ))
    }
}

/// The node after a change, from the record and what the diff made of it.
pub(crate) fn after_change(
    before: Option<&Node>,
    change: &Change,
    content: Content,
    attributes: std::collections::BTreeMap<String, String>,
) -> Node {
    let live = change.kind != ChangeKind::Delete;
    let mut last_used = before.map(|node| node.last_used.clone()).unwrap_or_default();
    last_used.insert(change.actor.clone(), change.version);
    last_used.retain(|actor, _| change.clock.get(actor) > 0);
    Node {
        id: change.node_id,
        path: change.path.clone(),
        kind: change.node_kind,
        live,
        version: change.version,
        clock: change.clock.clone(),
        last_used,
        content: if live { content } else { Content::Inline(Bytes::new()) },
        attributes,
        author: change.author.clone(),
        timestamp_ms: change.timestamp_ms,
        metadata: change.metadata.clone(),
        epoch: change.epoch,
        changed_revision: change.revision,
    }
}

/// The clock of a node after one more change of `actor`.
pub(crate) fn next_clock(before: Option<&Node>, actor: &str) -> VectorClock {
    match before {
        None => VectorClock::default().incremented(actor, |_| 0),
        Some(node) => {
            node.clock.incremented(actor, |name| node.last_used.get(name).copied().unwrap_or(0))
        }
    }
}

impl Applied {
    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        let diff = match &self.entry.diff {
            StoredDiff::AtHand(bytes) => bytes.len(),
            StoredDiff::Packed(_) => 0,
        };
        diff + 512
    }
}

impl AppliedBatch {
    /// A batch that nobody has seen yet.
    pub(crate) fn new(head: Head, changes: Vec<Applied>, notes: Vec<Note>) -> Self {
        Self { head, changes, notes, encoded: EncodedForms::default() }
    }

    /// Its changes after `revision`.
    pub(crate) fn after(&self, revision: u64) -> &[Applied] {
        let from =
            self.changes.partition_point(|applied| applied.entry.change.revision <= revision);
        &self.changes[from..]
    }

    /// The last of its changes.
    pub(crate) fn last_change(&self) -> Option<&Change> {
        self.changes.last().map(|applied| &*applied.entry.change)
    }

    fn growth(&self) -> Usage {
        self.changes.iter().fold(Usage::default(), |sum, applied| sum + applied.growth)
    }

    fn bytes(&self) -> usize {
        self.changes.iter().map(Applied::bytes).sum()
    }
}

impl State {
    fn overlay(&mut self, applied: &Applied) {
        let (change, node) = (&applied.entry.change, &applied.node);
        let revision = change.revision;
        if let Some(old_path) = &change.old_path {
            self.occupy(old_path, revision, None, node.id);
        }
        let holder = node.live.then_some(node.id);
        self.occupy(&node.path, revision, holder, node.id);
        self.nodes.insert(node.id, node.clone());
        self.actors
            .entry(change.actor.clone())
            .or_insert_with(|| (revision, change.subject.as_str().into()));
    }

    fn occupy(&mut self, path: &NodePath, revision: u64, holder: Option<NodeId>, by: NodeId) {
        // Within a change set another node may have come before this one left.
        if holder.is_none()
            && let Some(place) = self.paths.get(path)
            && place.holder.is_some_and(|current| current != by)
        {
            return;
        }
        self.paths.insert(path.clone(), Occupancy { since_revision: revision, holder });
    }

    fn trim(&mut self) {
        while self.tail_events > SUBSCRIPTION_QUEUE_MAX_EVENTS
            || self.tail_bytes > SUBSCRIPTION_QUEUE_MAX_BYTES
        {
            let Some(oldest) = self.tail.front() else {
                return;
            };
            if oldest.head.number > self.watermark.number {
                return;
            }
            self.tail_events -= oldest.changes.len();
            self.tail_bytes -= oldest.bytes();
            self.tail.pop_front();
        }
    }
}

/// The refusal of what was compacted.
pub(crate) fn compacted(branch: &Branch, revision: u64, oldest: u64) -> Error {
    let head = branch.head();
    Error::new(
        vdom_core::ErrorCode::Compacted,
        format!(
            "{} keeps its history from revision {oldest} on, not at {revision}: read it anew and \
             go on from there",
            branch.address
        ),
    )
    .resource(&branch.address)
    .at(head.epoch, head.revision)
    .oldest_revision(oldest)
}

/// A fault that must not happen: a batch that does not continue the log.
pub(crate) fn broken_chain(address: &BranchAddress, number: u64) -> Error {
    Error::new(
        vdom_core::ErrorCode::DataLoss,
        format!("the log of {address} is broken at batch {number}: run `vdom verify`"),
    )
    .resource(address)
}
