//! Holds deletions back that would take more than half of the branch's files at once: a
//! directory that was emptied by mistake must not empty the branch.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::local_path::LocalPath;

/// Fewer files than this are not held back.
const FILES_MAX_UNASKED: usize = 20;
/// Deletions within this much time count together: a large directory is not emptied at once.
const TOGETHER: Duration = Duration::from_secs(60);

/// What becomes of deletions in the directory that would delete more than half of the
/// branch's files.
#[derive(Debug)]
pub enum ManyDeletions {
    /// They are as any other change.
    Allow,
    /// They wait, and are told by [`crate::Event::DeletionsHeld`].
    Hold,
    /// So do they, until `true` comes from here.
    Ask(mpsc::Receiver<bool>),
}

/// The deletions that wait, and those that count together with the next ones.
#[derive(Debug)]
pub(crate) struct DeletionGuard {
    mode: ManyDeletions,
    since: Option<Instant>,
    done: usize,
    pub(crate) held: BTreeSet<LocalPath>,
    allowed: BTreeSet<LocalPath>,
}

impl DeletionGuard {
    pub(crate) fn new(mode: ManyDeletions) -> Self {
        let (held, allowed) = (BTreeSet::new(), BTreeSet::new());
        Self { mode, since: None, done: 0, held, allowed }
    }

    /// Whether these must wait, of a branch that has so many `files` with them.
    pub(crate) fn holds(&mut self, gone: BTreeSet<LocalPath>, files: usize, now: Instant) -> bool {
        if gone.is_empty() {
            self.held.clear();
            return false;
        }
        if self.since.is_none_or(|since| now > since + TOGETHER) {
            (self.since, self.done) = (Some(now), 0);
        }
        let at_first = files + self.done;
        let unasked = gone.iter().filter(|path| !self.allowed.contains(*path)).count() + self.done;
        let must_hold = !matches!(self.mode, ManyDeletions::Allow)
            && at_first > FILES_MAX_UNASKED
            && unasked * 2 > at_first;
        self.held = if must_hold { gone } else { BTreeSet::new() };
        must_hold
    }

    /// Notes that a file is deleted in the branch.
    pub(crate) fn deleted(&mut self, path: &LocalPath) {
        if !self.allowed.remove(path) {
            self.done += 1;
        }
    }

    /// Lets those go that wait.
    pub(crate) fn allow(&mut self) {
        self.allowed = std::mem::take(&mut self.held);
    }

    /// The next answer to whether they may go; none ever comes where nobody is asked.
    pub(crate) async fn answer(&mut self) -> bool {
        if let ManyDeletions::Ask(answers) = &mut self.mode
            && let Some(answer) = answers.recv().await
        {
            return answer;
        }
        std::future::pending().await
    }

    /// Whether somebody is there to answer.
    pub(crate) fn asks(&self) -> bool {
        matches!(&self.mode, ManyDeletions::Ask(answers) if !answers.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(numbers: std::ops::Range<usize>) -> BTreeSet<LocalPath> {
        numbers.filter_map(|number| LocalPath::new(number.to_string().as_bytes())).collect()
    }

    #[test]
    fn more_than_half_of_a_tree_waits_also_where_it_goes_piece_by_piece() {
        let now = Instant::now();
        let mut guard = DeletionGuard::new(ManyDeletions::Hold);
        assert!(!guard.holds(paths(0..20), 20, now), "a small tree");
        assert!(!guard.holds(paths(0..15), 30, now), "half");
        assert!(guard.holds(paths(0..16), 30, now));
        assert_eq!(guard.held.len(), 16);
        assert!(!guard.holds(BTreeSet::new(), 30, now));
        assert!(guard.held.is_empty(), "they came back");

        for path in &paths(0..15) {
            guard.deleted(path);
        }
        assert!(guard.holds(paths(15..16), 15, now));
        assert!(!guard.holds(paths(15..16), 30, now + 2 * TOGETHER), "long after");

        assert!(guard.holds(paths(0..30), 30, now + 2 * TOGETHER));
        guard.allow();
        assert!(!guard.holds(paths(0..30), 30, now + 2 * TOGETHER), "they may go");
        let mut guard = DeletionGuard::new(ManyDeletions::Allow);
        assert!(!guard.holds(paths(0..30), 30, now));
    }
}
