//! Reads a repository's history on a thread of its own: commits from
//! `git fast-export`, contents from `git cat-file`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::mpsc;
use vdom_git::command::{CommitCommand, ObjectName, StreamCommand, TagCommand};
use vdom_git::commit_graph::ImportPlan;
use vdom_git::commit_object::CommitObject;
use vdom_git::fast_export::{FastExportLimits, FastExportReader};
use vdom_git::identity::readable_person;
use vdom_git::normalize::{CommitEdits, FileEdit, FileSource, NewFile, normalize};
use vdom_git::object_id::ObjectId;
use vdom_git::record::{CommitRecord, TagRecord};

use super::blob_reader::{BlobReader, ContentPart};
use super::git_process;
use crate::exit::Failure;

/// How many items wait for the writer; contents come in pieces of 1 MiB.
const WAITING_MAX: usize = 64;
/// How much of what git complains about is kept.
const COMPLAINT_MAX_BYTES: usize = 4 << 10;
/// The first version of git that can tell the signatures of commits.
const SIGNED_COMMITS: (u32, u32) = (2, 50);

/// What the history brings next.
#[derive(Debug)]
pub(super) enum HistoryItem {
    /// A new commit. The contents of its edits follow, in their order.
    Commit(Box<NewCommit>),
    /// A part of a content.
    Content(ContentPart),
    /// The end of it all.
    End(HistoryEnd),
}

/// What is known once all of a history was read.
#[derive(Debug, Default)]
pub(super) struct HistoryEnd {
    /// Annotated tags by the name of their ref.
    pub(super) tagged: HashMap<Bytes, TaggedCommit>,
    /// Commits and tags by somebody whom git's own reader would refuse.
    pub(super) odd_persons: Vec<String>,
    /// Headers that no stream carries, and how many commits have them.
    pub(super) headers: BTreeMap<String, u64>,
    /// Commits whose parents the repository does not have: it is shallow.
    pub(super) cut: Vec<String>,
}

/// What a tag's ref leads to.
#[derive(Clone, Debug, Default)]
pub(super) struct TaggedCommit {
    /// The id of the commit, in hexadecimal digits.
    pub(super) commit: Bytes,
    /// The tags on the way, the one nearest to the commit first.
    pub(super) tags: Vec<TagRecord>,
}

/// A commit that the repo does not have yet.
#[derive(Debug)]
pub(super) struct NewCommit {
    pub(super) id: ObjectId,
    /// The index of its branch in the plan.
    pub(super) branch: usize,
    pub(super) record: CommitRecord,
    pub(super) edits: CommitEdits,
}

impl NewCommit {
    /// The names by which git knows the contents of the edits, in their order.
    fn contents(&self) -> Vec<Bytes> {
        let parent = self.record.parents.first().cloned().unwrap_or_default();
        let put = |edit: &FileEdit| match edit {
            FileEdit::Put { put, .. } | FileEdit::Rename { put: Some(put), .. } => {
                content_name(put, &parent)
            }
            FileEdit::Delete { .. } | FileEdit::Rename { put: None, .. } => None,
        };
        self.edits.edits.iter().filter_map(put).collect()
    }
}

/// The name by which git knows a content: its id, or the path that the parent has it at.
fn content_name(file: &NewFile, parent: &Bytes) -> Option<Bytes> {
    match &file.source {
        FileSource::Blob(id) => Some(id.clone()),
        FileSource::Copy(path) => Some([parent.as_ref(), b":", path].concat().into()),
        FileSource::Inline(_) | FileSource::Submodule(_) => None,
    }
}

/// Starts reading; what goes wrong is the last item.
pub(super) fn start(
    repository: PathBuf,
    version: (u32, u32),
    plan: Arc<ImportPlan>,
    is_imported: impl Fn(&ObjectId) -> bool + Send + 'static,
) -> (mpsc::Receiver<Result<HistoryItem, Failure>>, JoinHandle<()>) {
    let (items, receiver) = mpsc::channel(WAITING_MAX);
    let thread = std::thread::spawn(move || {
        let outcome = HistoryReader::open(&repository, version, plan, is_imported, items.clone())
            .and_then(HistoryReader::read);
        if let Err(ReadEnd::Failed(failure)) = outcome {
            // Nobody is left to tell where the writer has given up.
            let _is_heard = items.blocking_send(Err(failure));
        }
    });
    (receiver, thread)
}

/// Why reading ended early.
enum ReadEnd {
    Failed(Failure),
    /// The writer has gone, and says why itself.
    NobodyReads,
}

impl From<Failure> for ReadEnd {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

struct HistoryReader<F> {
    export: FastExport,
    blobs: BlobReader,
    plan: Arc<ImportPlan>,
    is_imported: F,
    items: mpsc::Sender<Result<HistoryItem, Failure>>,
    commits: HashMap<u64, ObjectId>,
    /// By mark and by ref name.
    tags: HashMap<u64, TaggedCommit>,
    end: HistoryEnd,
}

impl<F: Fn(&ObjectId) -> bool> HistoryReader<F> {
    fn open(
        repository: &Path,
        version: (u32, u32),
        plan: Arc<ImportPlan>,
        is_imported: F,
        items: mpsc::Sender<Result<HistoryItem, Failure>>,
    ) -> Result<Self, ReadEnd> {
        Ok(Self {
            blobs: BlobReader::start(repository)?,
            export: FastExport::start(repository, version)?,
            plan,
            is_imported,
            items,
            commits: HashMap::new(),
            tags: HashMap::new(),
            end: HistoryEnd::default(),
        })
    }

    fn read(mut self) -> Result<(), ReadEnd> {
        while let Some(command) = self.export.next()? {
            match command {
                StreamCommand::Commit(commit) => self.commit(*commit)?,
                StreamCommand::Tag(tag) => self.tag(tag)?,
                // Refs are asked for beforehand; blobs are left out of this stream.
                _ => {}
            }
        }
        self.export.finish()?;
        let end = std::mem::take(&mut self.end);
        self.send(HistoryItem::End(end))
    }

    fn commit(&mut self, commit: CommitCommand) -> Result<(), ReadEnd> {
        let digits = commit.original_id.clone().unwrap_or_default();
        let id = ObjectId::parse(&digits)
            .ok_or_else(|| Failure::failed("git fast-export does not tell a commit's id"))?;
        if let Some(mark) = commit.mark {
            self.commits.insert(mark, id);
        }
        if (self.is_imported)(&id) {
            return Ok(());
        }
        let Some(&branch) = self.plan.owner.get(&id) else {
            return Err(Failure::failed(format!("the commit {id} is new"))
                .advice("the repository changed while it was read: run the same command again")
                .into());
        };
        if commit.author.iter().chain([&commit.committer]).any(is_odd) {
            self.end.odd_persons.push(format!("commit {id}"));
        }
        let object = self.object(&id)?;
        let names: BTreeSet<_> = object.headers.iter().map(|header| &header.name).collect();
        for name in names {
            *self.end.headers.entry(name.escape_ascii().to_string()).or_default() += 1;
        }
        let new = Self::new_commit(commit, id, branch, object)?;
        if new.record.is_cut {
            self.end.cut.push(id.to_string());
        }
        let contents = new.contents();
        self.send(HistoryItem::Commit(Box::new(new)))?;
        let items = &self.items;
        let mut is_heard = true;
        self.blobs
            .read(&contents, |part| {
                is_heard &= items.blocking_send(Ok(HistoryItem::Content(part))).is_ok();
                if is_heard { Ok(()) } else { Err(Failure::failed("the writer has gone")) }
            })
            .map_err(
                |failure| if is_heard { ReadEnd::Failed(failure) } else { ReadEnd::NobodyReads },
            )
    }

    /// The commit as the object that it is.
    fn object(&mut self, id: &ObjectId) -> Result<CommitObject, Failure> {
        let mut object = Vec::new();
        self.blobs.read(&[id.to_string().into()], |part| {
            if let ContentPart::Piece(piece) = part {
                object.extend_from_slice(&piece);
            }
            Ok(())
        })?;
        Ok(CommitObject::parse(&object))
    }

    fn new_commit(
        commit: CommitCommand,
        id: ObjectId,
        branch: usize,
        object: CommitObject,
    ) -> Result<NewCommit, Failure> {
        let record = CommitRecord {
            id: id.to_string().into(),
            is_cut: commit.from.is_none() && !object.parents.is_empty(),
            parents: object.parents,
            headers: object.headers,
            author: commit.author,
            committer: commit.committer,
            signatures: commit.signatures,
            encoding: commit.encoding,
            message: commit.message,
        };
        let edits = normalize(commit.changes)
            .map_err(|problem| Failure::failed(format!("the commit {id}: {problem}")))?;
        Ok(NewCommit { id, branch, record, edits })
    }

    fn id_of(&self, object: &ObjectName) -> Result<Bytes, Failure> {
        match object {
            ObjectName::Name(name) => Ok(name.clone()),
            ObjectName::Mark(mark) => match self.commits.get(mark) {
                Some(id) => Ok(id.to_string().into()),
                None => Err(Failure::failed(format!(
                    "git fast-export names a commit :{mark} that did not come before"
                ))),
            },
        }
    }

    fn tag(&mut self, tag: TagCommand) -> Result<(), ReadEnd> {
        if tag.tagger.as_ref().is_some_and(is_odd) {
            self.end.odd_persons.push(format!("tag {}", tag.name.escape_ascii()));
        }
        let inner = match &tag.from {
            ObjectName::Mark(mark) => self.tags.get(mark).cloned(),
            ObjectName::Name(_) => None,
        };
        let mut tagged = match inner {
            Some(tagged) => tagged,
            None => TaggedCommit { commit: self.id_of(&tag.from)?, tags: Vec::new() },
        };
        tagged.tags.push(TagRecord {
            id: tag.original_id.unwrap_or_default(),
            name: tag.name.clone(),
            tagger: tag.tagger,
            message: tag.message,
        });
        if let Some(mark) = tag.mark {
            self.tags.insert(mark, tagged.clone());
        }
        let ref_name = if tag.name.starts_with(b"refs/") {
            tag.name
        } else {
            [b"refs/tags/", tag.name.as_ref()].concat().into()
        };
        self.end.tagged.insert(ref_name, tagged);
        Ok(())
    }

    fn send(&self, item: HistoryItem) -> Result<(), ReadEnd> {
        self.items.blocking_send(Ok(item)).map_err(|_| ReadEnd::NobodyReads)
    }
}

fn is_odd(person: &Bytes) -> bool {
    readable_person(person) != person.as_ref()
}

/// A running `git fast-export`.
struct FastExport {
    child: Child,
    reader: FastExportReader<BufReader<std::process::ChildStdout>>,
    complaint: Option<JoinHandle<String>>,
}

impl FastExport {
    fn start(repository: &Path, version: (u32, u32)) -> Result<Self, Failure> {
        let mut command = git_process::git(repository);
        command.args([
            "fast-export",
            "--all",
            "--no-data",
            "--show-original-ids",
            "--mark-tags",
            "--signed-tags=verbatim",
            "--tag-of-filtered-object=drop",
            "--reencode=no",
            "--use-done-feature",
            "-M",
        ]);
        if version >= SIGNED_COMMITS {
            command.arg("--signed-commits=verbatim");
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| git_process::cannot_run(&error))?;
        let (Some(stream), Some(complaints)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Failure::failed("git fast-export has no output"));
        };
        let complaint = Some(std::thread::spawn(move || first_of(complaints)));
        let stream = BufReader::with_capacity(1 << 16, stream);
        Ok(Self {
            child,
            reader: FastExportReader::new(stream, FastExportLimits::default()),
            complaint,
        })
    }

    fn next(&mut self) -> Result<Option<StreamCommand>, Failure> {
        match self.reader.read() {
            Ok(command) => Ok(command),
            Err(error) => {
                // It may wait for a reader. Where it gave up itself, what it says
                // about that is more than how the stream ends.
                let _has_ended = self.child.kill();
                let complaint = self.complaint();
                Err(Failure::failed(if complaint.is_empty() {
                    format!("the stream of git fast-export: {error}")
                } else {
                    format!("git fast-export refused: {complaint}")
                }))
            }
        }
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let status = self.child.wait().map_err(|error| git_process::cannot_run(&error))?;
        let complaint = self.complaint();
        if status.success() {
            return Ok(());
        }
        Err(Failure::failed(format!("git fast-export refused: {complaint}")))
    }

    fn complaint(&mut self) -> String {
        let said = self.complaint.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        said.trim().to_owned()
    }
}

impl Drop for FastExport {
    fn drop(&mut self) {
        // Either it has ended, or nobody reads what it still says.
        let _has_ended = self.child.kill();
        let _is_reaped = self.child.wait();
    }
}

/// The beginning of what is said; the rest is read too, so that nobody waits.
fn first_of(mut source: impl Read) -> String {
    let mut said = Vec::new();
    let mut piece = [0; 1_024];
    while let Ok(length @ 1..) = source.read(&mut piece) {
        let room = COMPLAINT_MAX_BYTES.saturating_sub(said.len());
        said.extend_from_slice(&piece[..length.min(room)]);
    }
    String::from_utf8_lossy(&said).into_owned()
}
