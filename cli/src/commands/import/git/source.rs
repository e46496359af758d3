//! Reads a repository's history on a thread of its own: commits from
//! `git fast-export`, contents from `git cat-file`.

use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::mpsc;
use vdom::git::fast_export::{Limits, Reader};
use vdom::git::record::{CommitRecord, TagRecord};
use vdom::git::stream::{Command, Commit, Object, Tag};

use super::blobs::{Blobs, Part};
use super::fold::{Edit, Edits, Put, Source, fold};
use super::graph::{ObjectId, Plan};
use super::process;
use crate::exit::Failure;

/// How many items wait for the writer; contents come in pieces of 1 MiB.
const WAITING_MAX: usize = 64;
/// How much of what git complains about is kept.
const COMPLAINT_MAX_BYTES: usize = 4 << 10;
/// The first version of git that can tell the signatures of commits.
const SIGNED_COMMITS: (u32, u32) = (2, 50);

/// What the history brings next.
#[derive(Debug)]
pub(super) enum Item {
    /// A new commit. The contents of its edits follow, in their order.
    Commit(Box<NewCommit>),
    /// A part of a content.
    Content(Part),
    /// The end of it all: annotated tags by the name of their ref.
    End(HashMap<Bytes, Tagged>),
}

/// What a tag's ref leads to.
#[derive(Clone, Debug, Default)]
pub(super) struct Tagged {
    /// The commit's id.
    pub(super) commit: Bytes,
    /// The tags on the way, the one nearest to the commit first.
    pub(super) tags: Vec<TagRecord>,
}

/// A commit to write.
#[derive(Debug)]
pub(super) struct NewCommit {
    pub(super) id: ObjectId,
    /// The place of its branch in the plan.
    pub(super) branch: usize,
    pub(super) record: CommitRecord,
    pub(super) edits: Edits,
}

impl NewCommit {
    /// The names by which git knows the contents of the edits, in their order.
    fn contents(&self) -> Vec<Bytes> {
        let parent = self.record.parents.first().cloned().unwrap_or_default();
        let put = |edit: &Edit| match edit {
            Edit::Put { put, .. } | Edit::Rename { put: Some(put), .. } => put.name(&parent),
            Edit::Delete { .. } | Edit::Rename { put: None, .. } => None,
        };
        self.edits.edits.iter().filter_map(put).collect()
    }
}

impl Put {
    fn name(&self, parent: &Bytes) -> Option<Bytes> {
        match &self.source {
            Source::Blob(id) => Some(id.clone()),
            Source::Copy(path) => Some([parent.as_ref(), b":", path].concat().into()),
            Source::Inline(_) | Source::Submodule(_) => None,
        }
    }
}

/// Starts reading; what goes wrong is the last item.
pub(super) fn start(
    repository: PathBuf,
    version: (u32, u32),
    plan: Arc<Plan>,
    is_imported: impl Fn(&ObjectId) -> bool + Send + 'static,
) -> (mpsc::Receiver<Result<Item, Failure>>, JoinHandle<()>) {
    let (items, receiver) = mpsc::channel(WAITING_MAX);
    let thread = std::thread::spawn(move || {
        let outcome = History::open(&repository, version, plan, is_imported, items.clone())
            .and_then(History::read);
        if let Err(Ended::Failed(failure)) = outcome {
            // Nobody is left to tell where the writer has given up.
            let _is_heard = items.blocking_send(Err(failure));
        }
    });
    (receiver, thread)
}

/// Why reading ended early.
enum Ended {
    Failed(Failure),
    /// The writer has gone, and says why itself.
    NobodyReads,
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

struct History<F> {
    export: Export,
    blobs: Blobs,
    plan: Arc<Plan>,
    is_imported: F,
    items: mpsc::Sender<Result<Item, Failure>>,
    commits: HashMap<u64, ObjectId>,
    /// By mark and by ref name.
    tags: HashMap<u64, Tagged>,
    tagged: HashMap<Bytes, Tagged>,
}

impl<F: Fn(&ObjectId) -> bool> History<F> {
    fn open(
        repository: &Path,
        version: (u32, u32),
        plan: Arc<Plan>,
        is_imported: F,
        items: mpsc::Sender<Result<Item, Failure>>,
    ) -> Result<Self, Ended> {
        Ok(Self {
            blobs: Blobs::start(repository)?,
            export: Export::start(repository, version)?,
            plan,
            is_imported,
            items,
            commits: HashMap::new(),
            tags: HashMap::new(),
            tagged: HashMap::new(),
        })
    }

    fn read(mut self) -> Result<(), Ended> {
        while let Some(command) = self.export.next()? {
            match command {
                Command::Commit(commit) => self.commit(*commit)?,
                Command::Tag(tag) => self.tag(tag)?,
                // Refs are asked for beforehand; blobs are left out of this stream.
                _ => {}
            }
        }
        self.export.finish()?;
        let tagged = std::mem::take(&mut self.tagged);
        self.send(Item::End(tagged))
    }

    fn commit(&mut self, commit: Commit) -> Result<(), Ended> {
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
        let new = self.new_commit(commit, id, branch)?;
        let contents = new.contents();
        self.send(Item::Commit(Box::new(new)))?;
        let items = &self.items;
        let mut is_heard = true;
        self.blobs
            .read(&contents, |part| {
                is_heard &= items.blocking_send(Ok(Item::Content(part))).is_ok();
                if is_heard { Ok(()) } else { Err(Failure::failed("the writer has gone")) }
            })
            .map_err(|failure| if is_heard { Ended::Failed(failure) } else { Ended::NobodyReads })
    }

    fn new_commit(
        &self,
        commit: Commit,
        id: ObjectId,
        branch: usize,
    ) -> Result<NewCommit, Failure> {
        let parents = commit.from.iter().chain(&commit.merges).map(|parent| self.id_of(parent));
        let record = CommitRecord {
            id: id.to_string().into(),
            parents: parents.collect::<Result<_, _>>()?,
            author: commit.author,
            committer: commit.committer,
            signatures: commit.signatures,
            encoding: commit.encoding,
            message: commit.message,
        };
        let edits = fold(commit.changes)
            .map_err(|problem| Failure::failed(format!("the commit {id}: {problem}")))?;
        Ok(NewCommit { id, branch, record, edits })
    }

    fn id_of(&self, object: &Object) -> Result<Bytes, Failure> {
        match object {
            Object::Name(name) => Ok(name.clone()),
            Object::Mark(mark) => match self.commits.get(mark) {
                Some(id) => Ok(id.to_string().into()),
                None => Err(Failure::failed(format!(
                    "git fast-export names a commit :{mark} that did not come before"
                ))),
            },
        }
    }

    fn tag(&mut self, tag: Tag) -> Result<(), Ended> {
        let inner = match &tag.from {
            Object::Mark(mark) => self.tags.get(mark).cloned(),
            Object::Name(_) => None,
        };
        let mut tagged = match inner {
            Some(tagged) => tagged,
            None => Tagged { commit: self.id_of(&tag.from)?, tags: Vec::new() },
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
        self.tagged.insert(ref_name, tagged);
        Ok(())
    }

    fn send(&self, item: Item) -> Result<(), Ended> {
        self.items.blocking_send(Ok(item)).map_err(|_| Ended::NobodyReads)
    }
}

/// A running `git fast-export`.
struct Export {
    child: Child,
    reader: Reader<BufReader<std::process::ChildStdout>>,
    complaint: Option<JoinHandle<String>>,
}

impl Export {
    fn start(repository: &Path, version: (u32, u32)) -> Result<Self, Failure> {
        let mut command = process::git(repository);
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
        let mut child = command.spawn().map_err(|error| process::cannot_run(&error))?;
        let (Some(stream), Some(complaints)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Failure::failed("git fast-export has no output"));
        };
        let complaint = Some(std::thread::spawn(move || first_of(complaints)));
        let stream = BufReader::with_capacity(1 << 16, stream);
        Ok(Self { child, reader: Reader::new(stream, Limits::default()), complaint })
    }

    fn next(&mut self) -> Result<Option<Command>, Failure> {
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
        let status = self.child.wait().map_err(|error| process::cannot_run(&error))?;
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

impl Drop for Export {
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
