//! Reads the stream of `git fast-export` one command at a time. Whatever comes
//! in: an answer, or an error that says at which byte what was expected.

mod error;
mod input;

use std::io::BufRead;

use bytes::Bytes;
use input::{LinePart, StreamInput, StreamLine};

pub use error::FastExportError;

use crate::command::{
    BlobCommand, CommitCommand, ContentSource, FileChange, FileMode, ObjectName, ResetCommand,
    Signature, StreamCommand, TagCommand,
};
use crate::quoted_path::unquote;

/// How much of a stream is taken at once.
#[derive(Clone, Copy, Debug)]
pub struct FastExportLimits {
    /// The longest line, without its end.
    pub line_bytes: usize,
    /// The largest content or message, and the most that a commit brings inline.
    pub data_bytes: usize,
    /// The most changes of a commit.
    pub changes: usize,
    /// The most parents of a commit beside the first.
    pub merges: usize,
}

impl Default for FastExportLimits {
    fn default() -> Self {
        Self { line_bytes: 64 << 10, data_bytes: 128 << 20, changes: 1_000_000, merges: 10_000 }
    }
}

/// Reads the stream of `git fast-export`, one command at a time.
#[derive(Debug)]
pub struct FastExportReader<R> {
    input: StreamInput<R>,
    limits: FastExportLimits,
    /// The stream promised to end with `done`.
    expects_done: bool,
    is_done: bool,
}

impl<R: BufRead> FastExportReader<R> {
    /// Reads from `source` in many small pieces, and no further than it must.
    pub fn new(source: R, limits: FastExportLimits) -> Self {
        let input = StreamInput::new(source, limits.line_bytes);
        Self { input, limits, expects_done: false, is_done: false }
    }

    /// The next command; `None` at the end. After an error there is no next one.
    ///
    /// # Errors
    ///
    /// Where the stream is not what git writes, breaks off, is above a limit or cannot be
    /// read: the error says at which byte, and what was expected.
    pub fn read(&mut self) -> Result<Option<StreamCommand>, FastExportError> {
        if self.is_done {
            return Ok(None);
        }
        let outcome = self.command();
        self.is_done = !matches!(outcome, Ok(Some(ref command)) if *command != StreamCommand::Done);
        outcome
    }

    fn command(&mut self) -> Result<Option<StreamCommand>, FastExportError> {
        let line = loop {
            match self.input.line()? {
                Some(line) if line.text.is_empty() => {}
                Some(line) => break line,
                None if self.expects_done => {
                    return Err(FastExportError::end(self.input.offset(), "a command, or `done`"));
                }
                None => return Ok(None),
            }
        };
        self.begun(&line).map(Some)
    }

    fn begun(&mut self, line: &StreamLine) -> Result<StreamCommand, FastExportError> {
        if line.is("blob") {
            return self.blob();
        }
        if line.is("alias") {
            return self.alias();
        }
        if line.is("checkpoint") {
            return Ok(StreamCommand::Checkpoint);
        }
        if line.is("done") {
            return Ok(StreamCommand::Done);
        }
        if let Some(name) = line.after("commit ") {
            return self.commit(reference(name)?);
        }
        if let Some(name) = line.after("reset ") {
            return self.reset(reference(name)?);
        }
        if let Some(name) = line.after("tag ") {
            return self.tag(reference(name)?);
        }
        if let Some(feature) = line.after("feature ") {
            self.expects_done |= feature.text == b"done";
            return Ok(StreamCommand::Feature(feature.bytes()));
        }
        if let Some(setting) = line.after("option ") {
            return Ok(StreamCommand::Setting(setting.bytes()));
        }
        if let Some(text) = line.after("progress ") {
            return Ok(StreamCommand::Progress(text.bytes()));
        }
        Err(FastExportError::unexpected(
            line.offset,
            "blob, commit, tag, reset, alias, checkpoint, progress, feature, option or done",
            &line.text,
        ))
    }

    fn blob(&mut self) -> Result<StreamCommand, FastExportError> {
        let mark = self.mark()?;
        let original_id = self.optional("original-oid ")?;
        let data = self.data(self.limits.data_bytes)?;
        Ok(StreamCommand::Blob(BlobCommand { mark, original_id, data }))
    }

    fn commit(&mut self, ref_name: Bytes) -> Result<StreamCommand, FastExportError> {
        let mark = self.mark()?;
        let original_id = self.optional("original-oid ")?;
        let author = self.optional("author ")?;
        let expected = "committer NAME <EMAIL> TIME";
        let line = self.input.expect_line(expected)?;
        let committer = line.after("committer ");
        let committer = committer
            .ok_or_else(|| FastExportError::unexpected(line.offset, expected, &line.text))?
            .bytes();
        let mut commit = CommitCommand {
            ref_name,
            mark,
            original_id,
            author,
            committer,
            ..CommitCommand::default()
        };
        while let Some(kind) = self.optional("gpgsig ")? {
            if commit.signatures.len() >= self.limits.merges {
                let offset = self.input.offset();
                return Err(FastExportError::too_many(offset, "signatures", self.limits.merges));
            }
            let data = self.data(self.limits.line_bytes)?;
            commit.signatures.push(Signature { kind, data });
        }
        commit.encoding = self.optional("encoding ")?;
        commit.message = self.data(self.limits.data_bytes)?;
        self.parents(&mut commit)?;
        self.changes(&mut commit)?;
        Ok(StreamCommand::Commit(Box::new(commit)))
    }

    fn parents(&mut self, commit: &mut CommitCommand) -> Result<(), FastExportError> {
        commit.from = self.from()?;
        while let Some(line) = self.input.line()? {
            let Some(parent) = line.after("merge ") else {
                self.input.unread(line);
                return Ok(());
            };
            if commit.merges.len() >= self.limits.merges {
                return Err(FastExportError::too_many(line.offset, "parents", self.limits.merges));
            }
            commit.merges.push(object(parent)?);
        }
        Ok(())
    }

    fn changes(&mut self, commit: &mut CommitCommand) -> Result<(), FastExportError> {
        let mut data_left = self.limits.data_bytes;
        while let Some(line) = self.input.line()? {
            if line.text.is_empty() {
                return Ok(());
            }
            let Some(change) = self.change(&line, &mut data_left)? else {
                self.input.unread(line);
                return Ok(());
            };
            if commit.changes.len() >= self.limits.changes {
                return Err(FastExportError::too_many(line.offset, "changes", self.limits.changes));
            }
            commit.changes.push(change);
        }
        Ok(())
    }

    /// `None`: the line begins something else.
    fn change(
        &mut self,
        line: &StreamLine,
        data_left: &mut usize,
    ) -> Result<Option<FileChange>, FastExportError> {
        if line.is("deleteall") {
            return Ok(Some(FileChange::DeleteAll));
        }
        if let Some(rest) = line.after("M ") {
            return self.modify(rest, data_left).map(Some);
        }
        if let Some(path) = line.after("D ") {
            return Ok(Some(FileChange::Delete { path: last_path(path)? }));
        }
        if let Some(paths) = line.after("C ") {
            let (from, to) = two_paths(paths)?;
            return Ok(Some(FileChange::Copy { from, to }));
        }
        if let Some(paths) = line.after("R ") {
            let (from, to) = two_paths(paths)?;
            return Ok(Some(FileChange::Rename { from, to }));
        }
        if let Some(rest) = line.after("N ") {
            let (content, commit) = rest.split().ok_or_else(|| rest.refuse("BLOB COMMIT"))?;
            let commit = object(commit)?;
            let content = self.content(content, data_left)?;
            return Ok(Some(FileChange::Note { content, commit }));
        }
        Ok(None)
    }

    fn modify(
        &mut self,
        rest: LinePart<'_>,
        data_left: &mut usize,
    ) -> Result<FileChange, FastExportError> {
        let expected = "MODE BLOB PATH";
        let (mode, rest) = rest.split().ok_or_else(|| rest.refuse(expected))?;
        let mode = FileMode::parse(mode.text)
            .ok_or_else(|| mode.refuse("100644, 100755, 120000, 160000 or 040000"))?;
        let (content, path) = rest.split().ok_or_else(|| rest.refuse(expected))?;
        let path = last_path(path)?;
        let content = self.content(content, data_left)?;
        Ok(FileChange::Modify { mode, content, path })
    }

    fn content(
        &mut self,
        part: LinePart<'_>,
        data_left: &mut usize,
    ) -> Result<ContentSource, FastExportError> {
        if part.text != b"inline" {
            return object(part).map(ContentSource::Object);
        }
        let data = self.data(*data_left)?;
        *data_left -= data.len();
        Ok(ContentSource::Inline(data))
    }

    fn reset(&mut self, ref_name: Bytes) -> Result<StreamCommand, FastExportError> {
        let from = self.from()?;
        Ok(StreamCommand::Reset(ResetCommand { ref_name, from }))
    }

    fn tag(&mut self, name: Bytes) -> Result<StreamCommand, FastExportError> {
        let mark = self.mark()?;
        let offset = self.input.offset();
        let from = self.from()?.ok_or_else(|| FastExportError::missing(offset, "from COMMIT"))?;
        let original_id = self.optional("original-oid ")?;
        let tagger = self.optional("tagger ")?;
        let message = self.data(self.limits.data_bytes)?;
        Ok(StreamCommand::Tag(TagCommand { name, mark, from, original_id, tagger, message }))
    }

    fn alias(&mut self) -> Result<StreamCommand, FastExportError> {
        let offset = self.input.offset();
        let mark = self.mark()?.ok_or_else(|| FastExportError::missing(offset, "mark :NUMBER"))?;
        let expected = "to COMMIT";
        let line = self.input.expect_line(expected)?;
        let to = line
            .after("to ")
            .ok_or_else(|| FastExportError::unexpected(line.offset, expected, &line.text))?;
        Ok(StreamCommand::Alias { mark, to: object(to)? })
    }

    fn from(&mut self) -> Result<Option<ObjectName>, FastExportError> {
        let Some(line) = self.input.line()? else {
            return Ok(None);
        };
        if let Some(parent) = line.after("from ") {
            return object(parent).map(Some);
        }
        self.input.unread(line);
        Ok(None)
    }

    fn mark(&mut self) -> Result<Option<u64>, FastExportError> {
        let Some(line) = self.input.line()? else {
            return Ok(None);
        };
        let Some(rest) = line.after("mark ") else {
            self.input.unread(line);
            return Ok(None);
        };
        match object(rest)? {
            ObjectName::Mark(mark) => Ok(Some(mark)),
            ObjectName::Name(_) => Err(rest.refuse(":NUMBER")),
        }
    }

    fn optional(&mut self, start: &str) -> Result<Option<Bytes>, FastExportError> {
        let Some(line) = self.input.line()? else {
            return Ok(None);
        };
        if let Some(value) = line.after(start) {
            return Ok(Some(value.bytes()));
        }
        self.input.unread(line);
        Ok(None)
    }

    fn data(&mut self, max_bytes: usize) -> Result<Bytes, FastExportError> {
        let expected = "data SIZE";
        let line = self.input.expect_line(expected)?;
        let size = line
            .after("data ")
            .ok_or_else(|| FastExportError::unexpected(line.offset, expected, &line.text))?;
        if let Some(delimiter) = size.text.strip_prefix(b"<<") {
            if delimiter.is_empty() {
                return Err(size.refuse("<<DELIMITER"));
            }
            return self.input.delimited(delimiter, max_bytes);
        }
        let bytes = size.number().ok_or_else(|| size.refuse("the size of the data"))?;
        match usize::try_from(bytes) {
            Ok(bytes) if bytes <= max_bytes => self.input.data(bytes),
            _ => Err(FastExportError::too_large(size.offset, "data", max_bytes)),
        }
    }
}

fn reference(part: LinePart<'_>) -> Result<Bytes, FastExportError> {
    if part.text.is_empty() || part.text.contains(&0) {
        return Err(part.refuse("the name of a ref"));
    }
    Ok(part.bytes())
}

fn object(part: LinePart<'_>) -> Result<ObjectName, FastExportError> {
    let Some(digits) = part.text.strip_prefix(b":") else {
        return reference(part).map(ObjectName::Name);
    };
    let digits = LinePart { text: digits, ..part };
    digits.number().map(ObjectName::Mark).ok_or_else(|| part.refuse(":NUMBER"))
}

/// A path that goes on to the end of the line.
fn last_path(part: LinePart<'_>) -> Result<Bytes, FastExportError> {
    if part.text.first() != Some(&b'"') {
        return path(part, part.bytes());
    }
    match unquoted(part)? {
        (plain, []) => path(part, plain.into()),
        (_, rest) => {
            let offset = part.offset + (part.text.len() - rest.len()) as u64;
            Err(FastExportError::unexpected(offset, "the end of the line", rest))
        }
    }
}

fn two_paths(part: LinePart<'_>) -> Result<(Bytes, Bytes), FastExportError> {
    let expected = "two paths";
    if part.text.first() != Some(&b'"') {
        let (from, to) = part.split().ok_or_else(|| part.refuse(expected))?;
        return Ok((path(from, from.bytes())?, last_path(to)?));
    }
    let (plain, rest) = unquoted(part)?;
    let offset = part.offset + (part.text.len() - rest.len()) as u64;
    let Some(to) = rest.strip_prefix(b" ") else {
        return Err(FastExportError::unexpected(offset, "a space and the second path", rest));
    };
    Ok((path(part, plain.into())?, last_path(LinePart { offset: offset + 1, text: to })?))
}

fn unquoted(part: LinePart<'_>) -> Result<(Vec<u8>, &[u8]), FastExportError> {
    unquote(part.text).map_err(|at| {
        let rest = part.text.get(at..).unwrap_or_default();
        let offset = part.offset + at as u64;
        FastExportError::unexpected(offset, "a path in quotes, with C's escapes", rest)
    })
}

fn path(part: LinePart<'_>, path: Bytes) -> Result<Bytes, FastExportError> {
    if path.is_empty() || path.contains(&0) {
        return Err(part.refuse("a path without NUL"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests;
