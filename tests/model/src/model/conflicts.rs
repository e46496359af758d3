//! Kept conflicts: listed, and resolved.

use vdom_core::dom::calls::{
    ConflictPage, DiffSource, ListConflicts, OnConflict, Resolution, ResolveConflict,
    ResolveOutcome, WriteDiff, WriteOutcome,
};
use vdom_core::{Diff, ErrorCode, NodeKind, Result as Answered, VectorClock};

use super::answers::{Asked, Explained, equal, refused};
use super::known::is_known;
use super::writes::Stage;
use super::{Kept, Recorded, World};

impl World {
    pub(super) fn resolve(
        &mut self,
        asked: &Asked,
        resolve: &ResolveConflict,
        answer: &Answered<ResolveOutcome>,
    ) -> Explained {
        let name = &resolve.address.branch;
        let not_found = refused(ErrorCode::NotFound, answer);
        let Some(log) = self.open(name) else { return not_found };
        if let Some(id) = resolve.operation_id
            && let Some(first) = self.logs[log].operations.get(&(asked.subject.clone(), id))
        {
            return match first {
                Recorded::Resolve(request, written) if request == resolve => {
                    let first = Ok(ResolveOutcome::Resolved(written.clone()));
                    equal("the first answer again", &first, answer)
                }
                _ => refused(ErrorCode::FailedPrecondition, answer),
            };
        }
        let kept = self.logs[log].conflicts.get(&resolve.id).filter(|kept| kept.open).cloned();
        let Some(kept) = kept else { return not_found };
        if matches!(answer, Err(error) if error.code == ErrorCode::Unavailable) && self.is_flaky {
            return Ok(());
        }
        let written = if resolve.resolution == Resolution::Ours {
            equal("resolved", &Ok(ResolveOutcome::Resolved(None)), answer)?;
            None
        } else {
            let write = match self.resolution(log, &asked.subject, resolve, kept) {
                Ok(write) => write,
                Err(code) => return refused(code, answer),
            };
            let verdict = Stage::new(self, log).evaluate(&asked.subject, &write);
            let as_write = match answer.clone() {
                Ok(ResolveOutcome::Resolved(Some(written))) => Ok(WriteOutcome::Written(written)),
                Ok(ResolveOutcome::Conflicted(conflict)) => Ok(WriteOutcome::Conflicted(conflict)),
                Ok(ResolveOutcome::Resolved(None)) => return Err("nothing written".to_owned()),
                Err(error) => Err(error),
            };
            self.one(asked, log, &write, verdict, &as_write)?;
            match as_write {
                Ok(WriteOutcome::Written(written)) => Some(written),
                _ => return Ok(()),
            }
        };
        if let Some(kept) = self.logs[log].conflicts.get_mut(&resolve.id) {
            kept.open = false;
        }
        if let Some(id) = resolve.operation_id.filter(|_| !is_known(13)) {
            self.record(asked, log, id, Recorded::Resolve(resolve.clone(), written));
        }
        Ok(())
    }

    /// The write that resolves a conflict.
    fn resolution(
        &self,
        log: usize,
        subject: &str,
        resolve: &ResolveConflict,
        kept: Kept,
    ) -> Result<WriteDiff, ErrorCode> {
        let current = self.node(log, kept.node_id, self.head(log)).filter(|node| node.live);
        let seen = match &current {
            Some(node) if resolve.clock.is_empty() => node.clock.clone(),
            Some(_) => resolve.clock.clone(),
            None => VectorClock::default(),
        };
        let (diff, clock, on_conflict) = match &resolve.resolution {
            Resolution::Theirs => (kept.request.diff, seen, OnConflict::Reject),
            Resolution::Merge => (kept.request.diff, kept.request.clock, OnConflict::Merge),
            Resolution::Manual(content) => {
                let kind = current.as_ref().map(|node| node.kind).or(kept.request.kind);
                let put = if kind.is_some_and(NodeKind::is_document) {
                    Diff::put_document(content)
                } else {
                    Diff::put_file(content)
                };
                Diff::parse(&put).map_err(|error| error.code)?;
                (DiffSource::Bson(put), seen, OnConflict::Reject)
            }
            Resolution::Ours => return Err(ErrorCode::Internal),
        };
        Ok(WriteDiff {
            node_id: current.as_ref().map(|node| node.id),
            path: match current {
                Some(_) => None,
                None => kept.request.path.clone(),
            },
            kind: current.map(|node| node.kind).or(kept.request.kind),
            diff,
            clock,
            on_conflict,
            keep_conflict: false,
            actor: Some(subject.to_owned()),
            author: Some(subject.to_owned()),
            // Recorded as a resolution, once that is done.
            operation_id: resolve.operation_id,
            ..kept.request
        })
    }

    pub(super) fn listed(
        &self,
        asked: &Asked,
        list: &ListConflicts,
        answer: &Answered<ConflictPage>,
    ) -> Explained {
        let name = &list.address.branch;
        let page = match (self.open(name), answer) {
            (_, Err(error)) if error.code == ErrorCode::Unavailable && self.is_flaky => {
                return Ok(());
            }
            // One that cannot be explained hides all others.
            (_, Err(error))
                if is_known(103)
                    && matches!(
                        error.code,
                        ErrorCode::DataLoss
                            | ErrorCode::InvalidArgument
                            | ErrorCode::FailedPrecondition
                    ) =>
            {
                return Ok(());
            }
            // A gateway lists what it has heard of.
            _ if self.gateways > 1 => return Ok(()),
            (None, answer) => return refused(ErrorCode::NotFound, answer),
            (Some(_), Ok(page)) => page,
            (Some(_), Err(error)) => return Err(format!("{}: {error:?}", asked.subject)),
        };
        let log = self.open(name).unwrap_or(0);
        let open = self.logs[log].conflicts.iter().filter(|(_, kept)| kept.open);
        let mut expected: Vec<_> = open.map(|(id, kept)| (*id, kept)).collect();
        expected.reverse();
        equal("conflicts", &expected.len(), &page.conflicts.len())?;
        for ((id, kept), stored) in expected.into_iter().zip(&page.conflicts) {
            equal("conflict id", &id, &stored.id)?;
            equal("conflict node", &kept.node_id, &stored.conflict.node_id)?;
            equal("conflict diff", &kept.request.diff, &stored.request.diff)?;
            equal("conflict clock", &kept.request.clock, &stored.request.clock)?;
            equal("conflict subject", &kept.subject, &stored.subject)?;
        }
        Ok(())
    }
}
