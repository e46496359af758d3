//! Calls and their answers: whether the world as it is explains an answer, and the world
//! after it.

use vdom_core::dom::calls::{
    BranchSummary, Conflict, ConflictPage, CreateBranch, DeleteBranch, DiffSource, GetHistory,
    HistoryPage, ListConflicts, OnConflict, ReadSnapshot, ReadTree, ResolveConflict,
    ResolveOutcome, RevertChanges, SetOutcome, SetWritten, Snapshot, TreeEntry, WriteDiff,
    WriteDiffs, WriteOutcome, Written,
};
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{BranchAddress, Error, ErrorCode, Result as Answered};
use vdom_dom::CompactionReport;

use super::known::is_known;
use super::sets::{SetVerdict, change_of};
use super::writes::{Stage, Staged, Verdict};
use super::{Kept, Recorded, SetRequest, World};

/// A call of a client to a gateway.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asks.
    pub subject: String,
    /// Whom.
    pub gateway: u8,
    /// For what.
    pub call: Call,
}

/// As in the room's own words.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Clone, Debug)]
pub enum Call {
    Write(Box<WriteDiff>),
    Set(Box<WriteDiffs>, Vec<WriteDiff>),
    Revert(RevertChanges),
    Resolve(ResolveConflict),
    Fork(CreateBranch),
    Delete(DeleteBranch),
    Read(ReadSnapshot),
    Tree(ReadTree),
    History(GetHistory),
    Conflicts(ListConflicts),
    Branches(BranchAddress),
    Compact(BranchAddress, u64),
}

/// What came back.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Clone, Debug)]
pub enum Answer {
    Write(Answered<WriteOutcome>),
    Set(Answered<SetOutcome>),
    Resolve(Answered<ResolveOutcome>),
    Fork(Answered<BranchSummary>),
    Delete(Answered<()>),
    Read(Answered<Snapshot>),
    Tree(Answered<Vec<TreeEntry>>),
    History(Answered<HistoryPage>),
    Conflicts(Answered<ConflictPage>),
    Branches(Answered<Vec<BranchSummary>>),
    Compact(Answered<Option<CompactionReport>>),
}

impl Call {
    /// The branch that it is about.
    pub fn address(&self) -> &BranchAddress {
        match self {
            Self::Write(write) => &write.address,
            Self::Set(set, _) => &set.address,
            Self::Revert(revert) => &revert.address,
            Self::Resolve(resolve) => &resolve.address,
            Self::Fork(fork) => &fork.address,
            Self::Delete(delete) => &delete.address,
            Self::Read(read) => &read.address,
            Self::Tree(tree) => &tree.address,
            Self::History(history) => &history.address,
            Self::Conflicts(list) => &list.address,
            Self::Branches(address) | Self::Compact(address, _) => address,
        }
    }

    /// Whether it changes nodes.
    pub fn is_write(&self) -> bool {
        matches!(self, Self::Write(_) | Self::Set(..) | Self::Revert(_) | Self::Resolve(_))
    }

    /// Whether what it tells must be true when it is asked.
    fn is_confirmed(&self) -> bool {
        match self {
            Self::Read(read) => read.at.max_age_ms == Some(0),
            Self::Tree(tree) => tree.at.max_age_ms == Some(0),
            _ => false,
        }
    }
}

impl Answer {
    /// The refusal, if it is one.
    pub fn error(&self) -> Option<ErrorCode> {
        let error = match self {
            Self::Write(answer) => answer.as_ref().err(),
            Self::Set(answer) => answer.as_ref().err(),
            Self::Resolve(answer) => answer.as_ref().err(),
            Self::Fork(answer) => answer.as_ref().err(),
            Self::Delete(answer) => answer.as_ref().err(),
            Self::Read(answer) => answer.as_ref().err(),
            Self::Tree(answer) => answer.as_ref().err(),
            Self::History(answer) => answer.as_ref().err(),
            Self::Conflicts(answer) => answer.as_ref().err(),
            Self::Branches(answer) => answer.as_ref().err(),
            Self::Compact(answer) => answer.as_ref().err(),
        };
        error.map(|error| error.code)
    }
}

/// Why an answer cannot be.
pub type Explained = Result<(), String>;

impl World {
    /// Takes over what an answer tells, or says why it is wrong.
    pub fn explain(&mut self, asked: &Asked, answer: &Answer) -> Explained {
        let is_compacted = self.logs.iter().any(|log| log.limit > 0);
        if (self.is_flaky || (self.gateways > 1 && is_compacted))
            && answer.error().is_some_and(|code| code == ErrorCode::Unavailable)
        {
            return Ok(());
        }
        // A gateway may take a deleted incarnation for the branch once more.
        if answer.error() == Some(ErrorCode::NotFound)
            && !asked.call.is_confirmed()
            && self.is_behind(asked, &asked.call.address().branch)
        {
            return Ok(());
        }
        match (&asked.call, answer) {
            (Call::Write(write), Answer::Write(answer)) => self.write(asked, write, answer),
            (Call::Set(set, items), Answer::Set(answer)) => self.set(asked, set, items, answer),
            (Call::Revert(revert), Answer::Set(answer)) => self.revert(asked, revert, answer),
            (Call::Resolve(resolve), Answer::Resolve(answer)) => {
                self.resolve(asked, resolve, answer)
            }
            (Call::Fork(fork), Answer::Fork(answer)) => self.fork(asked, fork, answer),
            (Call::Delete(delete), Answer::Delete(answer)) => self.delete(asked, delete, answer),
            (Call::Read(read), Answer::Read(answer)) => self.read(asked, read, answer),
            (Call::Tree(tree), Answer::Tree(answer)) => self.read_tree(asked, tree, answer),
            (Call::History(of), Answer::History(answer)) => self.history(asked, of, answer),
            (Call::Conflicts(of), Answer::Conflicts(answer)) => self.listed(asked, of, answer),
            (Call::Branches(of), Answer::Branches(answer)) => self.branches(of, answer),
            (Call::Compact(of, keep), Answer::Compact(answer)) => self.compact(of, *keep, answer),
            (call, answer) => Err(format!("{answer:?} is no answer to {call:?}")),
        }
    }

    fn write(
        &mut self,
        asked: &Asked,
        write: &WriteDiff,
        answer: &Answered<WriteOutcome>,
    ) -> Explained {
        let name = &write.address.branch;
        let Some(log) = self.open(name) else { return self.first_write(asked, write, answer) };
        if let Some(id) = write.operation_id
            && let Some(first) = self.logs[log].operations.get(&(asked.subject.clone(), id))
        {
            return match first {
                Recorded::Write(request, written) if is_same(request, write) => {
                    let first = Ok(WriteOutcome::Written(written.clone()));
                    equal("the first answer again", &first, answer)
                }
                _ => refused(ErrorCode::FailedPrecondition, answer),
            };
        }
        let is_merge = write.on_conflict == OnConflict::Merge;
        if is_known(112)
            && is_merge
            && self.gateways > 1
            && self.oldest(log) > 0
            && refused(ErrorCode::Compacted, answer).is_ok()
        {
            return Ok(());
        }
        let verdict = Stage::new(self, log).evaluate(&asked.subject, write);
        self.one(asked, log, write, verdict, answer)
    }

    /// Of a branch that does not exist: it comes to be with its first change.
    fn first_write(
        &mut self,
        asked: &Asked,
        write: &WriteDiff,
        answer: &Answered<WriteOutcome>,
    ) -> Explained {
        let name = &write.address.branch;
        let last = self.last_epoch(name);
        let epoch = match answer {
            Ok(WriteOutcome::Written(written)) => written.epoch,
            _ => last + 1,
        };
        expect(epoch > last, || format!("epoch {epoch} after {last}"))?;
        let mut after = self.clone();
        let log = after.begin(name, epoch, None);
        let verdict = Stage::new(&after, log).evaluate(&asked.subject, write);
        after.one(asked, log, write, verdict, answer)?;
        if after.head(log) > 0 {
            *self = after;
        }
        Ok(())
    }

    /// The answer to one diff.
    pub(super) fn one(
        &mut self,
        asked: &Asked,
        log: usize,
        write: &WriteDiff,
        verdict: Verdict,
        answer: &Answered<WriteOutcome>,
    ) -> Explained {
        match (verdict, answer) {
            (Verdict::Either(either), answer) => {
                let [left, right] = *either;
                let mut other = self.clone();
                self.one(asked, log, write, left, answer).or_else(|why| {
                    other
                        .one(asked, log, write, right, answer)
                        .map_err(|also| format!("{why}; or {also}"))?;
                    *self = other;
                    Ok(())
                })
            }
            (Verdict::Written(staged), Ok(WriteOutcome::Written(written))) => {
                self.written(asked, log, write, *staged, written, None)?;
                if let Some(id) = write.operation_id {
                    let recorded = Recorded::Write(write.clone(), written.clone());
                    self.record(asked, log, id, recorded);
                }
                Ok(())
            }
            (Verdict::Same(node), Ok(WriteOutcome::Written(written))) => {
                let expected = Written {
                    node_id: node.id,
                    version: node.version,
                    clock: node.clock.clone(),
                    revision: node.revision,
                    merged: true,
                    operation_id: write.operation_id,
                    ..written.clone()
                };
                equal("as it stands", &expected, written)?;
                if let Some(id) = write.operation_id.filter(|_| !is_known(13)) {
                    let recorded = Recorded::Write(write.clone(), written.clone());
                    self.record(asked, log, id, recorded);
                }
                Ok(())
            }
            (verdict @ Verdict::Conflict(..), Ok(WriteOutcome::Conflicted(conflict))) => {
                self.conflicted(log, &asked.subject, write, &verdict, conflict)
            }
            (Verdict::Refused(code), answer) => refused(code, answer),
            (Verdict::Conflict(..), Err(error))
                if is_known(103)
                    && matches!(
                        error.code,
                        ErrorCode::InvalidArgument | ErrorCode::FailedPrecondition
                    )
                    && self.is_unexplained(log, &asked.subject, write) =>
            {
                Ok(())
            }
            (verdict, answer) => Err(format!("{answer:?} where {verdict:?} was expected")),
        }
    }

    fn conflicted(
        &mut self,
        log: usize,
        subject: &str,
        write: &WriteDiff,
        verdict: &Verdict,
        conflict: &Conflict,
    ) -> Explained {
        self.is_conflict(log, write, verdict, conflict, true)?;
        equal("kept", &write.keep_conflict, &conflict.conflict_id.is_some())?;
        if let Some(id) = conflict.conflict_id {
            let kept = Kept {
                request: write.clone(),
                subject: subject.to_owned(),
                node_id: conflict.node_id,
                open: true,
            };
            // The same write, repeated, is the same conflict.
            self.logs[log].conflicts.entry(id).or_insert(kept);
        }
        Ok(())
    }

    /// Whether a conflict says what stands in the way.
    fn is_conflict(
        &self,
        log: usize,
        write: &WriteDiff,
        verdict: &Verdict,
        conflict: &Conflict,
        explained: bool,
    ) -> Explained {
        let verdict = match verdict {
            Verdict::Either(either) => {
                return self
                    .is_conflict(log, write, &either[0], conflict, explained)
                    .or_else(|_| self.is_conflict(log, write, &either[1], conflict, explained));
            }
            verdict => verdict,
        };
        let Verdict::Conflict(reason, node) = verdict else {
            return Err(format!("{conflict:?} where {verdict:?} was expected"));
        };
        let content = (node.content.len() <= CHUNK_BYTES).then(|| node.content.clone());
        let expected = Conflict {
            reason: *reason,
            node_id: node.id,
            path: node.path.clone(),
            kind: node.kind,
            current_clock: node.clock.clone(),
            current_version: node.version,
            current_content: content,
            epoch: self.logs[log].epoch,
            revision: self.head(log),
            ..conflict.clone()
        };
        equal("conflict", &expected, conflict)?;
        if !explained || self.is_racing {
            return Ok(());
        }
        equal("operation", &write.operation_id, &conflict.operation_id)?;
        let base = Stage::new(self, log).seen(node, &write.clock);
        match (&base, &conflict.base_content) {
            (Some((base, _)), Some(content)) => equal("base", &base.content, content),
            (Some((base, certain)), None) => {
                expect(!certain || base.content.len() > CHUNK_BYTES, || "no base".to_owned())
            }
            (None, None) => Ok(()),
            (None, Some(_)) => Err("a base that is not kept".to_owned()),
        }
    }

    /// Appends an accepted diff as its answer has it.
    fn written(
        &mut self,
        asked: &Asked,
        log: usize,
        write: &WriteDiff,
        staged: Staged,
        written: &Written,
        set: Option<(u32, u32)>,
    ) -> Explained {
        let mut staged = staged;
        let revision = self.head(log) + 1;
        staged.node.revision = revision;
        if staged.is_new && write.node_id.is_none() {
            let is_free = !self.nodes(log, revision).contains_key(&written.node_id);
            expect(is_free, || format!("{} is not new", written.node_id))?;
            staged.node.id = written.node_id;
        }
        staged.node.author = write.author.clone().unwrap_or_else(|| asked.subject.clone());
        let expected = Written {
            node_id: staged.node.id,
            version: staged.node.version,
            clock: staged.node.clock.clone(),
            epoch: self.logs[log].epoch,
            revision,
            merged: staged.merged,
            operation_id: match set {
                None => write.operation_id,
                Some(_) => written.operation_id,
            },
            ..written.clone()
        };
        equal("written", &expected, written)?;
        let mut change = change_of(staged, &asked.subject, write);
        change.set = set;
        self.push(log, change);
        Ok(())
    }

    fn set(
        &mut self,
        asked: &Asked,
        set: &WriteDiffs,
        items: &[WriteDiff],
        answer: &Answered<SetOutcome>,
    ) -> Explained {
        let name = &set.address.branch;
        let request = SetRequest::Diffs(items.to_vec());
        let Some(log) = self.open(name) else {
            let last = self.last_epoch(name);
            let epoch = match answer {
                Ok(SetOutcome::Written(written)) => written.epoch,
                _ => last + 1,
            };
            expect(epoch > last, || format!("epoch {epoch} after {last}"))?;
            let mut after = self.clone();
            let log = after.begin(name, epoch, None);
            let is_refused = matches!(answer, Err(_) | Ok(SetOutcome::Conflicted(_)));
            let expected = set.expected_revision;
            let set = (asked, set.operation_id, request, expected);
            after.several(log, set, items, answer)?;
            if !is_refused {
                *self = after;
            }
            return Ok(());
        };
        let set = (asked, set.operation_id, request, set.expected_revision);
        self.several(log, set, items, answer)
    }

    fn several(
        &mut self,
        log: usize,
        (asked, operation, request, expected_revision): (
            &Asked,
            Option<vdom_core::OperationId>,
            SetRequest,
            Option<u64>,
        ),
        items: &[WriteDiff],
        answer: &Answered<SetOutcome>,
    ) -> Explained {
        if let Some(id) = operation
            && let Some(first) = self.logs[log].operations.get(&(asked.subject.clone(), id))
        {
            return match first {
                Recorded::Set(first, written) if is_same_set(first, &request) => equal(
                    "the first answer again",
                    &Ok(SetOutcome::Written(written.clone())),
                    answer,
                ),
                _ => refused(ErrorCode::FailedPrecondition, answer),
            };
        }
        let head = self.head(log);
        if expected_revision.is_some_and(|expected| expected != head) {
            return refused(ErrorCode::FailedPrecondition, answer);
        }
        let epoch = self.logs[log].epoch;
        match (self.evaluate_set(log, &asked.subject, items), answer) {
            (SetVerdict::Written(verdicts), Ok(SetOutcome::Written(written))) => {
                let size = items.len() as u32;
                equal("results", &items.len(), &written.results.len())?;
                let all = verdicts.into_iter().zip(items).zip(&written.results).enumerate();
                let mut changes = 0;
                for (index, ((verdict, item), result)) in all {
                    let Verdict::Written(staged) = verdict else { continue };
                    let place = (size > 1).then_some((index as u32, size));
                    let item = WriteDiff { operation_id: result.operation_id, ..item.clone() };
                    self.written(asked, log, &item, *staged, result, place)?;
                    changes += 1;
                }
                let is_kept_as_it_was = changes == 0;
                if !is_kept_as_it_was || !is_known(10) {
                    let head = self.head(log);
                    let (first, last) = match written.results.first() {
                        // What stands there already.
                        Some(stands) if is_kept_as_it_was => (stands.revision, stands.revision),
                        _ => (head + 1 - changes, head),
                    };
                    let expected = SetWritten {
                        epoch,
                        first_revision: first,
                        last_revision: last,
                        operation_id: operation,
                        ..written.clone()
                    };
                    equal("set", &expected, written)?;
                }
                if let Some(id) = operation.filter(|_| changes > 0 || !is_known(13)) {
                    self.record(asked, log, id, Recorded::Set(request, written.clone()));
                }
                Ok(())
            }
            (SetVerdict::Conflicted(verdicts), Ok(SetOutcome::Conflicted(conflicts))) => {
                equal("results", &verdicts.len(), &conflicts.results.len())?;
                equal("head", &(epoch, head), &(conflicts.epoch, conflicts.revision))?;
                let all = verdicts.iter().zip(items).zip(&conflicts.results);
                for ((verdict, item), conflict) in all {
                    match (verdict, conflict) {
                        (None, None) => {}
                        (Some(verdict), Some(conflict)) => {
                            self.is_conflict(log, item, verdict, conflict, false)?;
                        }
                        _ => return Err(format!("{conflict:?} where {verdict:?} was expected")),
                    }
                }
                Ok(())
            }
            (SetVerdict::Refused(code), answer) => refused(code, answer),
            // The writer of the scenario avoids it.
            (SetVerdict::Unclear, _) => Err("unclear".to_owned()),
            (verdict, answer) => Err(format!("{answer:?} where {verdict:?} was expected")),
        }
    }

    fn revert(
        &mut self,
        asked: &Asked,
        revert: &RevertChanges,
        answer: &Answered<SetOutcome>,
    ) -> Explained {
        let Some(log) = self.open(&revert.address.branch) else {
            return refused(ErrorCode::NotFound, answer);
        };
        let request =
            SetRequest::Revert(revert.first_revision, revert.last_revision, revert.on_conflict);
        let recorded = revert
            .operation_id
            .is_some_and(|id| self.logs[log].operations.contains_key(&(asked.subject.clone(), id)));
        let items = match self.inverse(log, &asked.subject, revert) {
            Ok(items) => items,
            Err(_) if recorded => Vec::new(),
            Err(code) => return refused(code, answer),
        };
        self.several(log, (asked, revert.operation_id, request, None), &items, answer)
    }

    /// Remembers the first answer under an operation id.
    pub(super) fn record(
        &mut self,
        asked: &Asked,
        log: usize,
        id: vdom_core::OperationId,
        recorded: Recorded,
    ) {
        self.logs[log].operations.insert((asked.subject.clone(), id), recorded);
    }
}

fn is_same(left: &WriteDiff, right: &WriteDiff) -> bool {
    let of = |write: &WriteDiff| (write.node_id, write.path.clone(), write.diff.clone());
    of(left) == of(right) && !matches!(left.diff, DiffSource::Follows)
}

fn is_same_set(left: &SetRequest, right: &SetRequest) -> bool {
    match (left, right) {
        (SetRequest::Diffs(left), SetRequest::Diffs(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (left, right) => left == right,
    }
}

/// The answer must be this refusal.
pub(super) fn refused<T: std::fmt::Debug>(code: ErrorCode, answer: &Answered<T>) -> Explained {
    match answer {
        Err(Error { code: found, .. }) if *found == code => Ok(()),
        answer => Err(format!("{answer:?} where {code:?} was expected")),
    }
}

/// Both must be the same.
pub(super) fn equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &T,
    found: &T,
) -> Explained {
    expect(expected == found, || format!("{what}: {found:?} where {expected:?} was expected"))
}

/// This must hold.
pub fn expect(holds: bool, why: impl FnOnce() -> String) -> Explained {
    if holds { Ok(()) } else { Err(why()) }
}
