//! What the mirror tells: a line for each file that changed, and what needs a
//! person.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::branch::Point;
use super::path::{LocalPath, shown};
use crate::branch::Branch;
use crate::exit::Failure;
use crate::output::{Output, Painter, Tone, count};

/// More lines of a kind than this at once become one.
const LINES_MAX: usize = 20;

/// Which way a file went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// From the branch to the disk.
    Received,
    /// From the disk to the branch.
    Sent,
}

/// What happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    New,
    Changed,
    Renamed,
    Deleted,
    Merged,
    /// It was deleted on one side and changed on the other: the change stays.
    Kept,
}

/// Tells it.
pub(super) struct Report<'a> {
    output: &'a mut Output,
    branch: Branch,
    root: PathBuf,
    /// What happened in this batch.
    lines: BTreeMap<(Way, What), Vec<String>>,
    /// What cannot be mirrored, and why, as it was told.
    problems: BTreeMap<String, String>,
    is_away: bool,
    /// The last record of being in step.
    in_step: Value,
    received: u64,
    sent: u64,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Sent => "sent",
        }
    }
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Renamed => "renamed",
            Self::Deleted => "deleted",
            Self::Merged => "merged",
            Self::Kept => "kept",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::New => Tone::Good,
            Self::Deleted => Tone::Bad,
            Self::Changed | Self::Renamed => Tone::Plain,
            Self::Merged | Self::Kept => Tone::Strong,
        }
    }
}

impl<'a> Report<'a> {
    /// Tells it of this branch and directory.
    pub(super) fn new(output: &'a mut Output, branch: Branch, root: PathBuf) -> Self {
        Self {
            output,
            branch,
            root,
            lines: BTreeMap::new(),
            problems: BTreeMap::new(),
            is_away: false,
            in_step: Value::Null,
            received: 0,
            sent: 0,
        }
    }

    /// A file went one way.
    pub(super) fn moved(
        &mut self,
        way: Way,
        what: What,
        path: &LocalPath,
        from: Option<&LocalPath>,
    ) -> Result<(), Failure> {
        match way {
            Way::Received => self.received += 1,
            Way::Sent => self.sent += 1,
        }
        let path = path.shown();
        let from = from.map(LocalPath::shown);
        if self.output.is_json() {
            let mut record = json!({ "event": way.name(), "what": what.name(), "path": path });
            if let Some(from) = from {
                record["from"] = from.into();
            }
            return self.record(record);
        }
        let line = from.map_or_else(|| path.clone(), |from| format!("{from} -> {path}"));
        self.lines.entry((way, what)).or_default().push(line);
        Ok(())
    }

    /// Prints what happened since the last time.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        for ((way, what), lines) in std::mem::take(&mut self.lines) {
            let print = |painter: &Painter, text: &str| {
                let what_text = format!("{:8}", what.name());
                format!("{:9} {} {text}", way.name(), painter.paint(what.tone(), &what_text))
            };
            let shown = if lines.len() > LINES_MAX {
                vec![count(lines.len() as u64, "file", "files")]
            } else {
                lines
            };
            for line in shown {
                self.output.result(|| Value::Null, |painter| print(painter, &line))?;
            }
        }
        Ok(self.output.flush()?)
    }

    /// Both sides changed a file, and only a person can say how it should be.
    pub(super) fn conflict(&mut self, path: &LocalPath) -> Result<(), Failure> {
        self.flush()?;
        let (shown_path, theirs) = (path.shown(), shown(&path.theirs()));
        let advice = format!(
            "edit {shown_path} as it should be and remove {theirs}; or move {theirs} over it"
        );
        self.output.result(
            || {
                json!({
                    "event": "conflict",
                    "path": shown_path,
                    "theirs": theirs,
                    "advice": advice,
                })
            },
            |painter| {
                format!(
                    "{} {shown_path}: changed on both sides; the branch's version is {theirs}\n  \
                     {advice}",
                    painter.paint(Tone::Bad, "conflict ")
                )
            },
        )?;
        Ok(self.output.flush()?)
    }

    /// A conflict is over.
    pub(super) fn settled(&mut self, path: &LocalPath) -> Result<(), Failure> {
        let path = path.shown();
        self.line(json!({ "event": "settled", "path": path }), &|painter| {
            format!("{} {path}", painter.paint(Tone::Good, "settled  "))
        })
    }

    /// A file cannot be mirrored. Told once, until it can or the reason changes.
    pub(super) fn problem(&mut self, path: &str, failure: &Failure) -> Result<(), Failure> {
        if self.problems.get(path) == Some(&failure.message) {
            return Ok(());
        }
        self.problems.insert(path.to_owned(), failure.message.clone());
        let (message, advice) = (&failure.message, &failure.advice);
        self.line(
            json!({ "event": "problem", "path": path, "problem": message, "advice": advice }),
            &|painter| {
                let advice = advice.as_ref().map(|advice| format!("\n  {advice}"));
                format!(
                    "{} {path}: not mirrored: {message}{}",
                    painter.paint(Tone::Bad, "problem  "),
                    advice.unwrap_or_default()
                )
            },
        )
    }

    /// A file can be mirrored, or is gone.
    pub(super) fn no_problem(&mut self, path: &LocalPath) {
        if !self.problems.is_empty() {
            self.problems.remove(&path.shown());
        }
    }

    /// How many files cannot be mirrored.
    pub(super) fn problems(&self) -> usize {
        self.problems.len()
    }

    /// The server cannot be reached. Told once, until it can.
    pub(super) fn away(&mut self, failure: &Failure) -> Result<(), Failure> {
        if std::mem::replace(&mut self.is_away, true) {
            return Ok(());
        }
        let message = &failure.message;
        self.line(json!({ "event": "away", "why": message }), &|painter| {
            let text = format!("waiting   {message}; files are watched, and it is tried again");
            painter.paint(Tone::Faint, &text)
        })
    }

    /// The server answers.
    pub(super) fn back(&mut self) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.is_away, false) {
            return Ok(());
        }
        self.line(json!({ "event": "back" }), &|painter| {
            painter.paint(Tone::Faint, "back      the server answers again")
        })
    }

    /// Something that a person should know.
    pub(super) fn note(&mut self, text: &str) -> Result<(), Failure> {
        self.line(json!({ "event": "note", "text": text }), &|painter| {
            painter.paint(Tone::Faint, &format!("note      {text}"))
        })
    }

    /// Everything that was to be done is done.
    pub(super) fn in_step(
        &mut self,
        at: Point,
        files: usize,
        conflicts: usize,
        is_first: bool,
    ) -> Result<(), Failure> {
        self.flush()?;
        let problems = self.problems.len();
        if self.output.is_json() {
            let record = json!({
                "event": "in_step",
                "epoch": at.epoch,
                "revision": at.revision,
                "files": files,
                "conflicts": conflicts,
                "problems": problems,
            });
            if self.in_step == record {
                return Ok(());
            }
            self.in_step = record.clone();
            return self.record(record);
        }
        if !is_first {
            return Ok(());
        }
        let (received, sent) = (self.received, self.sent);
        let mut parts =
            format!("{}, {received} received, {sent} sent", count(files as u64, "file", "files"));
        let mut left = Vec::new();
        if conflicts > 0 {
            left.push(count(conflicts as u64, "conflict", "conflicts"));
        }
        if problems > 0 {
            left.push(format!("{} not mirrored", count(problems as u64, "file", "files")));
        }
        if !left.is_empty() {
            parts = format!("{parts}; but for {}", left.join(" and "));
        }
        let (branch, root) = (&self.branch, self.root.display());
        let clean = conflicts + problems == 0;
        self.output.result(
            || Value::Null,
            |painter| {
                let tone = if clean { Tone::Good } else { Tone::Bad };
                let in_step = painter.paint(tone, "in step  ");
                format!("{in_step} {root} and {branch} at revision {}: {parts}", at.revision)
            },
        )?;
        Ok(self.output.flush()?)
    }

    fn line(&mut self, record: Value, human: &dyn Fn(&Painter) -> String) -> Result<(), Failure> {
        self.flush()?;
        self.output.result(|| record, human)?;
        Ok(self.output.flush()?)
    }

    fn record(&mut self, record: Value) -> Result<(), Failure> {
        self.output.result(|| record, |_| String::new())?;
        Ok(self.output.flush()?)
    }
}
