//! Tells the observer what happens, and everything that lasts only once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::local_path::{LocalPath, shown};
use crate::log_position::LogPosition;
use crate::observer::{Direction, Event, FileChange, InStep, Observer};
use crate::secret_name::looks_secret;

/// Tells the observer what happens, and remembers what it was told.
pub(crate) struct EventReporter<'a> {
    observer: &'a mut dyn Observer,
    /// What cannot be mirrored, and why, as it was told.
    problems: BTreeMap<String, String>,
    /// Those of them that the last look at the directory found.
    found: BTreeSet<String>,
    /// How many deletions were told to wait.
    held: usize,
    is_away: bool,
    received: u64,
    sent: u64,
}

impl<'a> EventReporter<'a> {
    pub(crate) fn new(observer: &'a mut dyn Observer) -> Self {
        Self {
            observer,
            problems: BTreeMap::new(),
            found: BTreeSet::new(),
            held: 0,
            is_away: false,
            received: 0,
            sent: 0,
        }
    }

    /// A file went one way.
    pub(crate) fn moved(
        &mut self,
        direction: Direction,
        change: FileChange,
        path: &LocalPath,
        from: Option<&LocalPath>,
    ) -> Result<()> {
        match direction {
            Direction::ToDirectory => self.received += 1,
            Direction::ToBranch => self.sent += 1,
        }
        let is_secret = direction == Direction::ToBranch
            && matches!(change, FileChange::New | FileChange::Renamed)
            && looks_secret(path.as_bytes());
        let (path, from) = (path.shown(), from.map(LocalPath::shown));
        self.tell(&Event::Moved { direction, change, path: &path, from: from.as_deref() })?;
        if is_secret { self.tell(&Event::Secret { path: &path }) } else { Ok(()) }
    }

    /// Both sides changed a file, and only a person can say how it should be.
    pub(crate) fn conflict(&mut self, path: &LocalPath) -> Result<()> {
        let (path, theirs) = (path.shown(), shown(&path.theirs()));
        self.tell(&Event::Conflict { path: &path, theirs: &theirs })
    }

    /// The conflict of this file is over.
    pub(crate) fn resolved(&mut self, path: &LocalPath) -> Result<()> {
        self.tell(&Event::Resolved { path: &path.shown() })
    }

    /// A file cannot be mirrored. Told once, until it can or the reason changes.
    pub(crate) fn problem(&mut self, path: &str, error: &Error) -> Result<()> {
        let message = error.to_string();
        if self.problems.get(path) == Some(&message) {
            return Ok(());
        }
        self.problems.insert(path.to_owned(), message);
        self.tell(&Event::Problem { path, error })
    }

    /// A file can be mirrored, or is gone.
    pub(crate) fn no_problem(&mut self, path: &LocalPath) {
        if !self.problems.is_empty() {
            self.no_problem_at(&path.shown());
        }
    }

    /// As [`EventReporter::no_problem`], where it was told by this name.
    pub(crate) fn no_problem_at(&mut self, path: &str) {
        self.problems.remove(path);
    }

    /// All that a look at the directory found that cannot be mirrored.
    pub(crate) fn found(&mut self, problems: Vec<(String, Error)>) -> Result<()> {
        for (path, error) in &problems {
            self.problem(path, error)?;
        }
        let found = problems.into_iter().map(|(path, _)| path).collect();
        for path in std::mem::replace(&mut self.found, found) {
            if !self.found.contains(&path) {
                self.problems.remove(&path);
            }
        }
        Ok(())
    }

    /// So many deletions wait, of so many files; none any more where there are none.
    pub(crate) fn deletions_held(&mut self, deletions: usize, files: usize) -> Result<()> {
        let told = std::mem::replace(&mut self.held, deletions);
        if deletions <= told {
            return Ok(());
        }
        self.tell(&Event::DeletionsHeld { deletions, files })
    }

    /// How many files cannot be mirrored.
    pub(crate) fn problems(&self) -> usize {
        self.problems.len()
    }

    /// The server cannot be reached. Told once, until it can.
    pub(crate) fn away(&mut self, error: &Error) -> Result<()> {
        if std::mem::replace(&mut self.is_away, true) {
            return Ok(());
        }
        self.tell(&Event::Away { error })
    }

    /// The server answers again, if it was away.
    pub(crate) fn back(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.is_away, false) { self.tell(&Event::Back) } else { Ok(()) }
    }

    /// Something that a person should know.
    pub(crate) fn note(&mut self, text: &str) -> Result<()> {
        self.tell(&Event::Note(text))
    }

    /// Everything that was to be done is done.
    pub(crate) fn in_step(
        &mut self,
        at: LogPosition,
        files: usize,
        conflicts: usize,
        is_first: bool,
    ) -> Result<()> {
        let problems = self.problems.len();
        let (received, sent) = (self.received, self.sent);
        let standing = InStep { at, files, conflicts, problems, received, sent, is_first };
        self.tell(&Event::InStep(&standing))
    }

    /// Makes visible what was told so far.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.observer.flush().map_err(broken)
    }

    fn tell(&mut self, event: &Event<'_>) -> Result<()> {
        self.observer.event(event).map_err(broken)
    }
}

fn broken(error: io::Error) -> Error {
    Error::Observer(Arc::new(error))
}
