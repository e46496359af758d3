//! The document room as every transport sees it. The gateway answers from its
//! rooms, the sidecar from its cache and its gateway.

use async_trait::async_trait;
use bytes::Bytes;
use vdom_core::Result;
use vdom_core::dom::calls::{
    BranchPage, BranchSummary, ChangeSetPart, ConflictExplanation, ConflictPage, CreateBranch,
    DeleteBranch, ExplainConflict, GetHistory, HistoryPage, ListBranches, ListConflicts, ListRepos,
    ReadSnapshot, ReadSnapshots, ReadTree, RepoPage, ResolveConflict, ResolveOutcome,
    RevertChanges, SetOutcome, Snapshot, Subscribe, TreeEntry, WriteContent, WriteDiff, WriteDiffs,
    WriteOutcome,
};
use vdom_core::dom::events::EventSlice;

use vdom_edge::{Caller, ServiceStream};

/// The calls of the document room. Every one checks the caller's rights itself.
#[async_trait]
pub trait DocumentService: Send + Sync + 'static {
    /// Writes one diff. A conflict is an answer, not an error.
    async fn write_diff(&self, caller: &Caller, request: WriteDiff) -> Result<WriteOutcome>;

    /// Writes one `put` whose content, of up to 100 MiB, arrives in pieces.
    async fn write_content(
        &self,
        caller: &Caller,
        request: WriteContent,
        content: ServiceStream<Bytes>,
    ) -> Result<WriteOutcome>;

    /// Writes a change set: all of its diffs or none.
    async fn write_diffs(
        &self,
        caller: &Caller,
        request: WriteDiffs,
        parts: ServiceStream<ChangeSetPart>,
    ) -> Result<SetOutcome>;

    /// Writes diffs in order and answers each; the first that is refused with an
    /// error ends the stream, and what was answered before it is done.
    async fn replay_diffs(
        &self,
        caller: &Caller,
        requests: ServiceStream<WriteDiff>,
    ) -> Result<ServiceStream<WriteOutcome>>;

    /// Writes the inverse of a range of changes.
    async fn revert_changes(&self, caller: &Caller, request: RevertChanges) -> Result<SetOutcome>;

    /// Reads one node with its content at hand; `TooLarge` where that does not
    /// fit a unary answer.
    async fn read_snapshot(&self, caller: &Caller, request: ReadSnapshot) -> Result<Snapshot>;

    /// Reads one node whose content follows in pieces of at most 1 MiB; the
    /// content of the snapshot itself is left empty. The size comes first.
    async fn read_content(
        &self,
        caller: &Caller,
        request: ReadSnapshot,
    ) -> Result<(Snapshot, u64, ServiceStream<Bytes>)>;

    /// Reads many nodes as of one revision, in the order asked for; one that is
    /// not there ends the stream with `NotFound`.
    async fn read_snapshots(
        &self,
        caller: &Caller,
        request: ReadSnapshots,
    ) -> Result<ServiceStream<Snapshot>>;

    /// Reads a subtree as of one revision, in ascending order of paths but for
    /// nodes that moved while it was read.
    async fn read_tree(
        &self,
        caller: &Caller,
        request: ReadTree,
    ) -> Result<ServiceStream<TreeEntry>>;

    /// Watches a branch: every change in order and once, and at least every second how far
    /// that is.
    async fn subscribe(
        &self,
        caller: &Caller,
        request: Subscribe,
    ) -> Result<ServiceStream<EventSlice>>;

    /// Lists the changes of a node or of a branch, newest first.
    async fn history(&self, caller: &Caller, request: GetHistory) -> Result<HistoryPage>;

    /// Lists the repos of a realm by name.
    async fn list_repos(&self, caller: &Caller, request: ListRepos) -> Result<RepoPage>;

    /// Lists the branches of a repo by name.
    async fn list_branches(&self, caller: &Caller, request: ListBranches) -> Result<BranchPage>;

    /// Creates a branch, empty or from another in the time that an empty one takes.
    async fn create_branch(&self, caller: &Caller, request: CreateBranch) -> Result<BranchSummary>;

    /// Deletes a branch: its log ends, and its name is free.
    async fn delete_branch(&self, caller: &Caller, request: DeleteBranch) -> Result<()>;

    /// Lists the conflicts that were kept and not resolved.
    async fn list_conflicts(&self, caller: &Caller, request: ListConflicts)
    -> Result<ConflictPage>;

    /// Says what a kept conflict is about now, and whether it would merge.
    async fn explain_conflict(
        &self,
        caller: &Caller,
        request: ExplainConflict,
    ) -> Result<ConflictExplanation>;

    /// Ends a kept conflict, by a write where its resolution needs one.
    async fn resolve_conflict(
        &self,
        caller: &Caller,
        request: ResolveConflict,
    ) -> Result<ResolveOutcome>;
}
