//! Where two edits of a text changed it, side by side.

use std::iter::Peekable;
use std::ops::Range;
use std::vec::IntoIter;

use gix_imara_diff::Hunk;

/// Lines that one side changed or both did, and those that stand in their place
/// on each side.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) base: Range<u32>,
    pub(super) current: Range<u32>,
    pub(super) proposed: Range<u32>,
    pub(super) changed_by: ChangedBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangedBy {
    Current,
    Proposed,
    Both,
}

/// The regions of two edits in their order. Between two of them lies at least
/// one line that neither side changed.
pub(super) struct Regions {
    current: Side,
    proposed: Side,
}

impl Regions {
    pub(super) fn new(current: Vec<Hunk>, proposed: Vec<Hunk>) -> Self {
        Self { current: Side::new(current), proposed: Side::new(proposed) }
    }
}

impl Iterator for Regions {
    type Item = Region;

    fn next(&mut self) -> Option<Region> {
        let (current, proposed) = (&mut self.current, &mut self.proposed);
        let start = [current.next_start(), proposed.next_start()].into_iter().flatten().min()?;
        let (current_start, proposed_start) = (current.line_at(start), proposed.line_at(start));
        let mut end = start;
        let (mut by_current, mut by_proposed) = (false, false);
        loop {
            let reached = (current.take_touching(end), proposed.take_touching(end));
            by_current |= reached.0.is_some();
            by_proposed |= reached.1.is_some();
            match reached.0.max(reached.1) {
                Some(reached) => end = end.max(reached),
                None => break,
            }
        }
        let changed_by = match (by_current, by_proposed) {
            (true, false) => ChangedBy::Current,
            (false, _) => ChangedBy::Proposed,
            (true, true) => ChangedBy::Both,
        };
        Some(Region {
            base: start..end,
            current: current_start..current.line_at(end),
            proposed: proposed_start..proposed.line_at(end),
            changed_by,
        })
    }
}

/// One edit, read from its start on.
struct Side {
    hunks: Peekable<IntoIter<Hunk>>,
    /// The line of the base after the last hunk that was taken.
    base_line: u32,
    /// The line of the side there.
    line: u32,
}

impl Side {
    fn new(hunks: Vec<Hunk>) -> Self {
        Self { hunks: hunks.into_iter().peekable(), base_line: 0, line: 0 }
    }

    /// The line of the base where the next hunk starts.
    fn next_start(&mut self) -> Option<u32> {
        self.hunks.peek().map(|hunk| hunk.before.start)
    }

    /// Takes the next hunk where it starts at or before this line of the base;
    /// the line where it ends.
    fn take_touching(&mut self, base_line: u32) -> Option<u32> {
        let hunk = self.hunks.next_if(|hunk| hunk.before.start <= base_line)?;
        self.base_line = hunk.before.end;
        self.line = hunk.after.end;
        Some(hunk.before.end)
    }

    /// The line that stands where this one of the base does, after the hunks
    /// that were taken and before the others.
    fn line_at(&self, base_line: u32) -> u32 {
        self.line + (base_line - self.base_line)
    }
}
