//! Change sets, branches and conflicts of the room in memory.

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use vdom_core::dom::calls::{
    BranchSummary, ChangeSetPart, ConflictExplanation, ConflictPage, CreateBranch, DiffSource,
    HistoryPage, ListConflicts, MergePreview, OnConflict, Resolution, ResolveConflict,
    ResolveOutcome, RevertChanges, SetConflicts, SetOutcome, SetWritten, WriteDiff, WriteDiffs,
};
use vdom_core::dom::diff::{Diff, PutContent};
use vdom_core::{
    ChangeSetPosition, ConflictId, Error, ErrorCode, Hash, Node, OperationId, Result, VectorClock,
};

use super::state::State;
use super::{EPOCH, FakeDocumentService, inline, some_diff};
use vdom_edge::Caller;
use vdom_edge::ServiceStream;

/// A diff and its content, which may have followed it.
type Whole = (WriteDiff, Diff);

impl FakeDocumentService {
    pub(super) async fn write_set(
        &self,
        caller: &Caller,
        request: &WriteDiffs,
        mut parts: ServiceStream<ChangeSetPart>,
    ) -> Result<SetOutcome> {
        let mut diffs: Vec<(WriteDiff, BytesMut)> = Vec::new();
        while let Some(part) = parts.next().await {
            match (part?, diffs.last_mut()) {
                (ChangeSetPart::Diff(diff), _) => diffs.push((*diff, BytesMut::new())),
                (ChangeSetPart::Content(piece), Some((_, content))) => {
                    content.extend_from_slice(&piece);
                }
                (ChangeSetPart::Content(_), None) => {
                    return Err(Error::internal("content before any diff"));
                }
            }
        }
        let whole = diffs.into_iter().map(|(diff, content)| {
            let parsed = match &diff.diff {
                DiffSource::Bson(bytes) => Diff::parse(bytes)?,
                DiffSource::Follows => Diff::Put(PutContent::Bytes(content.freeze())),
            };
            Ok((diff, parsed))
        });
        let whole: Vec<Whole> = whole.collect::<Result<_>>()?;
        let state = &mut *self.state.lock();
        if request.expected_revision.is_some_and(|expected| expected != state.head()) {
            let message = "the branch is at another revision";
            return Err(Error::new(ErrorCode::FailedPrecondition, message).at(EPOCH, state.head()));
        }
        state.sets.push(request.clone());
        state.written.extend(whole.iter().map(|(diff, _)| diff.clone()));
        state.write_all(caller, request.operation_id, &whole)
    }
}

impl State {
    fn write_all(
        &mut self,
        caller: &Caller,
        operation_id: Option<OperationId>,
        diffs: &[Whole],
    ) -> Result<SetOutcome> {
        let judged = diffs.iter().map(|(diff, _)| Ok(self.judge(caller, diff)?.map(Box::new)));
        let conflicts: Vec<_> = judged.collect::<Result<_>>()?;
        if conflicts.iter().any(Option::is_some) {
            return Ok(SetOutcome::Conflicted(SetConflicts {
                epoch: EPOCH,
                revision: self.head(),
                operation_id,
                results: conflicts,
            }));
        }
        let first_revision = self.head() + 1;
        let size = diffs.len() as u32;
        let mut results = Vec::new();
        for (index, (diff, parsed)) in (0..).zip(diffs) {
            let id = operation_id.unwrap_or(OperationId([0xee; 16]));
            let position = (size > 1).then_some(ChangeSetPosition { id, index, size });
            results.push(self.apply(caller, diff, parsed, position)?);
        }
        Ok(SetOutcome::Written(SetWritten {
            epoch: EPOCH,
            first_revision,
            last_revision: self.head(),
            ack: vdom_core::dom::calls::AckLevel::Committed,
            timestamp_ms: 1_700_000_000_000,
            operation_id,
            results,
        }))
    }

    pub(super) fn revert(
        &mut self,
        caller: &Caller,
        request: &RevertChanges,
    ) -> Result<SetOutcome> {
        let (first, last) = (request.first_revision, request.last_revision);
        if last > self.head() {
            return Err(Error::not_found("there is no such revision").at(EPOCH, self.head()));
        }
        let range = first as usize - 1..last as usize;
        let undone = range.rev().map(|index| {
            let now = &self.changes[index].change.path;
            let (diff, parsed) = match &self.before[index] {
                Some(before) if before.path == *now => put(before),
                Some(before) => {
                    let bytes = Diff::rename(&before.path, None);
                    let parsed = Diff::parse(&bytes);
                    (bytes, parsed)
                }
                None => (Diff::delete(), Ok(Diff::Delete)),
            };
            let request = WriteDiff {
                path: Some(now.clone()),
                diff: DiffSource::Bson(diff),
                on_conflict: OnConflict::Overwrite,
                author: request.author.clone(),
                message: request.message.clone(),
                ..some_diff()
            };
            Ok((request, parsed?))
        });
        let undone: Vec<Whole> = undone.collect::<Result<_>>()?;
        self.write_all(caller, request.operation_id, &undone)
    }

    pub(super) fn all_branches(&self) -> Vec<BranchSummary> {
        let main = BranchSummary {
            name: "main".to_owned(),
            epoch: EPOCH,
            revision: self.head(),
            head_hash: Hash([1; 32]),
            origin: None,
        };
        let mut all: Vec<_> = self.branches.values().cloned().chain([main]).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    pub(super) fn create_branch(&mut self, request: CreateBranch) -> Result<BranchSummary> {
        let known = self.all_branches();
        let name = request.address.branch.to_string();
        if known.iter().any(|branch| branch.name == name) {
            let message = "the branch exists";
            return Err(Error::new(ErrorCode::AlreadyExists, message).resource(&request.address));
        }
        let origin = match request.from {
            None => None,
            Some(from) => {
                let other = known.iter().find(|branch| branch.name == from.as_str());
                let head = other.ok_or_else(|| Error::not_found("there is no such branch"))?;
                let revision = request.at_revision.unwrap_or(head.revision);
                if revision > head.revision {
                    return Err(Error::not_found("there is no such revision"));
                }
                Some((from, revision))
            }
        };
        let branch = BranchSummary {
            name: name.clone(),
            epoch: EPOCH,
            revision: origin.as_ref().map_or(0, |(_, revision)| *revision),
            head_hash: Hash([2; 32]),
            origin,
        };
        self.branches.insert(name, branch.clone());
        Ok(branch)
    }

    pub(super) fn list_conflicts(&self, request: &ListConflicts) -> ConflictPage {
        let covers = |path: &vdom_core::NodePath| {
            request.paths.is_empty() || request.paths.iter().any(|it| path.is_covered_by(it))
        };
        let wanted = self.conflicts.iter().filter(|stored| {
            covers(&stored.conflict.path) && request.after.is_none_or(|after| stored.id > after)
        });
        let conflicts: Vec<_> = wanted.clone().take(request.limit as usize).cloned().collect();
        ConflictPage { more: wanted.count() > conflicts.len(), conflicts }
    }

    /// Every change counts as one that the writer had not seen, and nothing merges.
    pub(super) fn explain(&self, id: ConflictId) -> Result<ConflictExplanation> {
        let stored = self.conflicts.iter().find(|stored| stored.id == id);
        Ok(ConflictExplanation {
            stored: stored.ok_or_else(|| Error::not_found("there is no such conflict"))?.clone(),
            unseen: HistoryPage {
                changes: self.changes.iter().rev().cloned().collect(),
                next_before_revision: None,
                epoch: EPOCH,
                revision: self.changes.len() as u64,
            },
            merge: MergePreview::Conflicting(super::some_conflict().hunks),
        })
    }

    pub(super) fn resolve(
        &mut self,
        caller: &Caller,
        request: &ResolveConflict,
    ) -> Result<ResolveOutcome> {
        let place = self.conflicts.iter().position(|stored| stored.id == request.id);
        let place = place.ok_or_else(|| Error::not_found("there is no such conflict"))?;
        let refused = self.conflicts[place].request.clone();
        let path = self.path_of(&refused)?;
        let stands = self.nodes.get(&path).map(|node| node.clock.clone()).unwrap_or_default();
        if !request.clock.is_empty() && request.clock != stands {
            return Ok(ResolveOutcome::Conflicted(Box::new(
                self.conflicts[place].conflict.clone(),
            )));
        }
        let diff = match &request.resolution {
            Resolution::Ours => None,
            Resolution::Theirs | Resolution::Merge => match &refused.diff {
                DiffSource::Bson(bytes) => Some(Diff::parse(bytes)?),
                DiffSource::Follows => return Err(Error::internal("content in a test")),
            },
            Resolution::Manual(content) => Some(Diff::Put(PutContent::Bytes(content.clone()))),
        };
        let resolving = WriteDiff {
            on_conflict: OnConflict::Overwrite,
            message: request.message.clone(),
            operation_id: request.operation_id,
            clock: VectorClock::default(),
            ..refused
        };
        let written = diff.map(|diff| self.apply(caller, &resolving, &diff, None)).transpose()?;
        self.conflicts.remove(place);
        Ok(ResolveOutcome::Resolved(written))
    }
}

fn put(node: &Node) -> (Bytes, Result<Diff>) {
    let content = inline(node);
    (Diff::put_file(&content), Ok(Diff::Put(PutContent::Bytes(content))))
}
