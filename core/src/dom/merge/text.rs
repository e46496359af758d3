//! UTF-8 text, line by line, with the verdicts and texts of `git merge-file`.

mod lines;
mod regions;

use std::ops::Range;

use bytes::Bytes;

use crate::dom::calls::ConflictHunk;
use crate::limits::CONFLICT_MAX_HUNKS;

use super::{Merged, settled};
use lines::{Lines, changes};
use regions::{ChangedBy, Regions};

/// Merges texts by line: what one side alone changed is taken, and what both
/// made equal; changes that overlap or touch conflict. A conflict names its
/// bytes on each side.
///
/// A line's ending is part of it: `\r\n` is not `\n`, nor is no ending at all.
/// What is not UTF-8, or has NUL in it, is one whole; so is a text above
/// [`MERGE_MAX_LINES`](crate::limits::MERGE_MAX_LINES) or
/// [`MERGE_MAX_CHANGED_LINES`](crate::limits::MERGE_MAX_CHANGED_LINES).
pub fn merge_text(base: &Bytes, current: &Bytes, proposed: &Bytes) -> Merged<Bytes> {
    if let Some(text) = settled(base, current, proposed) {
        return Merged::Clean(text.clone());
    }
    merge_lines(base, current, proposed).unwrap_or_else(|| {
        let whole = |content: &Bytes| 0..content.len();
        Merged::Conflicting(vec![hunk(&whole(base), &whole(current), &whole(proposed))])
    })
}

/// `None` where the contents are wholes.
fn merge_lines(base: &[u8], current: &[u8], proposed: &[u8]) -> Option<Merged<Bytes>> {
    let lines = [Lines::of(base)?, Lines::of(current)?, Lines::of(proposed)?];
    let [current_changes, proposed_changes] = changes(&lines)?;
    let mut merged = Vec::with_capacity(current.len().max(proposed.len()));
    let mut conflicts = Vec::new();
    let mut done = 0;
    for region in Regions::new(current_changes, proposed_changes) {
        let base_bytes = lines[0].bytes(region.base);
        let current_bytes = lines[1].bytes(region.current);
        let proposed_bytes = lines[2].bytes(region.proposed);
        merged.extend_from_slice(&base[done..base_bytes.start]);
        done = base_bytes.end;
        let (ours, theirs) = (&current[current_bytes.clone()], &proposed[proposed_bytes.clone()]);
        match region.changed_by {
            ChangedBy::Proposed => merged.extend_from_slice(theirs),
            ChangedBy::Both if ours != theirs => {
                conflicts.push(hunk(&base_bytes, &current_bytes, &proposed_bytes));
                if conflicts.len() == CONFLICT_MAX_HUNKS {
                    break;
                }
            }
            ChangedBy::Current | ChangedBy::Both => merged.extend_from_slice(ours),
        }
    }
    if !conflicts.is_empty() {
        return Some(Merged::Conflicting(conflicts));
    }
    merged.extend_from_slice(&base[done..]);
    Some(Merged::Clean(Bytes::from(merged)))
}

fn hunk(base: &Range<usize>, current: &Range<usize>, proposed: &Range<usize>) -> ConflictHunk {
    let place = |bytes: &Range<usize>| (bytes.start as u64, bytes.len() as u64);
    ConflictHunk {
        base: place(base),
        current: place(current),
        proposed: place(proposed),
        field: String::new(),
    }
}
