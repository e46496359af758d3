//! The document room as the sidecar has it: from memory where that is true, else
//! from the gateway.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::runtime::Handle;
use vdom_api::dom::{DocumentService, in_batches};
use vdom_core::dom::calls::{
    BranchPage, BranchSummary, ChangeSetPart, ConflictExplanation, ConflictPage, CreateBranch,
    DeleteBranch, ExplainConflict, GetHistory, HistoryPage, ListBranches, ListConflicts, ListRepos,
    ReadSnapshot, ReadSnapshots, ReadTree, RepoPage, ResolveConflict, ResolveOutcome,
    RevertChanges, SetOutcome, Snapshot, Subscribe, TreeEntry, WriteContent, WriteDiff, WriteDiffs,
    WriteOutcome,
};
use vdom_core::dom::events::EventSlice;
use vdom_core::{BranchAddress, Result};
use vdom_edge::{Caller, ServiceStream};

use crate::branch::Branch;
use crate::branches::{BranchSettings, Branches};
use crate::cache::NodeCache;
use crate::follow::{Ended, follow};
use crate::upstream::{OnBehalfOf, Upstream};
use crate::{authorize, local_watch};
use vdom_edge::Environment;

mod reads;
mod sets;
mod writes;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sidecar {
    inner: Arc<Inner>,
}

struct Inner {
    upstream: Upstream,
    branches: Arc<Branches>,
    cache: NodeCache,
    environment: Environment,
    idle_after: Duration,
    /// Where loads and followers live, whoever asked for them.
    runtime: Handle,
}

/// How the sidecar keeps nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SidecarSettings {
    pub(crate) cache_max_bytes: u64,
    /// The branches that are followed.
    pub(crate) branches: BranchSettings,
    /// How long a branch is followed that nobody reads.
    pub(crate) idle_after: Duration,
}

impl Sidecar {
    /// A sidecar before this gateway. Followers and loads run on `runtime`.
    pub(crate) fn new(
        upstream: Upstream,
        environment: Environment,
        settings: &SidecarSettings,
        runtime: Handle,
    ) -> Self {
        let cache = NodeCache::new(settings.cache_max_bytes);
        let branches =
            Arc::new(Branches::new(cache.clone(), environment.clone(), settings.branches));
        let idle_after = settings.idle_after;
        let inner = Inner { upstream, branches, cache, environment, idle_after, runtime };
        Self { inner: Arc::new(inner) }
    }

    /// The branches that are followed.
    pub(crate) fn branches(&self) -> &Arc<Branches> {
        &self.inner.branches
    }

    pub(crate) fn cache(&self) -> &NodeCache {
        &self.inner.cache
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        &self.inner.upstream
    }

    pub(crate) fn stop(&self) {
        for branch in self.inner.branches.all() {
            branch.end();
        }
    }

    /// Ends what is known of a branch that is another one from now on.
    fn forget(&self, address: &BranchAddress) {
        if let Some(branch) = self.branches().get(address) {
            branch.end();
        }
    }

    /// Follows a branch from where its first answer was as of.
    fn follow(&self, branch: &Arc<Branch>) {
        let (branch, branches) = (Arc::clone(branch), Arc::clone(&self.inner.branches));
        let upstream = self.inner.upstream.clone();
        let environment = self.inner.environment.clone();
        let idle_after = self.inner.idle_after;
        self.inner.runtime.spawn(async move {
            let address = branch.address.clone();
            tracing::debug!(branch = %address, "following");
            match follow(Arc::clone(&branch), upstream, environment, idle_after).await {
                Ended::Denied(error) => {
                    tracing::warn!(branch = %address, "may no longer be read: {error}");
                    branches.deny(&branch);
                }
                Ended::Resync(error) => {
                    tracing::warn!(branch = %address, "to be read anew: {error}");
                    branch.end();
                }
                Ended::Idle | Ended::Over => {
                    tracing::debug!(branch = %address, "no longer followed");
                    branch.end();
                }
            }
        });
    }
}

#[async_trait]
impl DocumentService for Sidecar {
    async fn write_diff(&self, caller: &Caller, request: WriteDiff) -> Result<WriteOutcome> {
        self.forward_write(caller, request).await
    }

    async fn write_content(
        &self,
        caller: &Caller,
        request: WriteContent,
        content: ServiceStream<Bytes>,
    ) -> Result<WriteOutcome> {
        self.forward_content(caller, request, content).await
    }

    async fn read_snapshot(&self, caller: &Caller, request: ReadSnapshot) -> Result<Snapshot> {
        match self.read_cached(caller, &request).await? {
            Some(snapshot) => Ok(snapshot),
            None => self.upstream().read_snapshot(OnBehalfOf::Caller(caller), &request).await,
        }
    }

    async fn read_content(
        &self,
        caller: &Caller,
        request: ReadSnapshot,
    ) -> Result<(Snapshot, u64, ServiceStream<Bytes>)> {
        self.read_in_pieces(caller, request).await
    }

    async fn read_tree(
        &self,
        caller: &Caller,
        request: ReadTree,
    ) -> Result<ServiceStream<TreeEntry>> {
        self.upstream().read_tree(OnBehalfOf::Caller(caller), &request).await
    }

    async fn subscribe(
        &self,
        caller: &Caller,
        request: Subscribe,
    ) -> Result<ServiceStream<EventSlice>> {
        if let Some(branch) = self.branches().get(&request.address) {
            authorize::may_read(caller, &request.address.realm)?;
            if let Some(events) = local_watch::watch(branch, &request) {
                return Ok(in_batches(events, request.address));
            }
        }
        let events = self.upstream().subscribe(OnBehalfOf::Caller(caller), &request).await?;
        Ok(in_batches(events, request.address))
    }

    async fn history(&self, caller: &Caller, request: GetHistory) -> Result<HistoryPage> {
        self.upstream().history(OnBehalfOf::Caller(caller), &request).await
    }

    async fn list_repos(&self, caller: &Caller, request: ListRepos) -> Result<RepoPage> {
        self.upstream().list_repos(OnBehalfOf::Caller(caller), &request).await
    }

    async fn list_branches(&self, caller: &Caller, request: ListBranches) -> Result<BranchPage> {
        self.upstream().list_branches(OnBehalfOf::Caller(caller), &request).await
    }

    async fn write_diffs(
        &self,
        caller: &Caller,
        request: WriteDiffs,
        parts: ServiceStream<ChangeSetPart>,
    ) -> Result<SetOutcome> {
        self.forward_set(caller, request, parts).await
    }

    async fn replay_diffs(
        &self,
        caller: &Caller,
        requests: ServiceStream<WriteDiff>,
    ) -> Result<ServiceStream<WriteOutcome>> {
        self.forward_replay(caller, requests).await
    }

    async fn revert_changes(&self, caller: &Caller, request: RevertChanges) -> Result<SetOutcome> {
        self.forward_revert(caller, request).await
    }

    async fn read_snapshots(
        &self,
        caller: &Caller,
        request: ReadSnapshots,
    ) -> Result<ServiceStream<Snapshot>> {
        self.upstream().read_snapshots(OnBehalfOf::Caller(caller), &request).await
    }

    async fn create_branch(&self, caller: &Caller, request: CreateBranch) -> Result<BranchSummary> {
        let created = self.upstream().create_branch(OnBehalfOf::Caller(caller), &request).await?;
        self.forget(&request.address);
        Ok(created)
    }

    async fn delete_branch(&self, caller: &Caller, request: DeleteBranch) -> Result<()> {
        self.upstream().delete_branch(OnBehalfOf::Caller(caller), &request).await?;
        self.forget(&request.address);
        Ok(())
    }

    async fn list_conflicts(
        &self,
        caller: &Caller,
        request: ListConflicts,
    ) -> Result<ConflictPage> {
        self.upstream().list_conflicts(OnBehalfOf::Caller(caller), &request).await
    }

    async fn explain_conflict(
        &self,
        caller: &Caller,
        request: ExplainConflict,
    ) -> Result<ConflictExplanation> {
        self.upstream().explain_conflict(OnBehalfOf::Caller(caller), &request).await
    }

    async fn resolve_conflict(
        &self,
        caller: &Caller,
        request: ResolveConflict,
    ) -> Result<ResolveOutcome> {
        self.forward_resolution(caller, request).await
    }
}

#[cfg(test)]
mod tests;
