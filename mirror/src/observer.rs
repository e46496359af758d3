//! What a mirror tells whoever runs it.

use std::io;

use crate::error::Error;
use crate::log_position::LogPosition;

/// Takes the events of a mirror, one after the other.
pub trait Observer {
    /// Takes an event.
    ///
    /// # Errors
    ///
    /// Where it cannot be told to anybody: the mirror ends then.
    fn event(&mut self, event: &Event<'_>) -> io::Result<()>;

    /// Makes visible what was told so far: a pass is over, or something else follows.
    ///
    /// # Errors
    ///
    /// As [`Observer::event`].
    fn flush(&mut self) -> io::Result<()>;
}

/// Something that a mirror did or found. Paths are those of files below the mirrored
/// directory, with bytes that are no text replaced.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub enum Event<'a> {
    /// A change went from one side to the other; `from` is where a renamed file was.
    Moved { direction: Direction, change: FileChange, path: &'a str, from: Option<&'a str> },
    /// A file went to the branch that holds secrets as a rule.
    Secret { path: &'a str },
    /// Both sides changed a file, and only a person can say how it should be. `theirs`
    /// is where the branch's version lies.
    Conflict { path: &'a str, theirs: &'a str },
    /// The conflict of this file is over.
    Resolved { path: &'a str },
    /// A file cannot be mirrored. Told once, until it can or the reason changes.
    Problem { path: &'a str, error: &'a Error },
    /// So many deletions of the branch's files wait, because they are more than half of
    /// them. Told again where they become more.
    DeletionsHeld { deletions: usize, files: usize },
    /// The server cannot be reached. Told once, until it can.
    Away { error: &'a Error },
    /// The server answers again, after [`Event::Away`].
    Back,
    /// Something that a person should know.
    Note(&'a str),
    /// Everything that was to be done is done.
    InStep(&'a InStep),
}

/// To which side a change went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the branch to the directory.
    ToDirectory,
    /// From the directory to the branch.
    ToBranch,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FileChange {
    New,
    Changed,
    Renamed,
    Deleted,
    Merged,
    /// It was deleted on one side and changed on the other: the change stays.
    Kept,
}

/// How the two sides stand once they are in step; all but `at` count files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct InStep {
    /// How far the branch is.
    pub at: LogPosition,
    pub files: usize,
    pub conflicts: usize,
    /// Files that cannot be mirrored.
    pub problems: usize,
    /// Since the mirror began, as is `sent`.
    pub received: u64,
    pub sent: u64,
    /// It is the first time.
    pub is_first: bool,
}
