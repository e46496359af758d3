//! Files that a command had to leave out, and why.

use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::humanize::count;

/// Files that were left out while the others went on, by path.
#[derive(Debug, Default)]
pub(crate) struct FileProblems {
    problems: Vec<(String, Failure)>,
}

impl From<Vec<(String, Failure)>> for FileProblems {
    fn from(problems: Vec<(String, Failure)>) -> Self {
        Self { problems }
    }
}

impl FileProblems {
    pub(crate) fn push(&mut self, path: String, failure: Failure) {
        self.problems.push((path, failure));
    }

    /// True where no file was left out.
    pub(crate) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Which files were left out.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.problems.iter().map(|(path, _)| path.as_str())
    }

    /// Puts them in the order of their paths.
    pub(crate) fn sort(&mut self) {
        self.problems.sort_by(|(one, _), (other, _)| one.cmp(other));
    }

    /// An object for each, with `path` and `problem`.
    pub(crate) fn records(&self) -> Vec<Value> {
        let record = |(path, failure): &(String, Failure)| json!({ "path": path, "problem": failure.message });
        self.problems.iter().map(record).collect()
    }

    /// [`Exit::Conflict`] where all of them are conflicts, else [`Exit::Failed`]; `None`
    /// where there are none.
    pub(crate) fn exit(&self) -> Option<Exit> {
        let mut exits = self.problems.iter().map(|(_, failure)| failure.exit);
        let first = exits.next()?;
        let all_conflicts = first == Exit::Conflict && exits.all(|exit| exit == Exit::Conflict);
        Some(if all_conflicts { Exit::Conflict } else { Exit::Failed })
    }

    /// A failure that names each file and why `what` did not happen to it.
    pub(crate) fn failure(&self, exit: Exit, what: &str) -> Failure {
        let files = count(self.problems.len() as u64, "file was", "files were");
        let mut message = format!("{files} not {what}:");
        for (path, failure) in &self.problems {
            message.extend(["\n  ", path, ": ", &failure.message]);
        }
        Failure::new(exit, message)
    }
}
