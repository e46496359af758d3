//! Branches: created, from another at a revision, deleted, compacted, listed.

use vdom_core::dom::calls::{BranchSummary, CreateBranch, DeleteBranch};
use vdom_core::{BranchAddress, BranchName, ErrorCode, Result as Answered};
use vdom_dom::CompactionReport;

use super::answers::{Asked, Explained, equal, expect, refused};
use super::{Parent, World};

impl World {
    /// Whether a gateway may still take a deleted incarnation for the branch.
    pub(super) fn is_behind(&self, asked: &Asked, name: &BranchName) -> bool {
        let incarnations = self.logs.iter().filter(|log| log.name == *name);
        let newest = self.newest(name);
        let has_heard = newest.is_some_and(|log| {
            !self.logs[log].closed && self.answered.contains_key(&(asked.gateway, log))
        });
        let ended = incarnations.filter(|log| log.closed).count();
        self.gateways > 1 && ended > 0 && !has_heard
    }

    pub(super) fn fork(
        &mut self,
        asked: &Asked,
        fork: &CreateBranch,
        answer: &Answered<BranchSummary>,
    ) -> Explained {
        let name = &fork.address.branch;
        if let Some(log) = self.open(name) {
            let by = fork.operation_id.map(|id| (asked.subject.clone(), id));
            if by.is_some() && by == self.logs[log].created_by {
                // What it is now, as long as it has not changed.
                return match answer {
                    Ok(summary) => equal("epoch", &self.logs[log].epoch, &summary.epoch),
                    Err(_) => Err(format!("{answer:?} where it was created")),
                };
            }
            return refused(ErrorCode::AlreadyExists, answer);
        }
        let parent = match &fork.from {
            None => None,
            Some(from) => match self.leave(asked, fork, from, answer) {
                Ok(parent) => Some(parent),
                Err(code) => return refused(code, answer),
            },
        };
        let Ok(summary) = answer else {
            // What its gateway takes for the newest revision is compacted.
            let is_compacted = parent.is_some_and(|parent| self.oldest(parent.log) > 0);
            if self.gateways > 1
                && fork.at_revision.is_none()
                && is_compacted
                && refused(ErrorCode::Compacted, answer).is_ok()
            {
                return Ok(());
            }
            let is_behind = fork.from.as_ref().is_some_and(|from| self.is_behind(asked, from));
            let not_found = refused(ErrorCode::NotFound, answer);
            return if is_behind { not_found } else { Err(format!("{answer:?}: no branch")) };
        };
        let last = self.last_epoch(name);
        expect(summary.epoch > last, || format!("epoch {} after {last}", summary.epoch))?;
        let log = self.begin(name, summary.epoch, parent);
        self.logs[log].created_by = fork.operation_id.map(|id| (asked.subject.clone(), id));
        self.is_summary(log, summary)
    }

    fn leave(
        &self,
        asked: &Asked,
        fork: &CreateBranch,
        from: &BranchName,
        answer: &Answered<BranchSummary>,
    ) -> Result<Parent, ErrorCode> {
        let log = self.open(from).ok_or(ErrorCode::NotFound)?;
        let head = self.head(log);
        let revision = match (fork.at_revision, answer) {
            (Some(revision), _) => revision,
            // A gateway may not have heard of the newest change.
            (None, Ok(summary)) if self.gateways > 1 => {
                let known = self.answered.get(&(asked.gateway, log)).copied().unwrap_or(0);
                summary.revision.clamp(known, head)
            }
            (None, _) => head,
        };
        if revision > head {
            return Err(ErrorCode::NotFound);
        }
        let oldest = self.oldest(log);
        // Before the first change there is nothing that could be gone.
        // The log that has it may have kept it, where one between them is compacted: a gateway
        // may not have heard of that.
        let owner = self.owner(log, revision);
        let may_stand = self.gateways > 1 && owner != log && revision >= self.logs[owner].limit;
        if (1..oldest).contains(&revision) && !(may_stand && answer.is_ok()) {
            return Err(ErrorCode::Compacted);
        }
        if revision > oldest.max(1) - 1 && !self.is_boundary(log, revision) {
            return Err(ErrorCode::InvalidArgument);
        }
        Ok(Parent { log, revision, restored: false })
    }

    pub(super) fn delete(
        &mut self,
        asked: &Asked,
        delete: &DeleteBranch,
        answer: &Answered<()>,
    ) -> Explained {
        let name = &delete.address.branch;
        let by = delete.operation_id.map(|id| (asked.subject.clone(), id));
        if let Some(log) = self.open(name) {
            equal("deleted", &Ok(()), answer)?;
            self.logs[log].closed = true;
            self.logs[log].deleted_by = by;
            return Ok(());
        }
        let last = self.newest(name);
        let repeated = by.is_some() && last.is_some_and(|log| self.logs[log].deleted_by == by);
        if repeated {
            equal("deleted", &Ok(()), answer)
        } else {
            refused(ErrorCode::NotFound, answer)
        }
    }

    pub(super) fn branches(
        &self,
        of: &BranchAddress,
        answer: &Answered<Vec<BranchSummary>>,
    ) -> Explained {
        if self.logs.is_empty() {
            return refused(ErrorCode::NotFound, answer);
        }
        let summaries = match answer {
            Ok(summaries) => summaries,
            Err(error) => return Err(format!("branches of {}: {error:?}", of.repo)),
        };
        let mut open: Vec<_> = (0..self.logs.len()).filter(|log| !self.logs[*log].closed).collect();
        open.sort_by(|left, right| {
            self.logs[*left].name.as_str().cmp(self.logs[*right].name.as_str())
        });
        if self.gateways > 1 {
            // Each is as its gateway knows it.
            return Ok(());
        }
        equal("branches", &open.len(), &summaries.len())?;
        open.iter().zip(summaries).try_for_each(|(log, summary)| self.is_summary(*log, summary))
    }

    fn is_summary(&self, log: usize, summary: &BranchSummary) -> Explained {
        let of = &self.logs[log];
        let origin = self
            .origin(log)
            // At revision 0 there is nothing to continue.
            .filter(|origin| origin.revision > 0)
            .map(|origin| (self.logs[origin.log].name.clone(), origin.revision));
        let expected = BranchSummary {
            name: of.name.to_string(),
            epoch: of.epoch,
            // Where others write meanwhile, it is of just after.
            revision: if self.is_racing {
                summary.revision.max(self.head(log))
            } else {
                self.head(log)
            },
            origin,
            ..summary.clone()
        };
        equal("branch", &expected, summary)
    }

    pub(super) fn compact(
        &mut self,
        of: &BranchAddress,
        keep: u64,
        answer: &Answered<Option<CompactionReport>>,
    ) -> Explained {
        let report = match answer {
            Ok(report) => *report,
            // It was deleted meanwhile.
            Err(error)
                if error.code == ErrorCode::NotFound && self.newest(&of.branch).is_some() =>
            {
                return Ok(());
            }
            Err(error) => return Err(format!("compaction: {error:?}")),
        };
        let Some(log) = self.open(&of.branch) else {
            let completed = self.gateways > 1 && self.newest(&of.branch).is_some();
            return expect(completed || report.is_none(), || format!("{report:?} of no branch"));
        };
        let before = self.logs[log].limit.max(self.inherited(log));
        // Of two at the same time, each may tell what the other did.
        let keep = self.also_kept.map_or(keep, |also| also.min(keep));
        let max = self.limit_max(log, keep);
        if report.is_some() {
            self.logs[log].is_half_compacted = false;
        }
        let limit = report.map_or(self.logs[log].limit, |report| report.oldest_revision);
        self.limit_is(log, before, max, limit)
    }

    /// Takes over how far a log is compacted, where that may be.
    pub fn limit_is(&mut self, log: usize, before: u64, max: u64, limit: u64) -> Explained {
        if limit <= before {
            return Ok(());
        }
        expect(limit <= max, || format!("compacted to {limit}, at most {max} was allowed"))?;
        expect(self.is_boundary(log, limit), || format!("compacted into a set: {limit}"))?;
        self.logs[log].limit = limit;
        Ok(())
    }
}
