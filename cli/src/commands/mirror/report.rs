//! Prints what a mirror does: a line for each file that changed, and what needs a
//! person.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};
use vdom_client::BranchSpec;
use vdom_mirror::{Direction, Error, Event, FileChange, InStep, Observer};

use crate::exit::Failure;
use crate::humanize::{count, printable};
use crate::output::{Output, Painter, Tone};

/// More lines of a kind than this at once become one.
const LINES_MAX: usize = 20;

/// Prints the events of a mirror.
pub(super) struct MirrorReport<'a> {
    output: &'a mut Output,
    branch: BranchSpec,
    root: PathBuf,
    /// Somebody types answers.
    asks: bool,
    /// The files that moved since the last flush.
    moved: BTreeMap<(Direction, FileChange), Vec<String>>,
    /// The last record of being in step.
    in_step: Value,
}

impl<'a> MirrorReport<'a> {
    /// Prints those of this branch and directory.
    pub(super) fn new(
        output: &'a mut Output,
        branch: BranchSpec,
        root: PathBuf,
        asks: bool,
    ) -> Self {
        Self { output, branch, root, asks, moved: BTreeMap::new(), in_step: Value::Null }
    }

    fn moved(
        &mut self,
        direction: Direction,
        change: FileChange,
        path: &str,
        from: Option<&str>,
    ) -> io::Result<()> {
        let (path, from) = (printable(path), from.map(printable));
        if self.output.is_json() {
            let (event, what) = (direction_name(direction), change_name(change));
            let mut record = json!({ "event": event, "what": what, "path": path });
            if let Some(from) = from {
                record["from"] = from.into();
            }
            return self.record(record);
        }
        let line = from.map_or_else(|| path.clone(), |from| format!("{from} -> {path}"));
        self.moved.entry((direction, change)).or_default().push(line);
        Ok(())
    }

    fn conflict(&mut self, path: &str, theirs: &str) -> io::Result<()> {
        let (path, theirs) = (printable(path), printable(theirs));
        let advice =
            format!("edit {path} as it should be and remove {theirs}; or move {theirs} over it");
        self.line(
            json!({ "event": "conflict", "path": path, "theirs": theirs, "advice": advice }),
            &|painter| {
                format!(
                    "{} {path}: changed on both sides; the branch's version is {theirs}\n  \
                     {advice}",
                    painter.paint(Tone::Bad, "conflict ")
                )
            },
        )
    }

    fn problem(&mut self, path: &str, error: &Error) -> io::Result<()> {
        let (path, failure) = (printable(path), Failure::from(error.clone()));
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

    fn deletions_held(&mut self, deletions: usize, files: usize) -> io::Result<()> {
        let advice = if self.asks {
            "delete them in the branch too? yes: type y; no: bring them back, or end this"
        } else {
            "bring them back; or start the mirror with --allow-deletions to delete them there too"
        };
        let record = json!({
            "event": "deletions_held",
            "deletions": deletions,
            "files": files,
            "advice": advice,
        });
        self.line(record, &|painter| {
            let held = painter.paint(Tone::Bad, "held     ");
            format!(
                "{held} {deletions} of {files} files are gone here, and stay in the branch\n  {advice}"
            )
        })
    }

    fn in_step(&mut self, standing: &InStep) -> io::Result<()> {
        self.flush()?;
        let InStep { at, files, conflicts, problems, received, sent, is_first } = *standing;
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
        self.output.result(
            || Value::Null,
            |painter| {
                let tone = if left.is_empty() { Tone::Good } else { Tone::Bad };
                let in_step = painter.paint(tone, "in step  ");
                format!("{in_step} {root} and {branch} at revision {}: {parts}", at.revision)
            },
        )?;
        self.output.flush()
    }

    fn line(&mut self, record: Value, human: &dyn Fn(&Painter) -> String) -> io::Result<()> {
        self.flush()?;
        self.output.result(|| record, human)?;
        self.output.flush()
    }

    fn record(&mut self, record: Value) -> io::Result<()> {
        self.output.result(|| record, |_| String::new())?;
        self.output.flush()
    }
}

impl Observer for MirrorReport<'_> {
    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        match *event {
            Event::Moved { direction, change, path, from } => {
                self.moved(direction, change, path, from)
            }
            Event::Secret { path } => {
                let path = printable(path);
                let advice = "where it should not be there: name it in .gitignore, remove it with \
                              `vdom rm`, and change the secret";
                self.line(
                    json!({ "event": "secret", "path": path, "advice": advice }),
                    &|painter| {
                        let secret = painter.paint(Tone::Bad, "secret   ");
                        format!("{secret} {path}: looks like a secret, and was sent\n  {advice}")
                    },
                )
            }
            Event::Conflict { path, theirs } => self.conflict(path, theirs),
            Event::Resolved { path } => {
                let path = printable(path);
                self.line(json!({ "event": "settled", "path": path }), &|painter| {
                    format!("{} {path}", painter.paint(Tone::Good, "settled  "))
                })
            }
            Event::Problem { path, error } => self.problem(path, error),
            Event::DeletionsHeld { deletions, files } => self.deletions_held(deletions, files),
            Event::Away { error } => {
                let message = Failure::from(error.clone()).message;
                self.line(json!({ "event": "away", "why": message }), &|painter| {
                    let text =
                        format!("waiting   {message}; files are watched, and it is tried again");
                    painter.paint(Tone::Faint, &text)
                })
            }
            Event::Back => self.line(json!({ "event": "back" }), &|painter| {
                painter.paint(Tone::Faint, "back      the server answers again")
            }),
            Event::Note(text) => self.line(json!({ "event": "note", "text": text }), &|painter| {
                painter.paint(Tone::Faint, &format!("note      {text}"))
            }),
            Event::InStep(standing) => self.in_step(standing),
            _ => Ok(()),
        }
    }

    /// Prints the files that moved since the last time.
    fn flush(&mut self) -> io::Result<()> {
        for ((direction, change), lines) in std::mem::take(&mut self.moved) {
            let print = |painter: &Painter, text: &str| {
                let what = format!("{:8}", change_name(change));
                let what = painter.paint(change_tone(change), &what);
                format!("{:9} {what} {text}", direction_name(direction))
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
        self.output.flush()
    }
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::ToDirectory => "received",
        Direction::ToBranch => "sent",
    }
}

fn change_name(change: FileChange) -> &'static str {
    match change {
        FileChange::New => "new",
        FileChange::Changed => "changed",
        FileChange::Renamed => "renamed",
        FileChange::Deleted => "deleted",
        FileChange::Merged => "merged",
        FileChange::Kept => "kept",
    }
}

fn change_tone(change: FileChange) -> Tone {
    match change {
        FileChange::New => Tone::Good,
        FileChange::Deleted => Tone::Bad,
        FileChange::Changed | FileChange::Renamed => Tone::Plain,
        FileChange::Merged | FileChange::Kept => Tone::Strong,
    }
}
