//! Writes a stream that `git fast-import` reads.

use std::io::{self, Write};

use super::quoted::quote;
use super::stream::{Blob, Command, Commit, Content, FileChange, Object, Reset, Tag};

/// Writes commands, one after the other.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
}

impl<W: Write> Writer<W> {
    /// Writes to `output`, in many small pieces: give it a buffer.
    pub fn new(output: W) -> Self {
        Self { output }
    }

    /// Writes one command.
    pub fn write(&mut self, command: &Command) -> io::Result<()> {
        match command {
            Command::Blob(blob) => self.blob(blob),
            Command::Commit(commit) => self.commit(commit),
            Command::Reset(reset) => self.reset(reset),
            Command::Tag(tag) => self.tag(tag),
            Command::Alias { mark, to } => {
                self.line(&[b"alias"])?;
                self.mark(Some(*mark))?;
                self.line(&[b"to ", &name(to)])?;
                self.line(&[])
            }
            Command::Feature(feature) => self.line(&[b"feature ", feature]),
            Command::Setting(setting) => self.line(&[b"option ", setting]),
            Command::Progress(text) => self.line(&[b"progress ", text]),
            Command::Checkpoint => self.line(&[b"checkpoint"]),
            Command::Done => self.line(&[b"done"]),
        }
    }

    /// Writes the command of a blob whose `size_bytes` follow by
    /// [`Writer::piece`], ended by [`Writer::end_of_data`].
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

    fn blob(&mut self, blob: &Blob) -> io::Result<()> {
        self.line(&[b"blob"])?;
        self.mark(blob.mark)?;
        self.optional(b"original-oid ", blob.original_id.as_deref())?;
        self.data(&blob.data)
    }

    fn commit(&mut self, commit: &Commit) -> io::Result<()> {
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

    fn with_content(&mut self, start: &[&[u8]], content: &Content, end: &[u8]) -> io::Result<()> {
        for part in start {
            self.output.write_all(part)?;
        }
        match content {
            Content::Object(object) => self.line(&[&name(object), b" ", end]),
            Content::Inline(data) => {
                self.line(&[b"inline ", end])?;
                self.data(data)
            }
        }
    }

    fn reset(&mut self, reset: &Reset) -> io::Result<()> {
        self.line(&[b"reset ", &reset.ref_name])?;
        if let Some(from) = &reset.from {
            self.line(&[b"from ", &name(from)])?;
        }
        self.line(&[])
    }

    fn tag(&mut self, tag: &Tag) -> io::Result<()> {
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

fn name(object: &Object) -> Vec<u8> {
    match object {
        Object::Mark(mark) => format!(":{mark}").into_bytes(),
        Object::Name(name) => name.to_vec(),
    }
}
