//! The service: who may ask what of the document room, and which verb answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use vdom_api::dom::DocumentService;
use vdom_core::dom::calls::{
    BranchPage, BranchSummary, ChangeSetPart, ConflictExplanation, ConflictPage, CreateBranch,
    DeleteBranch, ExplainConflict, GetHistory, HistoryPage, ListBranches, ListConflicts, ListRepos,
    ReadAt, ReadSnapshot, ReadSnapshots, ReadTree, RepoPage, ResolveConflict, ResolveOutcome,
    RevertChanges, SetOutcome, Snapshot, Subscribe, TreeEntry, WriteContent, WriteDiff, WriteDiffs,
    WriteOutcome,
};
use vdom_core::dom::events::EventSlice;
use vdom_core::{BranchAddress, Result};
use vdom_edge::{Caller, Environment, ServiceStream};
use vdom_security::{Action, Authority, GuardedStore, Permit, SystemPermits};

use crate::collection;
use crate::compaction;
use crate::compaction::{CompactionReport, Retention};
use crate::metrics::DomMetrics;
use crate::registry::{BranchRegistry, RoomBounds, remote_feed, usage_count};
use crate::verbs::{
    branches, change_set, conflicts, explain_conflict, history, list, read_snapshot, read_tree,
    revert, subscribe, write_diff,
};
use crate::writer::BranchHandle;

/// How long an orderly end waits for views.
const CLOSE_MAX: Duration = Duration::from_secs(30);

/// Documents, and all that is asked of them. Cheap to clone.
#[derive(Clone)]
pub struct DocumentRoom {
    pub(crate) registry: Arc<BranchRegistry>,
}

impl DocumentRoom {
    /// A document room over a store. Call it within a runtime: it follows what other
    /// gateways append.
    pub fn new(
        store: GuardedStore,
        environment: Environment,
        authority: Authority,
        permits: Arc<SystemPermits>,
        metrics: DomMetrics,
        bounds: RoomBounds,
    ) -> Self {
        let registry =
            Arc::new(BranchRegistry::new(store, environment, authority, permits, metrics, bounds));
        tokio::spawn(remote_feed::run(Arc::downgrade(&registry)));
        if registry.has_quotas() {
            tokio::spawn(usage_count::run(Arc::downgrade(&registry)));
        }
        Self { registry }
    }

    /// How many branches are open.
    pub fn open_branches(&self) -> usize {
        self.registry.opened().len()
    }

    /// Waits until the views of every open branch are complete, for at most 30 s, then closes
    /// them; for an orderly end. The next start completes those that are not.
    pub async fn close(&self) {
        let handles = self.registry.opened();
        let complete = async {
            for handle in &handles {
                handle.branch.views_complete(handle.branch.head().number).await;
            }
        };
        if tokio::time::timeout(CLOSE_MAX, complete).await.is_err() {
            tracing::warn!("views are not complete: the next start goes on with them");
        }
        if tokio::time::timeout(CLOSE_MAX, self.registry.uploads.settled()).await.is_err() {
            tracing::warn!("not all chunks of ended uploads are discarded: they are collected");
        }
        self.registry.close_all();
    }

    /// Compacts the history of every branch as retention says, looking that often.
    pub fn keep_compacted(&self, retention: Retention, every: Duration) {
        tokio::spawn(compaction::run(Arc::downgrade(&self.registry), retention, every));
    }

    /// Deletes chunks that nothing names any more, looking about that often.
    pub fn keep_collected(&self, every: Duration) {
        tokio::spawn(collection::run(Arc::downgrade(&self.registry), every));
    }

    /// Compacts one branch now, as far as retention and those who continue it allow; `None`
    /// where there is nothing to take out. Who tests or operates a room decides when.
    ///
    /// # Errors
    /// Where the branch is damaged, or its log cannot be read or written.
    pub async fn compact(
        &self,
        address: &BranchAddress,
        retention: Retention,
    ) -> Result<Option<CompactionReport>> {
        self.registry.compact(address, retention, 1).await
    }

    fn permit(&self, caller: &Caller, action: Action, address: &BranchAddress) -> Result<Permit> {
        self.registry.authority.authorize(caller, action, &address.realm, Some(&address.repo))
    }

    async fn reader(&self, caller: &Caller, address: &BranchAddress) -> Result<Arc<BranchHandle>> {
        let permit = self.permit(caller, Action::Read, address)?;
        self.registry.existing(&permit, address).await
    }

    /// A branch to read, brought to where `at` wants it.
    async fn reader_at(
        &self,
        caller: &Caller,
        address: &BranchAddress,
        at: &ReadAt,
    ) -> Result<Arc<BranchHandle>> {
        let handle = self.reader(caller, address).await?;
        match handle.await_consistency(caller, at).await {
            Err(error) if handle.has_ended(&error) => {
                let handle = self.reader(caller, address).await?;
                handle.await_consistency(caller, at).await?;
                Ok(handle)
            }
            consistent => consistent.map(|()| handle),
        }
    }
}

#[async_trait]
impl DocumentService for DocumentRoom {
    async fn write_diff(&self, caller: &Caller, request: WriteDiff) -> Result<WriteOutcome> {
        let permit = write_diff::permit(
            &self.registry.authority,
            caller,
            &request.address,
            request.author.as_deref(),
        )?;
        write_diff::write(&self.registry, permit, request).await
    }

    async fn write_content(
        &self,
        caller: &Caller,
        request: WriteContent,
        content: ServiceStream<Bytes>,
    ) -> Result<WriteOutcome> {
        let permit = write_diff::permit(
            &self.registry.authority,
            caller,
            &request.address,
            request.author.as_deref(),
        )?;
        write_diff::write_content(&self.registry, permit, request, content).await
    }

    async fn read_snapshot(&self, caller: &Caller, request: ReadSnapshot) -> Result<Snapshot> {
        let handle = self.reader_at(caller, &request.address, &request.at).await?;
        read_snapshot::read(&handle, &request).await
    }

    async fn read_content(
        &self,
        caller: &Caller,
        request: ReadSnapshot,
    ) -> Result<(Snapshot, u64, ServiceStream<Bytes>)> {
        let handle = self.reader_at(caller, &request.address, &request.at).await?;
        read_snapshot::read_content(handle, &request).await
    }

    async fn read_tree(
        &self,
        caller: &Caller,
        request: ReadTree,
    ) -> Result<ServiceStream<TreeEntry>> {
        let handle = self.reader_at(caller, &request.address, &request.at).await?;
        Ok(read_tree::read(handle, request))
    }

    async fn subscribe(
        &self,
        caller: &Caller,
        request: Subscribe,
    ) -> Result<ServiceStream<EventSlice>> {
        let handle = self.reader(caller, &request.address).await?;
        let ended = handle.clone();
        let watch =
            subscribe::subscribe(&self.registry, handle, caller.clone(), request.clone()).await;
        match watch {
            Err(error) if ended.has_ended(&error) => {
                let handle = self.reader(caller, &request.address).await?;
                subscribe::subscribe(&self.registry, handle, caller.clone(), request).await
            }
            watch => watch,
        }
    }

    async fn history(&self, caller: &Caller, request: GetHistory) -> Result<HistoryPage> {
        let handle = self.reader(caller, &request.address).await?;
        history::list(&handle, &request).await
    }

    async fn list_repos(&self, caller: &Caller, request: ListRepos) -> Result<RepoPage> {
        let permit =
            self.registry.authority.authorize(caller, Action::Read, &request.realm, None)?;
        list::list_repos(self.registry.store.with(&permit), &request).await
    }

    async fn list_branches(&self, caller: &Caller, request: ListBranches) -> Result<BranchPage> {
        let authority = &self.registry.authority;
        let permit =
            authority.authorize(caller, Action::Read, &request.realm, Some(&request.repo))?;
        list::list_branches(&self.registry, &permit, &request).await
    }

    async fn write_diffs(
        &self,
        caller: &Caller,
        request: WriteDiffs,
        parts: ServiceStream<ChangeSetPart>,
    ) -> Result<SetOutcome> {
        let author = request.author.as_deref();
        let permit =
            write_diff::permit(&self.registry.authority, caller, &request.address, author)?;
        change_set::write(&self.registry, permit, request, parts).await
    }

    async fn replay_diffs(
        &self,
        caller: &Caller,
        requests: ServiceStream<WriteDiff>,
    ) -> Result<ServiceStream<WriteOutcome>> {
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
        let permit =
            write_diff::permit(&self.registry.authority, caller, &request.address, author)?;
        revert::revert(&self.registry, permit, request).await
    }

    async fn read_snapshots(
        &self,
        caller: &Caller,
        request: ReadSnapshots,
    ) -> Result<ServiceStream<Snapshot>> {
        let handle = self.reader_at(caller, &request.address, &request.at).await?;
        read_snapshot::read_many(handle, request).await
    }

    async fn create_branch(&self, caller: &Caller, request: CreateBranch) -> Result<BranchSummary> {
        let permit = self.permit(caller, Action::Write, &request.address)?;
        branches::create(&self.registry, &permit, request).await
    }

    async fn delete_branch(&self, caller: &Caller, request: DeleteBranch) -> Result<()> {
        let permit = self.permit(caller, Action::Administer, &request.address)?;
        branches::delete(&self.registry, &permit, request).await
    }

    async fn list_conflicts(
        &self,
        caller: &Caller,
        request: ListConflicts,
    ) -> Result<ConflictPage> {
        let handle = self.reader(caller, &request.address).await?;
        conflicts::list(&handle, &request).await
    }

    async fn explain_conflict(
        &self,
        caller: &Caller,
        request: ExplainConflict,
    ) -> Result<ConflictExplanation> {
        let handle = self.reader(caller, &request.address).await?;
        explain_conflict::explain(&handle, &request).await
    }

    async fn resolve_conflict(
        &self,
        caller: &Caller,
        request: ResolveConflict,
    ) -> Result<ResolveOutcome> {
        let permit = self.permit(caller, Action::Write, &request.address)?;
        conflicts::resolve(&self.registry, permit, request).await
    }
}
