//! The stream for git: contents and commits under marks of our own.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use bytes::Bytes;
use futures::TryStreamExt;
use vdom_client::NodeContent;
use vdom_git::command::{CommitCommand, ObjectName, ResetCommand, StreamCommand};
use vdom_git::fast_import::FastImportWriter;
use vdom_git::identity::readable_person;

use crate::exit::Failure;

/// The ref that every commit is written on; it is gone at the end.
const SCRATCH_REF: &[u8] = b"refs/vdom/export";

/// The stream for `git fast-import`, which numbers contents and commits by itself.
pub(super) struct GitStream<W> {
    writer: FastImportWriter<W>,
    with_signatures: bool,
    next_mark: u64,
    commits: u64,
    /// Headers that the stream does not carry, and how many commits had them.
    lost_headers: BTreeMap<Bytes, u64>,
    /// Commits that came from git, by their ids there.
    marks: HashMap<Bytes, u64>,
}

impl<W: Write> GitStream<W> {
    /// Writes with this writer; with or without the signatures of commits.
    pub(super) fn new(writer: FastImportWriter<W>, with_signatures: bool) -> Self {
        Self {
            writer,
            with_signatures,
            next_mark: 1,
            commits: 0,
            lost_headers: BTreeMap::new(),
            marks: HashMap::new(),
        }
    }

    /// Writes a command as it is.
    pub(super) fn write(&mut self, command: &StreamCommand) -> Result<(), Failure> {
        Ok(self.writer.write(command)?)
    }

    /// Makes everything written so far visible to a reader.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.writer.flush()?)
    }

    /// Notes the headers of a commit that the stream does not carry.
    pub(super) fn lost_headers(&mut self, names: impl IntoIterator<Item = Bytes>) {
        for name in names {
            *self.lost_headers.entry(name).or_default() += 1;
        }
    }

    /// The headers that the stream does not carry, and how many commits had them.
    pub(super) fn take_lost_headers(&mut self) -> BTreeMap<Bytes, u64> {
        std::mem::take(&mut self.lost_headers)
    }

    /// How many commits were written.
    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    /// A mark that nothing has yet.
    pub(super) fn new_mark(&mut self) -> u64 {
        let mark = self.next_mark;
        self.next_mark += 1;
        mark
    }

    /// The mark of a commit that came from git.
    pub(super) fn mark_of(&self, id: &Bytes) -> Option<u64> {
        self.marks.get(id).copied()
    }

    /// Writes a content; answers with its mark.
    pub(super) fn blob(&mut self, data: &[u8]) -> Result<u64, Failure> {
        let mark = self.new_mark();
        self.writer.begin_blob(mark, data.len() as u64)?;
        self.writer.piece(data)?;
        self.writer.end_of_data()?;
        Ok(mark)
    }

    /// Writes a content as it is read.
    pub(super) async fn blob_of(&mut self, content: NodeContent) -> Result<u64, Failure> {
        let mark = self.new_mark();
        self.writer.begin_blob(mark, content.size_bytes)?;
        let mut written = 0;
        let mut pieces = content.pieces;
        while let Some(piece) = pieces.try_next().await? {
            written += piece.len() as u64;
            self.writer.piece(&piece)?;
        }
        if written != content.size_bytes {
            return Err(Failure::failed(format!(
                "the server brought {written} bytes of {}",
                content.size_bytes
            )));
        }
        self.writer.end_of_data()?;
        Ok(mark)
    }

    /// Writes a commit; answers with its mark.
    pub(super) fn commit(&mut self, mut commit: CommitCommand) -> Result<u64, Failure> {
        let ref_name = Bytes::from_static(SCRATCH_REF);
        if commit.from.is_none() {
            self.forget_scratch()?;
        }
        let mark = self.new_mark();
        if !self.with_signatures {
            commit.signatures.clear();
        }
        if let Some(id) = &commit.original_id {
            self.marks.insert(id.clone(), mark);
        }
        self.commits += 1;
        let committer = readable_person(&commit.committer).into();
        let author = commit.author.map(|author| readable_person(&author).into());
        let commit = CommitCommand { ref_name, mark: Some(mark), author, committer, ..commit };
        self.write(&StreamCommand::Commit(Box::new(commit)))?;
        Ok(mark)
    }

    /// Makes a ref point to what has this mark.
    pub(super) fn point(&mut self, ref_name: Bytes, mark: u64) -> Result<(), Failure> {
        self.write(&StreamCommand::Reset(ResetCommand {
            ref_name,
            from: Some(ObjectName::Mark(mark)),
        }))
    }

    /// Leaves nothing behind but what refs point to.
    pub(super) fn forget_scratch(&mut self) -> Result<(), Failure> {
        let ref_name = Bytes::from_static(SCRATCH_REF);
        self.write(&StreamCommand::Reset(ResetCommand { ref_name, from: None }))
    }
}
