//! Calls and their answers: whether the world as it is explains an answer, and the world
//! after it.

use vdom_core::dom::calls::{
    BranchSummary, ConflictPage, CreateBranch, DeleteBranch, DiffSource, GetHistory, HistoryPage,
    ListConflicts, ReadSnapshot, ReadTree, ResolveConflict, ResolveOutcome, RevertChanges,
    SetOutcome, Snapshot, TreeEntry, WriteDiff, WriteDiffs, WriteOutcome, Written,
};
use vdom_core::{BranchAddress, Error, ErrorCode, Result as Answered};
use vdom_dom::CompactionReport;

use super::sets::change_of;
use super::writes::{Stage, Staged, Verdict};
use super::{Recorded, World};

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
            && !asked.call.is_write()
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
                if let Some(id) = write.operation_id {
                    let recorded = Recorded::Write(write.clone(), written.clone());
                    self.record(asked, log, id, recorded);
                }
                Ok(())
            }
            (verdict @ Verdict::Conflict(..), Ok(WriteOutcome::Conflicted(conflict))) => {
                self.conflicted(log, &asked.subject, write, &verdict, conflict)
            }
            (Verdict::Refused(code), answer) => refused(code, answer),
            (verdict, answer) => Err(format!("{answer:?} where {verdict:?} was expected")),
        }
    }

    /// Appends an accepted diff as its answer has it.
    pub(super) fn written(
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

/// Whether two diffs under one operation id are one.
pub(super) fn is_same(left: &WriteDiff, right: &WriteDiff) -> bool {
    let of = |write: &WriteDiff| (write.node_id, write.path.clone(), write.diff.clone());
    of(left) == of(right) && !matches!(left.diff, DiffSource::Follows)
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
