//! Kept conflicts: listed, and resolved.

use bytes::Bytes;
use vdom_core::dom::calls::{
    ConflictPage, ConflictReason, DiffSource, ListConflicts, OnConflict, Resolution,
    ResolveConflict, ResolveOutcome, WriteDiff, WriteOutcome, Written,
};
use vdom_core::dom::diff;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{Diff, ErrorCode, NodeKind, NodePath, Result as Answered, VectorClock};

use super::answers::{Asked, Explained, equal, refused};
use super::writes::{Stage, content_of};
use super::{Kept, Recorded, State, World};

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
        // The node was deleted by another call, after this one had looked at it.
        if self.is_racing
            && let Ok(ResolveOutcome::Conflicted(conflict)) = answer
            && conflict.reason == ConflictReason::Deleted
            && self.node(log, kept.node_id, self.head(log)).is_some_and(|node| !node.live)
        {
            return Ok(());
        }
        let mut whys = Vec::new();
        for written in self.resolutions(log, &asked.subject, resolve, &kept) {
            let mut after = self.clone();
            match after.resolved_by(asked, log, written, answer) {
                Ok(Ended::With(written)) => {
                    after.end(asked, log, resolve, written);
                    *self = after;
                    return Ok(());
                }
                Ok(Ended::Not) => return Ok(()),
                Err(why) => whys.push(why),
            }
        }
        Err(whys.join("; or "))
    }

    /// The conflict is not open any more.
    fn end(
        &mut self,
        asked: &Asked,
        log: usize,
        resolve: &ResolveConflict,
        written: Option<Written>,
    ) {
        if let Some(kept) = self.logs[log].conflicts.get_mut(&resolve.id) {
            kept.open = false;
        }
        if let Some(id) = resolve.operation_id {
            self.record(asked, log, id, Recorded::Resolve(resolve.clone(), written));
        }
    }

    /// Whether this write, or none, explains an answer, and whether that ends the conflict.
    fn resolved_by(
        &mut self,
        asked: &Asked,
        log: usize,
        write: Result<Option<WriteDiff>, ErrorCode>,
        answer: &Answered<ResolveOutcome>,
    ) -> Result<Ended, String> {
        let write = match write {
            Ok(Some(write)) => write,
            Ok(None) => {
                equal("resolved", &Ok(ResolveOutcome::Resolved(None)), answer)?;
                return Ok(Ended::With(None));
            }
            Err(code) => return refused(code, answer).map(|()| Ended::Not),
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
            Ok(WriteOutcome::Written(written)) => Ok(Ended::With(Some(written))),
            _ => Ok(Ended::Not),
        }
    }

    /// What may be written to resolve a conflict, as it is not always certain what of its
    /// past is kept; `None` for nothing.
    fn resolutions(
        &self,
        log: usize,
        subject: &str,
        resolve: &ResolveConflict,
        kept: &Kept,
    ) -> Vec<Result<Option<WriteDiff>, ErrorCode>> {
        let found = self.node(log, kept.node_id, self.head(log));
        let current = found.clone().filter(|node| node.live);
        let seen = match &current {
            Some(node) if resolve.clock.is_empty() => node.clock.clone(),
            Some(_) => resolve.clock.clone(),
            None => VectorClock::default(),
        };
        let kind = current.as_ref().map(|node| node.kind).or(kept.request.kind);
        let write = |path: Option<NodePath>, diff, clock, on_conflict| WriteDiff {
            node_id: current.as_ref().map(|node| node.id),
            path: path.filter(|_| current.is_none()),
            kind,
            diff,
            clock,
            on_conflict,
            keep_conflict: false,
            actor: Some(subject.to_owned()),
            author: Some(subject.to_owned()),
            // Recorded as a resolution, once that is done.
            operation_id: resolve.operation_id,
            ..kept.request.clone()
        };
        let (path, refused) = (kept.request.path.clone(), kept.request.diff.clone());
        match &resolve.resolution {
            Resolution::Ours => vec![Ok(None)],
            Resolution::Theirs => {
                let base =
                    found.and_then(|node| Stage::new(self, log).seen(&node, &kept.request.clock));
                let bases = match base {
                    Some((base, true)) => vec![Some(base)],
                    Some((base, false)) => vec![Some(base), None],
                    None => vec![None],
                };
                let theirs = bases.into_iter().map(|base| {
                    let diff = theirs(&refused, base.as_deref(), current.as_deref())?;
                    let path = path.clone().or_else(|| base.map(|base| base.path.clone()));
                    Ok(diff.map(|diff| write(path, diff, seen.clone(), OnConflict::Reject)))
                });
                theirs.collect()
            }
            Resolution::Merge => {
                let clock = kept.request.clock.clone();
                vec![Ok(Some(write(path, refused, clock, OnConflict::Merge)))]
            }
            Resolution::Manual(content) => {
                let is_document = kind.is_some_and(NodeKind::is_document);
                let put =
                    if is_document { Diff::put_document(content) } else { Diff::put_file(content) };
                let parsed = Diff::parse(&put).map_err(|error| error.code);
                let diff = DiffSource::Bson(put);
                vec![parsed.map(|_| Some(write(path, diff, seen, OnConflict::Reject)))]
            }
        }
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
            // A content above 1 MiB is left out.
            let diff = match &kept.request.diff {
                DiffSource::Bson(bytes) if bytes.len() > CHUNK_BYTES => &DiffSource::Follows,
                diff => diff,
            };
            equal("conflict diff", diff, &stored.request.diff)?;
            equal("conflict clock", &kept.request.clock, &stored.request.clock)?;
            equal("conflict subject", &kept.subject, &stored.subject)?;
        }
        Ok(())
    }
}

/// Whether an answer ends a conflict.
enum Ended {
    /// It does, with what was written, or with nothing.
    With(Option<Written>),
    /// It goes on.
    Not,
}

/// What makes of a node as it stands what a refused diff makes of its base; `None` for
/// nothing.
fn theirs(
    refused: &DiffSource,
    base: Option<&State>,
    current: Option<&State>,
) -> Result<Option<DiffSource>, ErrorCode> {
    let Some(stands) = current.or(base) else { return Ok(Some(refused.clone())) };
    let DiffSource::Bson(bytes) = refused else { return Err(ErrorCode::InvalidArgument) };
    let diff = Diff::parse(bytes).map_err(|error| error.code)?;
    let made_of = match base.filter(|base| base.live) {
        _ if !diff.needs_content() => Bytes::new(),
        Some(base) => base.content.clone(),
        None => return Err(ErrorCode::FailedPrecondition),
    };
    let made = diff::apply(&diff, stands.kind, &made_of, &stands.attributes);
    let made = made.map_err(|error| error.code)?;
    if made.deleted {
        return Ok(current.map(|_| DiffSource::Bson(Diff::delete())));
    }
    let wanted = State {
        content: content_of(made.content, &stands.content),
        attributes: made.attributes.unwrap_or_else(|| stands.attributes.clone()),
        path: made.path.unwrap_or_else(|| stands.path.clone()),
        live: true,
        ..stands.clone()
    };
    let current = current.map(State::to_node);
    let diff = Diff::restore(current.as_ref(), Some(&wanted.to_node()));
    Ok(diff.map_err(|error| error.code)?.map(DiffSource::Bson))
}
