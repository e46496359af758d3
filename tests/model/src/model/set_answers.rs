//! Answers to sets and to reverts, which are sets that the room makes.

use vdom_core::dom::calls::{RevertChanges, SetOutcome, SetWritten, WriteDiff, WriteDiffs};
use vdom_core::{ErrorCode, Result as Answered};

use super::answers::{Asked, Explained, equal, expect, is_same, refused};
use super::sets::{SetVerdict, parsed};
use super::writes::{Verdict, is_large};
use super::{Recorded, SetRequest, World};

impl World {
    pub(super) fn set(
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
                let head = self.head(log);
                let (epoch, first, last) = match written.results.first() {
                    // What stands there already, perhaps in what the branch continues.
                    Some(stands) if is_kept_as_it_was => {
                        (stands.epoch, stands.revision, stands.revision)
                    }
                    _ => (epoch, head + 1 - changes, head),
                };
                let expected = SetWritten {
                    epoch,
                    first_revision: first,
                    last_revision: last,
                    operation_id: operation,
                    ..written.clone()
                };
                equal("set", &expected, written)?;
                if let Some(id) = operation {
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
            // What no quota has room for is refused before a large content is stored, whatever
            // else would have been said of the set.
            (SetVerdict::Refused(_) | SetVerdict::Conflicted(_), Err(error))
                if error.code == ErrorCode::Exhausted
                    && self.quota_nodes.is_some()
                    && items.iter().filter_map(parsed).any(|diff| is_large(&diff)) =>
            {
                Ok(())
            }
            (SetVerdict::Refused(code), answer) => refused(code, answer),
            // The writer of the scenario avoids it.
            (SetVerdict::Unclear, _) => Err("unclear".to_owned()),
            (verdict, answer) => Err(format!("{answer:?} where {verdict:?} was expected")),
        }
    }

    pub(super) fn revert(
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
        let (first, last) = (revert.first_revision, revert.last_revision);
        if !recorded && !self.keeps(log, first, last) {
            // A gateway may not have heard how far what the branch continues is compacted.
            let may_be_behind = self.gateways > 1 && self.owner(log, first) != log;
            let is_refused = refused(ErrorCode::Compacted, answer);
            if is_refused.is_ok() || !may_be_behind {
                return is_refused;
            }
        }
        let items = match self.inverse(log, &asked.subject, revert) {
            Ok(items) => items,
            Err(_) if recorded => Vec::new(),
            Err(code) => return refused(code, answer),
        };
        self.several(log, (asked, revert.operation_id, request, None), &items, answer)
    }
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
