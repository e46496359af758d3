//! Answers that are conflicts: whether they say what stands in the way.

use vdom_core::dom::calls::{Conflict, WriteDiff};
use vdom_core::limits::CHUNK_BYTES;

use super::answers::{Explained, equal, expect};
use super::writes::{Stage, Verdict};
use super::{Kept, World};

impl World {
    pub(super) fn conflicted(
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
    pub(super) fn is_conflict(
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
}
