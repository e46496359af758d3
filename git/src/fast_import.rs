//! Writes a stream that `git fast-import` reads.

use std::io::{self, Write};

use crate::command::{
    BlobCommand, CommitCommand, ContentSource, FileChange, ObjectName, ResetCommand, StreamCommand,
    TagCommand,
};
use crate::quoted_path::quote;

/// Writes the stream that `git fast-import` reads, one command after the other.
#[derive(Debug)]
pub struct FastImportWriter<W> {
    output: W,
}

impl<W: Write> FastImportWriter<W> {
    /// Writes to `output`, in many small pieces: give it a buffer.
    pub fn new(output: W) -> Self {
        Self { output }
    }

    /// Writes one command, whole.
    ///
    /// # Errors
    ///
    /// Where the output cannot be written; so do all functions here.
    pub fn write(&mut self, command: &StreamCommand) -> io::Result<()> {
        match command {
            StreamCommand::Blob(blob) => self.blob(blob),
            StreamCommand::Commit(commit) => self.commit(commit),
            StreamCommand::Reset(reset) => self.reset(reset),
            StreamCommand::Tag(tag) => self.tag(tag),
            StreamCommand::Alias { mark, to } => {
                self.line(&[b"alias"])?;
                self.mark(Some(*mark))?;
                self.line(&[b"to ", &name(to)])?;
                self.line(&[])
            }
            StreamCommand::Feature(feature) => self.line(&[b"feature ", feature]),
            StreamCommand::Setting(setting) => self.line(&[b"option ", setting]),
            StreamCommand::Progress(text) => self.line(&[b"progress ", text]),
            StreamCommand::Checkpoint => self.line(&[b"checkpoint"]),
            StreamCommand::Done => self.line(&[b"done"]),
        }
    }

    /// Writes the command of a blob whose `size_bytes` follow by
    /// [`FastImportWriter::piece`], ended by [`FastImportWriter::end_of_data`].
    pub fn begin_blob(&mut self, mark: u64, size_bytes: u64) -> io::Result<()> {
        self.line(&[b"blob"])?;
        self.mark(Some(mark))?;
        self.line(&[b"data ", size_bytes.to_string().as_bytes()])
    }

    /// Writes a piece of the content that was begun.
    pub fn piece(&mut self, piece: &[u8]) -> io::Result<()> {
        self.output.write_all(piece)
    }

    /// Ends the content that was begun.
    pub fn end_of_data(&mut self) -> io::Result<()> {
        self.line(&[])
    }

    /// Makes everything written so far visible to a reader.
    pub fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    fn blob(&mut self, blob: &BlobCommand) -> io::Result<()> {
        self.line(&[b"blob"])?;
        self.mark(blob.mark)?;
        self.optional(b"original-oid ", blob.original_id.as_deref())?;
        self.data(&blob.data)
    }

    fn commit(&mut self, commit: &CommitCommand) -> io::Result<()> {
        self.line(&[b"commit ", &commit.ref_name])?;
        self.mark(commit.mark)?;
        self.optional(b"original-oid ", commit.original_id.as_deref())?;
        self.optional(b"author ", commit.author.as_deref())?;
        self.line(&[b"committer ", &commit.committer])?;
        for signature in &commit.signatures {
            self.line(&[b"gpgsig ", &signature.kind])?;
            self.data(&signature.data)?;
        }
        self.optional(b"encoding ", commit.encoding.as_deref())?;
        self.data(&commit.message)?;
        if let Some(from) = &commit.from {
            self.line(&[b"from ", &name(from)])?;
        }
        for merge in &commit.merges {
            self.line(&[b"merge ", &name(merge)])?;
        }
        for change in &commit.changes {
            self.change(change)?;
        }
        self.line(&[])
    }

    fn change(&mut self, change: &FileChange) -> io::Result<()> {
        match change {
            FileChange::Modify { mode, content, path } => {
                let mode = mode.as_str().as_bytes();
                self.with_content(&[b"M ", mode, b" "], content, &quote(path))
            }
            FileChange::Delete { path } => self.line(&[b"D ", &quote(path)]),
            FileChange::Copy { from, to } => self.line(&[b"C ", &quote(from), b" ", &quote(to)]),
            FileChange::Rename { from, to } => self.line(&[b"R ", &quote(from), b" ", &quote(to)]),
            FileChange::DeleteAll => self.line(&[b"deleteall"]),
            FileChange::Note { content, commit } => {
                self.with_content(&[b"N "], content, &name(commit))
            }
        }
    }

    fn with_content(
        &mut self,
        start: &[&[u8]],
        content: &ContentSource,
        end: &[u8],
    ) -> io::Result<()> {
        for part in start {
            self.output.write_all(part)?;
        }
        match content {
            ContentSource::Object(object) => self.line(&[&name(object), b" ", end]),
            ContentSource::Inline(data) => {
                self.line(&[b"inline ", end])?;
                self.data(data)
            }
        }
    }

    fn reset(&mut self, reset: &ResetCommand) -> io::Result<()> {
        self.line(&[b"reset ", &reset.ref_name])?;
        if let Some(from) = &reset.from {
            self.line(&[b"from ", &name(from)])?;
        }
        self.line(&[])
    }

    fn tag(&mut self, tag: &TagCommand) -> io::Result<()> {
        self.line(&[b"tag ", &tag.name])?;
        self.mark(tag.mark)?;
        self.line(&[b"from ", &name(&tag.from)])?;
        self.optional(b"original-oid ", tag.original_id.as_deref())?;
        self.optional(b"tagger ", tag.tagger.as_deref())?;
        self.data(&tag.message)
    }

    fn mark(&mut self, mark: Option<u64>) -> io::Result<()> {
        match mark {
            Some(mark) => self.line(&[b"mark :", mark.to_string().as_bytes()]),
            None => Ok(()),
        }
    }

    fn optional(&mut self, start: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        value.map_or(Ok(()), |value| self.line(&[start, value]))
    }

    fn data(&mut self, data: &[u8]) -> io::Result<()> {
        self.line(&[b"data ", data.len().to_string().as_bytes()])?;
        self.output.write_all(data)?;
        // Without it a content that ends in no line break hides the next command.
        self.line(&[])
    }

    fn line(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            self.output.write_all(part)?;
        }
        self.output.write_all(b"\n")
    }
}

fn name(object: &ObjectName) -> Vec<u8> {
    match object {
        ObjectName::Mark(mark) => format!(":{mark}").into_bytes(),
        ObjectName::Name(name) => name.to_vec(),
    }
}
