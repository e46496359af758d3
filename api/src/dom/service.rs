//! The document room as every transport sees it. The gateway answers from its
//! rooms, the sidecar from its cache and its gateway.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use futures::{Stream, StreamExt};
use vdom_core::dom::calls::{
    BranchSummary, ChangeSetPart, ConflictPage, CreateBranch, DeleteBranch, Event, GetHistory,
    HistoryPage, ListConflicts, ReadSnapshot, ReadSnapshots, ReadTree, RepoSummary,
    ResolveConflict, ResolveOutcome, RevertChanges, SetOutcome, Snapshot, Subscribe, TreeEntry,
    WriteDiff, WriteDiffs, WriteOutcome,
};
use vdom_core::dom::change::ChangeRecord;
use vdom_core::{BranchAddress, ChangeSetHeader, Hash, RealmName, RepoName, Result};

use vdom_edge::{Caller, ServiceStream};

/// How many forms of events there are in all.
pub const EVENT_FORMS: usize = 3;
/// Events that are ready together are written together, so many at most.
const EVENTS_PER_PIECE: usize = 256;

/// Writes events as a transport sends them, so that what was written once serves all
/// who watch.
pub trait EventEncoder: Send + Sync + 'static {
    /// Which form this is, below [`EVENT_FORMS`]: encoders of one form write the same.
    fn form(&self) -> usize;

    /// Appends an event.
    fn event(&self, address: &BranchAddress, event: Event, out: &mut Vec<u8>);

    /// Appends the event of a stored change.
    fn stored(&self, address: &BranchAddress, change: &StoredChange<'_>, out: &mut Vec<u8>);
}

/// A change as it is stored, and what a reader sees besides.
#[derive(Clone, Debug)]
pub struct StoredChange<'a> {
    /// The change.
    pub record: ChangeRecord<'a>,
    /// The epoch that it is shown with: of the branch that it is read from.
    pub epoch: u64,
    /// What its change set says of all its changes.
    pub set: Option<&'a Arc<ChangeSetHeader>>,
    /// Its hash in the chain.
    pub hash: Hash,
    /// The diff; `None` where it was not asked for or is above 1 MiB.
    pub diff: Option<Bytes>,
}

/// The calls of the document room. Every one checks the caller's rights itself.
#[async_trait]
pub trait DocumentService: Send + Sync + 'static {
    /// Writes one diff.
    async fn write_diff(&self, caller: &Caller, request: WriteDiff) -> Result<WriteOutcome>;

    /// Writes one `put` whose content, of up to 100 MB, arrives in pieces;
    /// `request.diff` is ignored.
    async fn write_content(
        &self,
        caller: &Caller,
        request: WriteDiff,
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

    /// Watches a branch.
    async fn subscribe(&self, caller: &Caller, request: Subscribe) -> Result<ServiceStream<Event>>;

    /// Watches a branch; each piece is one or more whole events as `encoder` writes them.
    async fn subscribe_encoded(
        &self,
        caller: &Caller,
        request: Subscribe,
        encoder: &'static dyn EventEncoder,
    ) -> Result<ServiceStream<Bytes>> {
        let address = request.address.clone();
        let events = self.subscribe(caller, request).await?;
        Ok(encoded(events, address, encoder).boxed())
    }

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

    /// Creates a branch, empty or from another in the time that an empty one takes.
    async fn create_branch(&self, caller: &Caller, request: CreateBranch) -> Result<BranchSummary>;

    /// Deletes a branch: its log ends, and its name is free.
    async fn delete_branch(&self, caller: &Caller, request: DeleteBranch) -> Result<()>;

    /// Lists the conflicts that were kept and not resolved.
    async fn list_conflicts(&self, caller: &Caller, request: ListConflicts)
    -> Result<ConflictPage>;

    /// Resolves a kept conflict.
    async fn resolve_conflict(
        &self,
        caller: &Caller,
        request: ResolveConflict,
    ) -> Result<ResolveOutcome>;
}

fn encoded(
    events: ServiceStream<Event>,
    address: BranchAddress,
    encoder: &'static dyn EventEncoder,
) -> impl Stream<Item = Result<Bytes>> {
    events.ready_chunks(EVENTS_PER_PIECE).flat_map(move |events| {
        let mut piece = Vec::new();
        let mut refusal = None;
        for event in events {
            match event {
                Ok(event) => encoder.event(&address, event, &mut piece),
                Err(error) => refusal = Some(Err(error)),
            }
        }
        let piece = (!piece.is_empty()).then(|| Ok(piece.into()));
        stream::iter(piece.into_iter().chain(refusal))
    })
}
