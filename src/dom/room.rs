//! The room itself: its branches, opened when they are asked for and closed
//! when nobody uses them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio::time::Instant;
use vdom_core::calls::{
    BranchSummary, ChangeSetPart, ConflictPage, CreateBranch, DeleteBranch, Event, GetHistory,
    HistoryPage, ListConflicts, ReadAt, ReadSnapshot, ReadSnapshots, ReadTree, RepoSummary,
    ResolveConflict, ResolveOutcome, RevertChanges, SetOutcome, Snapshot, Subscribe, TreeEntry,
    WriteDiff, WriteDiffs, WriteOutcome,
};
use vdom_core::change::CHAIN_START;
use vdom_core::limits::{MIN_REVISION_WAIT_MAX, WRITER_QUEUE_MAX_WRITES};
use vdom_core::{BranchAddress, BranchName, Error, ErrorCode, RealmName, RepoName, Result};
use vdom_edge::{Caller, Dom, DomStream};
use vdom_store::{
    LogDescriptor, LogFilter, LogId, OperationKey, Position, Store, ViewKind, Watermark,
};

use super::branch::{Branch, BranchHandle, Compaction, Head, KnownViews};
use super::compaction::{CompactionReport, Retention};
use super::error::from_store;
use super::hot::HotNodes;
use super::origin::Origin;
use super::quota::{Quotas, RealmUsage, USAGE_ID, Usage};
use super::records::{
    BASE_ID, Base, BatchRecord, LIMIT_ID, Note, decode_batch, decode_record, operation_key,
};
use super::writer::{self, Command, writer_gone};
use super::{
    base, branches, change_set, compaction, conflicts, derive, feed, history, operations,
    read_snapshot, read_tree, revert, subscribe, write_diff,
};
use crate::environment::Environment;
use crate::observe::DomMetrics;
use crate::security::{Action, Authority, Duty, Permit};

const IDLE_MAX: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(20);
const BASE_SEARCH_BYTES: usize = 8 << 20;

/// Documents, and all that is asked of them. Cheap to clone.
#[derive(Clone)]
pub struct DocumentRoom {
    pub(super) shared: Arc<Shared>,
}

/// How much a room may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomBounds {
    /// Of each realm, in the store.
    pub quotas: Quotas,
    /// Of nodes that were read or written lately, in memory.
    pub cache_bytes: u64,
}

impl Default for RoomBounds {
    fn default() -> Self {
        Self { quotas: Quotas::default(), cache_bytes: 192 << 20 }
    }
}

pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) environment: Environment,
    pub(super) authority: Authority,
    pub(super) metrics: DomMetrics,
    quotas: Quotas,
    hot: HotNodes,
    usage: Mutex<HashMap<RealmName, Arc<RealmUsage>>>,
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

impl DocumentRoom {
    /// A room over a store. Call it within a runtime: it watches the feed.
    pub fn new(
        store: Arc<dyn Store>,
        environment: Environment,
        authority: Authority,
        metrics: DomMetrics,
        bounds: RoomBounds,
    ) -> Self {
        let (usage, slots) = (Mutex::default(), Mutex::default());
        let RoomBounds { quotas, cache_bytes } = bounds;
        let hot = HotNodes::new(cache_bytes);
        let shared =
            Arc::new(Shared { store, environment, authority, metrics, quotas, hot, usage, slots });
        tokio::spawn(feed::run(Arc::downgrade(&shared)));
        Self { shared }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// How many branches are open.
    pub fn open_branches(&self) -> usize {
        self.shared.slots.lock().len()
    }

    /// Waits until the views of every open branch are complete, then lets go of
    /// them; for an orderly end.
    pub async fn close(&self) {
        let handles = self.shared.opened();
        for handle in &handles {
            handle.branch.views_complete(handle.branch.head().number).await;
        }
        self.shared.slots.lock().clear();
    }

    /// Compacts the history of every branch as retention says, looking that often.
    pub fn keep_compacted(&self, retention: Retention, every: Duration) {
        tokio::spawn(compaction::run(Arc::downgrade(&self.shared), retention, every));
    }

    fn permit(&self, caller: &Caller, action: Action, address: &BranchAddress) -> Result<Permit> {
        self.shared.authority.authorize(caller, action, &address.realm, Some(&address.repo))
    }

    async fn reader(&self, caller: &Caller, address: &BranchAddress) -> Result<Arc<BranchHandle>> {
        let permit = self.permit(caller, Action::Read, address)?;
        self.shared.existing(&permit, address).await
    }

    /// A branch to read, brought to where `at` wants it.
    async fn reader_at(
        &self,
        caller: &Caller,
        address: &BranchAddress,
        at: &ReadAt,
    ) -> Result<Arc<BranchHandle>> {
        let handle = self.reader(caller, address).await?;
        handle.reach(caller, at).await?;
        Ok(handle)
    }
}

impl Shared {
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

    /// Counts anew what realms hold, where that matters.
    pub(super) async fn count_all_usage(&self) -> Result<()> {
        if self.quotas == Quotas::default() {
            return Ok(());
        }
        let realms: Vec<_> = self.usage.lock().keys().cloned().collect();
        for realm in realms {
            self.count_usage(&realm).await?;
        }
        Ok(())
    }

    async fn count_usage(&self, realm: &RealmName) -> Result<()> {
        let failed = |error| from_store(error, realm);
        let opened = self.opened();
        let filter = LogFilter { realm: realm.to_string(), repo: None, branch: None };
        let mut used = Usage::default();
        let mut logs = self.store.logs(&filter).await.map_err(failed)?.into_iter().peekable();
        while let Some(log) = logs.next() {
            let id = log.log_id();
            if let Some(handle) = opened.iter().find(|handle| handle.branch.log == id) {
                if !handle.branch.head().closed {
                    used += handle.branch.usage_now();
                }
                continue;
            }
            let is_of =
                |next: &LogDescriptor| (&next.repo, &next.branch) == (&log.repo, &log.branch);
            let last = self.store.last(id).await.map_err(failed)?;
            let is_closed = last.is_some_and(|last| last.batch.closing);
            // After a restore, the next log continues one that was closed for that.
            if is_closed && !logs.peek().is_some_and(is_of) {
                continue;
            }
            used += known_usage(&*self.store, realm, id).await?.0;
        }
        self.usage_of(realm).set(used);
        Ok(())
    }

    fn usage_of(&self, realm: &RealmName) -> Arc<RealmUsage> {
        let mut usage = self.usage.lock();
        let of_realm = usage
            .entry(realm.clone())
            .or_insert_with(|| Arc::new(RealmUsage::new(realm.clone(), self.quotas)));
        of_realm.clone()
    }

    /// The branches that have a log.
    pub(super) async fn branches_of_all_realms(&self) -> Result<Vec<BranchAddress>> {
        let failed = |error| from_store(error, "the store");
        let mut branches = Vec::new();
        for realm in self.store.realms().await.map_err(failed)? {
            let filter = LogFilter { realm, repo: None, branch: None };
            for log in self.store.logs(&filter).await.map_err(failed)? {
                if !log.repo.is_empty() {
                    branches.push(BranchAddress::parse(&log.realm, &log.repo, &log.branch)?);
                }
            }
        }
        branches.dedup();
        Ok(branches)
    }

    /// Compacts a branch, where that takes out at least `min_changes`.
    pub(super) async fn compact(
        &self,
        address: &BranchAddress,
        retention: Retention,
        min_changes: u64,
    ) -> Result<Option<CompactionReport>> {
        let handle = self.existing(&Permit::system(Duty::Compact), address).await?;
        compaction::compact(&handle, &self.environment, retention, min_changes).await
    }

    /// Completes the views of a log that may have ended; answers its last revision.
    pub(super) async fn derive_log(
        &self,
        address: &BranchAddress,
        incarnation: u64,
    ) -> Result<u64> {
        let branch = self.load_log(address, incarnation, 1).await?;
        writer::catch_up_first(&branch).await?;
        derive::complete(&branch).await?;
        Ok(branch.head().revision)
    }

    async fn open(
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

    /// The branch as its views know it; the rest of its log is read next.
    async fn load(&self, address: &BranchAddress, create: bool) -> Result<Branch> {
        let (incarnation, epoch_min) = match self.last_log(address).await? {
            Some(last) if !last.closed => (last.incarnation, 1),
            None if create => (1, 1),
            Some(last) if create => (last.incarnation + 1, last.epoch + 1),
            _ => return Err(no_such_branch(address)),
        };
        self.load_log(address, incarnation, epoch_min).await
    }

    /// A log as its views know it; `epoch_min` bounds the epoch of one that does not
    /// exist yet.
    async fn load_log(
        &self,
        address: &BranchAddress,
        incarnation: u64,
        epoch_min: u64,
    ) -> Result<Branch> {
        let failed = |error| from_store(error, address);
        let descriptor = descriptor(address, incarnation);
        let log = descriptor.log_id();
        let watermark = views_to_go_on_from(&*self.store, address, log).await?;
        let compaction = known_compaction(&*self.store, address, log).await?;
        let usage = known_usage(&*self.store, address, log).await?;
        let views = KnownViews { watermark, compaction, usage };
        let first = self.store.read(log, 1, 1).await.map_err(failed)?;
        let origin = match first.first() {
            Some(first) => Box::pin(self.origin(address, &decode_batch(first)?)).await?,
            None => None,
        };
        let head = match watermark.number {
            0 => Head {
                epoch: self.new_epoch(epoch_min),
                revision: 0,
                hash: CHAIN_START,
                number: 0,
                digest: [0; 32],
                closed: false,
            },
            number => self.head_at(address, log, number, watermark).await?,
        };
        let (address, store) = (address.clone(), self.store.clone());
        let usage = self.usage_of(&address.realm);
        Ok(Branch::new(
            address,
            descriptor,
            log,
            store,
            origin,
            head,
            views,
            usage,
            self.hot.branch(),
        ))
    }

    /// What a branch has from another, as its first batch says.
    async fn origin(&self, address: &BranchAddress, first: &BatchRecord) -> Result<Option<Origin>> {
        let origin = first.notes.iter().find_map(|note| match note {
            Note::Origin { branch, incarnation, revision, previous_epoch } => {
                Some((branch, *incarnation, *revision, *previous_epoch))
            }
            _ => None,
        });
        let Some((name, incarnation, revision, previous_epoch)) = origin else { return Ok(None) };
        let name = BranchName::parse(name)?;
        let parent = BranchAddress { branch: name.clone(), ..address.clone() };
        let open = match previous_epoch {
            // The same branch: it is being opened right now.
            Some(_) => None,
            None => self.open(&Permit::system(Duty::Derive), &parent, false).await.ok(),
        };
        let parent = match open {
            Some(handle) if handle.branch.descriptor.incarnation == incarnation => {
                handle.branch.clone()
            }
            // It was deleted since; its log stays.
            _ => {
                let parent = self.load_log(&parent, incarnation, 1).await?;
                writer::catch_up_first(&parent).await?;
                // Nobody else does it for a log that has ended.
                derive::complete(&parent).await?;
                Arc::new(parent)
            }
        };
        Ok(Some(Origin { parent, name, revision, previous_epoch }))
    }

    /// The newest log of a branch.
    pub(super) async fn last_log(&self, address: &BranchAddress) -> Result<Option<LastLog>> {
        let failed = |error| from_store(error, address);
        let filter = LogFilter {
            realm: address.realm.to_string(),
            repo: Some(address.repo.to_string()),
            branch: Some(address.branch.to_string()),
        };
        let last = self.store.logs(&filter).await.map_err(failed)?.into_iter().next_back();
        let Some(LogDescriptor { incarnation, .. }) = last else { return Ok(None) };
        let log = descriptor(address, incarnation).log_id();
        let Some(numbered) = self.store.last(log).await.map_err(failed)? else { return Ok(None) };
        let epoch = decode_batch(&numbered)?.epoch;
        let (closed, operations) = (numbered.batch.closing, numbered.batch.operations);
        Ok(Some(LastLog { incarnation, epoch, closed, operations }))
    }

    /// An epoch for a log that begins now.
    pub(super) fn new_epoch(&self, min: u64) -> u64 {
        u64::try_from(self.environment.now_ms()).unwrap_or(1).max(min)
    }

    async fn head_at(
        &self,
        address: &BranchAddress,
        log: LogId,
        number: u64,
        watermark: Watermark,
    ) -> Result<Head> {
        let batches = self.store.read(log, number, 1).await;
        let batches = batches.map_err(|error| from_store(error, address))?;
        let numbered =
            batches.first().ok_or_else(|| super::branch::broken_chain(address, number))?;
        let record = decode_batch(numbered)?;
        Ok(Head {
            epoch: record.epoch,
            revision: watermark.position.revision,
            hash: record.hash,
            number,
            digest: numbered.batch.digest(),
            closed: numbered.batch.closing,
        })
    }
}

impl BranchHandle {
    /// Proves the head now.
    pub(super) async fn confirm(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Confirm { reply };
        self.writer.send(command).await.map_err(|_| writer_gone())?;
        answer.await.map_err(|_| writer_gone())?
    }

    /// Waits until the branch is as current as `at` asks for, or refuses; never
    /// silently older.
    pub(super) async fn reach(&self, caller: &Caller, at: &ReadAt) -> Result<()> {
        let branch = &self.branch;
        let epoch = branch.head().epoch;
        if branch.head().closed {
            return Err(writer::deleted(branch));
        }
        for (wanted, revision) in [(at.epoch, at.revision), (at.min_epoch, at.min_revision)] {
            // What both epochs have is still true.
            if let Some(wanted) = wanted.filter(|wanted| *wanted != epoch)
                && !branch.shares(wanted, revision.unwrap_or(u64::MAX))
            {
                return Err(epoch_changed(branch, wanted));
            }
        }
        if let Some(revision) = at.revision {
            branch.check_kept(revision)?;
        }
        if let Some(max_age_ms) = at.max_age_ms
            && self.age() > Duration::from_millis(max_age_ms)
        {
            self.confirm().await?;
        }
        let in_at_most = Instant::now() + MIN_REVISION_WAIT_MAX;
        let deadline = caller.deadline.map_or(in_at_most, Instant::from_std);
        if let Some(revision) = at.min_revision {
            self.wait(
                deadline,
                || async { Ok(branch.head().revision >= revision) },
                || format!("revision {revision}"),
            )
            .await?;
        }
        if let Some(operation) = at.after_operation {
            let key = operation_key(&caller.subject, operation);
            let is_known = || operations::is_known(branch, key);
            self.wait(deadline, is_known, || format!("operation {operation}")).await?;
        }
        Ok(())
    }

    /// Since the head was last proven; nothing where nobody else can append.
    pub(super) fn age(&self) -> Duration {
        if self.branch.store.promises().shared {
            self.branch.confirmed_at().elapsed()
        } else {
            Duration::ZERO
        }
    }

    async fn wait<F>(
        &self,
        deadline: Instant,
        mut is_reached: impl FnMut() -> F,
        what: impl Fn() -> String,
    ) -> Result<()>
    where
        F: Future<Output = Result<bool>>,
    {
        let branch = &self.branch;
        let mut head = branch.watch_head();
        loop {
            head.mark_unchanged();
            if is_reached().await? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let head = branch.head();
                return Err(Error::unavailable(format!(
                    "{} is at revision {}: {} is not known here yet; try again",
                    branch.address,
                    head.revision,
                    what()
                ))
                .resource(&branch.address)
                .at(head.epoch, head.revision)
                .retry_after(Duration::from_secs(1)));
            }
            let pause = deadline.saturating_duration_since(Instant::now());
            if branch.store.promises().shared {
                self.confirm().await?;
                // Another gateway's append shows only by asking again.
                let _ = tokio::time::timeout(pause.min(POLL_EVERY), head.changed()).await;
            } else {
                let _ = tokio::time::timeout(pause, head.changed()).await;
            }
        }
    }
}

#[async_trait]
impl Dom for DocumentRoom {
    async fn write_diff(&self, caller: &Caller, request: WriteDiff) -> Result<WriteOutcome> {
        let permit = write_diff::permit(
            &self.shared.authority,
            caller,
            &request.address,
            request.author.as_deref(),
        )?;
        write_diff::write(&self.shared, permit, request).await
    }

    async fn write_content(
        &self,
        caller: &Caller,
        request: WriteDiff,
        content: DomStream<Bytes>,
    ) -> Result<WriteOutcome> {
        let permit = write_diff::permit(
            &self.shared.authority,
            caller,
            &request.address,
            request.author.as_deref(),
        )?;
        write_diff::write_content(&self.shared, permit, request, content).await
    }

    async fn read_snapshot(&self, caller: &Caller, request: ReadSnapshot) -> Result<Snapshot> {
        let handle = self.reader_at(caller, &request.address, &request.at).await?;
        read_snapshot::read(&handle, &request).await
    }

    async fn read_content(
        &self,
        caller: &Caller,
        request: ReadSnapshot,
    ) -> Result<(Snapshot, u64, DomStream<Bytes>)> {
        let handle = self.reader_at(caller, &request.address, &request.at).await?;
        read_snapshot::read_content(handle, &request).await
    }

    async fn read_tree(&self, caller: &Caller, request: ReadTree) -> Result<DomStream<TreeEntry>> {
        let handle = self.reader_at(caller, &request.address, &request.at).await?;
        Ok(read_tree::read(handle, request))
    }

    async fn subscribe(&self, caller: &Caller, request: Subscribe) -> Result<DomStream<Event>> {
        let handle = self.reader(caller, &request.address).await?;
        subscribe::subscribe(&self.shared, handle, caller.clone(), request).await
    }

    async fn history(&self, caller: &Caller, request: GetHistory) -> Result<HistoryPage> {
        let handle = self.reader(caller, &request.address).await?;
        history::list(&handle, &request).await
    }

    async fn list_repos(&self, caller: &Caller, realm: RealmName) -> Result<Vec<RepoSummary>> {
        let _permit = self.shared.authority.authorize(caller, Action::Read, &realm, None)?;
        branches::list_repos(&*self.shared.store, &realm).await
    }

    async fn list_branches(
        &self,
        caller: &Caller,
        realm: RealmName,
        repo: RepoName,
    ) -> Result<Vec<BranchSummary>> {
        let permit = self.shared.authority.authorize(caller, Action::Read, &realm, Some(&repo))?;
        branches::list_branches(&self.shared, &permit, realm, repo).await
    }

    async fn write_diffs(
        &self,
        caller: &Caller,
        request: WriteDiffs,
        parts: DomStream<ChangeSetPart>,
    ) -> Result<SetOutcome> {
        let author = request.author.as_deref();
        let permit = write_diff::permit(&self.shared.authority, caller, &request.address, author)?;
        change_set::write(&self.shared, permit, request, parts).await
    }

    async fn replay_diffs(
        &self,
        caller: &Caller,
        requests: DomStream<WriteDiff>,
    ) -> Result<DomStream<WriteOutcome>> {
        let replay = (self.clone(), caller.clone(), requests);
        let answers = stream::try_unfold(replay, |(room, caller, mut requests)| async move {
            let Some(request) = requests.try_next().await? else { return Ok(None) };
            let answer = room.write_diff(&caller, request).await?;
            Ok(Some((answer, (room, caller, requests))))
        });
        Ok(answers.boxed())
    }

    async fn revert_changes(&self, caller: &Caller, request: RevertChanges) -> Result<SetOutcome> {
        let author = request.author.as_deref();
        let permit = write_diff::permit(&self.shared.authority, caller, &request.address, author)?;
        revert::revert(&self.shared, permit, request).await
    }

    async fn read_snapshots(
        &self,
        caller: &Caller,
        request: ReadSnapshots,
    ) -> Result<DomStream<Snapshot>> {
        let handle = self.reader_at(caller, &request.address, &request.at).await?;
        read_snapshot::read_many(handle, request).await
    }

    async fn create_branch(&self, caller: &Caller, request: CreateBranch) -> Result<BranchSummary> {
        let permit = self.permit(caller, Action::Write, &request.address)?;
        branches::create(&self.shared, &permit, request).await
    }

    async fn delete_branch(&self, caller: &Caller, request: DeleteBranch) -> Result<()> {
        let permit = self.permit(caller, Action::Administer, &request.address)?;
        branches::delete(&self.shared, &permit, request).await
    }

    async fn list_conflicts(
        &self,
        caller: &Caller,
        request: ListConflicts,
    ) -> Result<ConflictPage> {
        let handle = self.reader(caller, &request.address).await?;
        conflicts::list(&handle, &request).await
    }

    async fn resolve_conflict(
        &self,
        caller: &Caller,
        request: ResolveConflict,
    ) -> Result<ResolveOutcome> {
        let permit = self.permit(caller, Action::Write, &request.address)?;
        let handle = self.shared.existing(&permit, &request.address).await?;
        conflicts::resolve(&handle, permit, request).await
    }
}

/// How far the views of a log are complete. Where what follows is compacted, they begin
/// at the base that stands in for it.
async fn views_to_go_on_from(
    store: &dyn Store,
    address: &BranchAddress,
    log: LogId,
) -> Result<Watermark> {
    let failed = |error| from_store(error, address);
    let watermark = store.watermark(log).await.map_err(failed)?;
    let next = store.read(log, watermark.number + 1, 1).await.map_err(failed)?;
    if next.first().is_none_or(|next| next.batch.emptied.is_none()) {
        return Ok(watermark);
    }
    let mut newest = None;
    let mut number = watermark.number + 1;
    loop {
        let page = store.read(log, number, BASE_SEARCH_BYTES).await.map_err(failed)?;
        let Some(last) = page.last() else { break };
        number = last.number + 1;
        for numbered in &page {
            for note in decode_batch(numbered)?.notes {
                if let Note::Base(base) = note {
                    newest = Some(base);
                }
            }
        }
    }
    let base = newest.ok_or_else(|| super::branch::broken_chain(address, number))?;
    base::install_all(store, address, log, &base).await
}

/// How much the views of a log count, and as of when.
async fn known_usage(
    store: &dyn Store,
    resource: &impl std::fmt::Display,
    log: LogId,
) -> Result<(Usage, Position)> {
    let row = store.view(log, ViewKind::Usage, USAGE_ID).await;
    let row = row.map_err(|error| from_store(error, resource))?;
    row.map_or(Ok(Default::default()), |row| Ok((decode_record(&row.value)?, row.position)))
}

/// What the views know of the compaction of a log.
async fn known_compaction(
    store: &dyn Store,
    address: &BranchAddress,
    log: LogId,
) -> Result<Compaction> {
    let failed = |error| from_store(error, address);
    let limit = store.view(log, ViewKind::Compaction, LIMIT_ID).await.map_err(failed)?;
    let base = store.view(log, ViewKind::Compaction, BASE_ID).await.map_err(failed)?;
    let limit: Option<u64> = limit.map(|row| decode_record(&row.value)).transpose()?;
    let base: Option<Base> = base.map(|row| decode_record(&row.value)).transpose()?;
    let of_base = base.as_ref().map_or(0, |base| base.revision);
    Ok(Compaction { limit: limit.unwrap_or(0).max(of_base), base: base.map(Arc::new) })
}

/// The refusal of a resume point or revision of another incarnation.
pub(super) fn epoch_changed(branch: &Branch, wanted: u64) -> Error {
    let head = branch.head();
    Error::new(
        ErrorCode::EpochChanged,
        format!(
            "{} is in epoch {}, not {wanted}: read it anew and go on from there",
            branch.address, head.epoch
        ),
    )
    .resource(&branch.address)
    .at(head.epoch, head.revision)
}

/// What the first batch of a log says it is about.
pub(super) fn descriptor(address: &BranchAddress, incarnation: u64) -> LogDescriptor {
    LogDescriptor {
        realm: address.realm.to_string(),
        repo: address.repo.to_string(),
        branch: address.branch.to_string(),
        incarnation,
    }
}

pub(super) fn no_such_branch(address: &BranchAddress) -> Error {
    Error::not_found(format!(
        "branch `{}` of repo `{}` does not exist in realm `{}`: the first write creates it",
        address.branch, address.repo, address.realm
    ))
    .resource(address)
}
