//! The lines of a text, and which of them an edit changed.

use std::ops::Range;
use std::panic::catch_unwind;

use gix_imara_diff::{Algorithm, Diff, Hunk, InternedInput, Token};

use crate::limits::{MERGE_MAX_CHANGED_LINES, MERGE_MAX_LINES};

/// A text, and where its lines start.
pub(super) struct Lines<'a> {
    text: &'a [u8],
    /// Of each line, and the end of the last.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// `None` for what is no text or has too many lines.
    pub(super) fn of(text: &'a [u8]) -> Option<Self> {
        if text.contains(&0) || std::str::from_utf8(text).is_err() {
            return None;
        }
        let mut starts = vec![0];
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            if starts.len() > MERGE_MAX_LINES {
                return None;
            }
            starts.push(starts[starts.len() - 1] + line.len());
        }
        Some(Self { text, starts })
    }

    /// Where these lines stand in the text.
    pub(super) fn bytes(&self, lines: Range<u32>) -> Range<usize> {
        self.starts[lines.start as usize]..self.starts[lines.end as usize]
    }
}

/// What the second and the third text changed of the first one, each as hunks
/// in their order; `None` where finding it is too much work.
pub(super) fn changes(texts: &[Lines<'_>; 3]) -> Option<[Vec<Hunk>; 2]> {
    let [base, current, proposed] = texts.each_ref().map(|lines| lines.text);
    // The library upholds its own invariants with assertions and unsafe code:
    // should one fail, the texts conflict and nothing else suffers.
    catch_unwind(|| {
        let mut input = InternedInput::new(base, current);
        let current = hunks(&input)?;
        input.update_after(gix_imara_diff::sources::byte_lines(proposed));
        Some([current, hunks(&input)?])
    })
    .unwrap_or_default()
}

/// As git has them: Myers' algorithm, then each change as far down as it goes.
fn hunks(input: &InternedInput<&[u8]>) -> Option<Vec<Hunk>> {
    if changed_lines(&input.before, &input.after) > MERGE_MAX_CHANGED_LINES {
        return None;
    }
    let mut diff = Diff::compute(Algorithm::Myers, input);
    diff.postprocess_no_heuristic(input);
    Some(diff.hunks().collect())
}

/// How many lines lie between the common start and the common end, in the text
/// that has more of them.
fn changed_lines(before: &[Token], after: &[Token]) -> usize {
    let same = |pair: &(&Token, &Token)| pair.0 == pair.1;
    let start = before.iter().zip(after).take_while(same).count();
    let (before, after) = (&before[start..], &after[start..]);
    let end = before.iter().rev().zip(after.iter().rev()).take_while(same).count();
    before.len().max(after.len()) - end
}
