//! Keeps answers within one message: what a client can read elsewhere is left
//! out of those that would not fit.

use vdom_core::VectorClock;
use vdom_core::dom::calls::{
    ChangeEvent, Conflict, ConflictExplanation, ConflictPage, DiffSource, HistoryPage, SetOutcome,
    StoredConflict, WriteDiff, Written,
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
                let bytes = conflict_bytes(conflict);
                if bytes <= left {
                    left -= bytes;
                } else {
                    conflict.current_content = None;
                    conflict.base_content = None;
                    conflict.hunks.clear();
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
    let left = PART_MAX_BYTES.saturating_sub(stored_bytes(&explanation.stored));
    explanation.unseen = history_within(explanation.unseen, left);
    explanation
}

/// A page of history, ended early where it has more than fits; never before its first change.
pub(crate) fn history_page(page: HistoryPage) -> HistoryPage {
    history_within(page, PART_MAX_BYTES)
}

fn history_within(mut page: HistoryPage, max_bytes: usize) -> HistoryPage {
    let mut bytes = 0;
    let fitting = page.changes.iter().take_while(|event| {
        bytes += event_bytes(event);
        bytes <= max_bytes
    });
    let fitting = fitting.count().max(1);
    if fitting < page.changes.len() {
        page.changes.truncate(fitting);
        page.next_before_revision = page.changes.last().map(|last| last.change.revision);
    }
    page
}

fn event_bytes(event: &ChangeEvent) -> usize {
    /// Of ids, hashes and numbers.
    const REST: usize = 256;
    let change = &event.change;
    let old_path = change.old_path.as_ref().map_or(0, |path| path.as_str().len());
    let names = [&change.actor, &change.author].map(String::len);
    let metadata = event.metadata();
    let metadata = metadata.iter().map(|(name, value)| name.len() + value.len() + 8);
    let diff = event.diff.as_ref().map_or(0, bytes::Bytes::len);
    REST + change.path.as_str().len()
        + old_path
        + names.iter().sum::<usize>()
        + event.message().len()
        + metadata.sum::<usize>()
        + clock_bytes(&change.clock)
        + diff
}

fn clock_bytes(clock: &VectorClock) -> usize {
    clock.entries().keys().map(|actor| actor.len() + 16).sum()
}

fn result_bytes(written: &Written) -> usize {
    /// Of ids and numbers.
    const REST: usize = 128;
    REST + clock_bytes(&written.clock)
}

fn conflict_bytes(conflict: &Conflict) -> usize {
    let contents = [&conflict.current_content, &conflict.base_content];
    let contents: usize = contents.into_iter().flatten().map(bytes::Bytes::len).sum();
    let hunks = conflict.hunks.iter().map(|hunk| hunk.field.len() + 64);
    contents + hunks.sum::<usize>()
}

fn stored_bytes(stored: &StoredConflict) -> usize {
    let WriteDiff { diff, message, .. } = &stored.request;
    let diff = match diff {
        DiffSource::Bson(bytes) => bytes.len(),
        DiffSource::Follows => 0,
    };
    conflict_bytes(&stored.conflict) + diff + message.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use vdom_core::dom::calls::{AckLevel, SetConflicts, SetWritten};
    use vdom_core::{ConflictId, NodeId};

    use super::*;
    use crate::dom::{DocumentService, fake};

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

    #[tokio::test]
    async fn a_page_of_history_ends_before_it_is_too_large_and_says_where_to_go_on() {
        let dom = fake::FakeDocumentService::default();
        dom.write_diff(&fake::caller(), fake::some_diff()).await.expect("written");
        let request = vdom_core::dom::calls::GetHistory {
            address: fake::some_diff().address,
            node: None,
            before_revision: None,
            limit: 1,
            include_diffs: false,
        };
        let some_event =
            dom.history(&fake::caller(), request).await.expect("a page").changes.remove(0);
        let page = |sizes: &[usize]| {
            let events = (1..).zip(sizes).map(|(number, bytes)| {
                let mut event = some_event.clone();
                let change = std::sync::Arc::make_mut(&mut event.change);
                change.revision = 1_000 - number;
                change.message = "m".repeat(*bytes);
                event
            });
            let page = HistoryPage {
                changes: events.collect(),
                next_before_revision: Some(7),
                epoch: 1,
                revision: 999,
            };
            let page = history_page(page);
            (page.changes.len(), page.next_before_revision)
        };
        assert_eq!(page(&[]), (0, Some(7)));
        assert_eq!(page(&[60_000; 50]), (50, Some(7)));
        assert_eq!(page(&[60_000; 100]), (52, Some(1_000 - 52)));
        assert_eq!(page(&[4 * MIB, 1]), (1, Some(999)));
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
