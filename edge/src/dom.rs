//! The document room as every transport sees it. The gateway answers from its
//! rooms, the sidecar from its cache and its gateway.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use vdom_core::calls::{
    BranchSummary, Event, GetHistory, HistoryPage, ReadSnapshot, ReadTree, RepoSummary, Snapshot,
    Subscribe, TreeEntry, WriteDiff, WriteOutcome,
};
use vdom_core::{RealmName, RepoName, Result};

use crate::caller::Caller;

/// Answers that follow one another; an error is the last.
pub type DomStream<T> = BoxStream<'static, Result<T>>;

/// The calls of the document room. Every one checks the caller's rights itself.
#[async_trait]
pub trait Dom: Send + Sync + 'static {
    /// Writes one diff.
    async fn write_diff(&self, caller: &Caller, request: WriteDiff) -> Result<WriteOutcome>;

    /// Writes one `put` whose content, of up to 100 MB, arrives in pieces;
    /// `request.diff` is ignored.
    async fn write_content(
        &self,
        caller: &Caller,
        request: WriteDiff,
        content: DomStream<Bytes>,
    ) -> Result<WriteOutcome>;

    /// Reads one node with its content at hand; `TooLarge` where that does not
    /// fit a unary answer.
    async fn read_snapshot(&self, caller: &Caller, request: ReadSnapshot) -> Result<Snapshot>;

    /// Reads one node whose content follows in pieces of at most 1 MiB; the
    /// content of the snapshot itself is left empty. The size comes first.
    async fn read_content(
        &self,
        caller: &Caller,
        request: ReadSnapshot,
    ) -> Result<(Snapshot, u64, DomStream<Bytes>)>;

    /// Reads a subtree as of one revision, in ascending order of paths but for
    /// nodes that moved while it was read.
    async fn read_tree(&self, caller: &Caller, request: ReadTree) -> Result<DomStream<TreeEntry>>;

    /// Watches a branch.
    async fn subscribe(&self, caller: &Caller, request: Subscribe) -> Result<DomStream<Event>>;

    /// Lists changes, newest first.
    async fn history(&self, caller: &Caller, request: GetHistory) -> Result<HistoryPage>;

    /// Lists the repos of a realm by name.
    async fn list_repos(&self, caller: &Caller, realm: RealmName) -> Result<Vec<RepoSummary>>;

    /// Lists the branches of a repo by name.
    async fn list_branches(
        &self,
        caller: &Caller,
        realm: RealmName,
        repo: RepoName,
    ) -> Result<Vec<BranchSummary>>;
}
