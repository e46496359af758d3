//! Keeps answers within one message: what a client can read elsewhere is left
//! out of those that would not fit.

use vdom_core::dom::calls::{
    Conflict, ConflictExplanation, ConflictPage, DiffSource, SetOutcome, StoredConflict, WriteDiff,
    Written,
};
use vdom_core::limits::UNARY_MESSAGE_MAX_BYTES;

/// What contents and results may take; the rest of a message is for the rest.
const PART_MAX_BYTES: usize = UNARY_MESSAGE_MAX_BYTES / 4 * 3;

/// A set's outcome: of an accepted one, results that do not fit are left out; of
/// a refused one, contents.
pub(crate) fn set_outcome(mut outcome: SetOutcome) -> SetOutcome {
    match &mut outcome {
        SetOutcome::Written(set) => {
            if set.results.iter().map(result_bytes).sum::<usize>() > PART_MAX_BYTES {
                set.results.clear();
            }
        }
        SetOutcome::Conflicted(set) => {
            let mut left = PART_MAX_BYTES;
            for conflict in set.results.iter_mut().flatten() {
                let bytes = content_bytes(conflict);
                if bytes <= left {
                    left -= bytes;
                } else {
                    conflict.current_content = None;
                    conflict.base_content = None;
                }
            }
        }
    }
    outcome
}

/// A page of conflicts, ended early where it has more than fits; never before
/// its first conflict.
pub(crate) fn conflict_page(mut page: ConflictPage) -> ConflictPage {
    let mut bytes = 0;
    let fitting = page.conflicts.iter().take_while(|stored| {
        bytes += stored_bytes(stored);
        bytes <= PART_MAX_BYTES
    });
    let fitting = fitting.count().max(1);
    if fitting < page.conflicts.len() {
        page.conflicts.truncate(fitting);
        page.more = true;
    }
    page
}

/// An explained conflict, its history ended early where it has more than fits;
/// never before its first change.
pub(crate) fn conflict_explanation(mut explanation: ConflictExplanation) -> ConflictExplanation {
    let mut bytes = stored_bytes(&explanation.stored);
    let changes = &mut explanation.unseen.changes;
    let fitting = changes.iter().take_while(|event| {
        bytes += event.change.message.len();
        bytes <= PART_MAX_BYTES
    });
    let fitting = fitting.count().max(1);
    if fitting < changes.len() {
        changes.truncate(fitting);
        explanation.unseen.next_before_revision = changes.last().map(|last| last.change.revision);
    }
    explanation
}

fn result_bytes(written: &Written) -> usize {
    /// Of ids and numbers.
    const REST: usize = 128;
    let actors = written.clock.entries().keys();
    REST + actors.map(|actor| actor.len() + 16).sum::<usize>()
}

fn content_bytes(conflict: &Conflict) -> usize {
    let contents = [&conflict.current_content, &conflict.base_content];
    contents.into_iter().flatten().map(bytes::Bytes::len).sum()
}

fn stored_bytes(stored: &StoredConflict) -> usize {
    let WriteDiff { diff, message, .. } = &stored.request;
    let diff = match diff {
        DiffSource::Bson(bytes) => bytes.len(),
        DiffSource::Staged(_) | DiffSource::Follows => 0,
    };
    content_bytes(&stored.conflict) + diff + message.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use vdom_core::dom::calls::{AckLevel, SetConflicts, SetWritten};
    use vdom_core::{ConflictId, NodeId, VectorClock};

    use super::*;
    use crate::dom::fake;

    const MIB: usize = 1 << 20;

    fn conflict(bytes: usize) -> Conflict {
        let content = Bytes::from(vec![0; bytes]);
        Conflict { current_content: Some(content), ..fake::some_conflict() }
    }

    #[test]
    fn contents_beyond_a_message_are_left_out_of_a_refused_set() {
        let results = [MIB, 0, 3 * MIB, 2 * MIB].map(|bytes| Some(Box::new(conflict(bytes))));
        let refused = SetConflicts {
            epoch: 1,
            revision: 1,
            operation_id: None,
            results: [None].into_iter().chain(results).collect(),
        };
        let SetOutcome::Conflicted(refused) = set_outcome(SetOutcome::Conflicted(refused)) else {
            panic!("refused");
        };
        let left: Vec<_> = refused
            .results
            .iter()
            .flatten()
            .map(|conflict| conflict.current_content.as_ref().map(Bytes::len))
            .collect();
        assert_eq!(left, [Some(MIB), Some(0), None, Some(2 * MIB)]);
    }

    #[test]
    fn results_beyond_a_message_are_left_out_of_an_accepted_set() {
        let entries = (0..64).map(|actor| (format!("{actor:0>200}"), 1));
        let written = Written {
            node_id: NodeId([1; 16]),
            version: 1,
            clock: VectorClock::from_entries(entries).expect("a clock"),
            epoch: 1,
            revision: 1,
            ack: AckLevel::Committed,
            merged: false,
            timestamp_ms: 1,
            operation_id: None,
        };
        let with = |count| {
            let results = vec![written.clone(); count];
            let set = SetWritten {
                epoch: 1,
                first_revision: 1,
                last_revision: count as u64,
                ack: AckLevel::Committed,
                timestamp_ms: 1,
                operation_id: None,
                results,
            };
            match set_outcome(SetOutcome::Written(set)) {
                SetOutcome::Written(set) => set.results.len(),
                SetOutcome::Conflicted(_) => panic!("accepted"),
            }
        };
        assert_eq!((with(100), with(1_000)), (100, 0));
    }

    #[test]
    fn a_page_of_conflicts_ends_before_it_is_too_large_but_never_empty() {
        let page = |sizes: &[usize]| {
            let conflicts = sizes.iter().map(|bytes| StoredConflict {
                id: ConflictId([1; 16]),
                conflict: conflict(*bytes),
                request: fake::some_diff(),
                timestamp_ms: 1,
                subject: "ann".to_owned(),
            });
            let page = conflict_page(ConflictPage { conflicts: conflicts.collect(), more: false });
            (page.conflicts.len(), page.more)
        };
        assert_eq!(page(&[]), (0, false));
        assert_eq!(page(&[MIB, MIB]), (2, false));
        assert_eq!(page(&[MIB, 2 * MIB, 1]), (1, true));
        assert_eq!(page(&[4 * MIB]), (1, false));
    }
}
