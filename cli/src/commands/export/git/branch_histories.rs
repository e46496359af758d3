//! The branches of a repo as lines of commits: each read from its beginning, and
//! left waiting where a merge needs a commit of another one first.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use indicatif::ProgressBar;
use tonic::{Status, Streaming};
use vdom_client::{BranchSpec, Client, is_resume_point};
use vdom_git::branch_name::REFS_BRANCH;
use vdom_git::command::{CommitCommand, FileChange, ObjectName};
use vdom_git::identity::format_person;
use vdom_git::object_id::ObjectId;
use vdom_git::record::{AHEAD_METADATA, CommitRecord};
use vdom_proto::v1::change_event::Type;
use vdom_proto::v1::{Branch as BranchInfo, ChangeEvent, SubscribeRequest};

use super::change_origin::ChangeOrigin;
use super::commit_builder::{Attributed, CommitBuilder};
use super::git_stream::GitStream;
use super::tree_shape::TreeShape;
use crate::commands::file_problems::FileProblems;
use crate::commands::import::git::imported_state;
use crate::exit::{Exit, Failure};

/// A server says at least once a second how far it is.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// So many lines keep their streams while they wait for others; each has a window of events.
const PAUSED_MAX: usize = 32;

/// The last commit of a branch.
#[derive(Clone, Copy, Debug)]
pub(super) struct BranchTip {
    /// `None`: it has no commit.
    pub(super) mark: Option<u64>,
    /// The commit is one that came from git.
    pub(super) is_from_git: bool,
}

/// The history of a repo.
pub(super) struct RepoHistory {
    client: Client,
    histories: Vec<BranchHistory>,
    /// Lines that may go on.
    ready: Vec<usize>,
    /// Lines that begin in a line, by that line's branch and the revision.
    children: HashMap<String, BTreeMap<u64, Vec<usize>>>,
    /// Lines that wait for a commit of git.
    waiting: HashMap<Bytes, Vec<usize>>,
    tips: BTreeMap<String, BranchTip>,
    /// Lines whose events wait for them, the longest waiting first.
    paused: VecDeque<usize>,
    shape: TreeShape,
    cut: u64,
}

/// A branch that is being read.
struct BranchHistory {
    branch: BranchSpec,
    epoch: u64,
    head: u64,
    from_revision: u64,
    /// Up to here everything is written.
    revision: u64,
    tip: BranchTip,
    attributed: Attributed,
    /// Changes that belong to the next commit.
    ahead: Vec<FileChange>,
    /// A commit whose parents are not all written yet.
    held: Option<PendingCommit>,
    /// What comes after that, as far as the server still waits for a reader.
    events: Option<Streaming<ChangeEvent>>,
}

struct PendingCommit {
    commit: CommitCommand,
    parents: Vec<Bytes>,
    /// Headers that the stream does not carry.
    headers: BTreeSet<Bytes>,
    /// Its parents may be on no branch.
    is_cut: bool,
    revision: u64,
    is_from_git: bool,
}

/// Why a line is not read on now.
enum ReadPause {
    AtHead,
    Waits(Bytes),
}

impl RepoHistory {
    /// All branches but that of the refs.
    pub(super) fn new(client: Client, repo: &str, branches: Vec<BranchInfo>) -> Self {
        let mut history = Self {
            client,
            histories: Vec::new(),
            ready: Vec::new(),
            children: HashMap::new(),
            waiting: HashMap::new(),
            tips: BTreeMap::new(),
            paused: VecDeque::new(),
            shape: TreeShape::default(),
            cut: 0,
        };
        let branches = branches.into_iter().filter(|branch| branch.name != REFS_BRANCH);
        for info in branches {
            let index = history.histories.len();
            if info.from_branch.is_empty() || info.from_revision == 0 {
                history.ready.push(index);
            } else {
                let of_branch = history.children.entry(info.from_branch.clone()).or_default();
                of_branch.entry(info.from_revision).or_default().push(index);
            }
            history.histories.push(BranchHistory::new(repo, info));
        }
        history
    }

    /// The last commit of each branch, once all is written.
    pub(super) fn tips(&self) -> &BTreeMap<String, BranchTip> {
        &self.tips
    }

    /// The files that no commit could have, once all is written.
    pub(super) fn problems(&self) -> FileProblems {
        self.shape.problems()
    }

    /// Writes all commits, each after its parents.
    pub(super) async fn write<W: Write>(
        &mut self,
        git: &mut GitStream<W>,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        loop {
            while let Some(index) = self.ready.pop() {
                match self.read_on(index, git, bar).await? {
                    ReadPause::Waits(parent) => self.waiting.entry(parent).or_default().push(index),
                    ReadPause::AtHead => {
                        let history = &self.histories[index];
                        self.tips.insert(history.branch.branch.clone(), history.tip);
                    }
                }
            }
            if !self.release_cut(git).await? {
                break;
            }
        }
        if let Some((parent, histories)) = self.waiting.iter().next() {
            let branch = histories.first().map(|index| self.histories[*index].branch.to_string());
            return Err(Failure::failed(format!(
                "{} has a commit whose parent {} is on no branch",
                branch.unwrap_or_default(),
                parent.escape_ascii()
            ))
            .advice("run the import again to bring in what is missing"));
        }
        if let Some((parent, histories)) =
            self.children.iter().find(|(_, histories)| !histories.is_empty())
        {
            let first = histories.values().flatten().next();
            let branch = first.map(|index| self.histories[*index].branch.to_string());
            return Err(Failure::failed(format!(
                "{} begins in {parent}, which is no longer there",
                branch.unwrap_or_default()
            ))
            .advice("`vdom export DIR` writes the files of one branch"));
        }
        Ok(())
    }

    /// Lets commits go on whose parents are on no branch, because their repository was
    /// shallow; false where there are none.
    async fn release_cut<W: Write>(&mut self, git: &GitStream<W>) -> Result<bool, Failure> {
        let is_cut =
            |index: &usize| self.histories[*index].held.as_ref().is_some_and(|held| held.is_cut);
        if !self.waiting.values().flatten().any(is_cut) {
            return Ok(false);
        }
        let repo = self.histories.first().map(|history| history.branch.repo.clone());
        let known =
            imported_state::find(&self.client, &repo.unwrap_or_default(), &ProgressBar::hidden())
                .await?
                .commits;
        let is_known = |parent: &Bytes| {
            git.mark_of(parent).is_some()
                || ObjectId::parse(parent).is_some_and(|id| known.contains_key(&id))
        };
        let mut released = Vec::new();
        for waiting in self.waiting.values_mut() {
            for index in waiting.extract_if(.., |index| {
                let held = self.histories[*index].held.as_ref();
                held.is_some_and(|held| held.is_cut && !held.parents.iter().all(is_known))
            }) {
                released.push(index);
            }
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
        for index in &released {
            if let Some(held) = &mut self.histories[*index].held {
                held.parents.retain(is_known);
                self.cut += 1;
            }
        }
        let has_any = !released.is_empty();
        self.ready.extend(released);
        Ok(has_any)
    }

    /// How many commits have fewer parents than in git, because those are on no branch.
    pub(super) fn cut(&self) -> u64 {
        self.cut
    }

    async fn read_on<W: Write>(
        &mut self,
        index: usize,
        git: &mut GitStream<W>,
        bar: &ProgressBar,
    ) -> Result<ReadPause, Failure> {
        if let Some(held) = self.histories[index].held.take()
            && let Some(parent) = self.commit(index, held, git, bar)?
        {
            return Ok(ReadPause::Waits(parent));
        }
        let kept = self.histories[index].events.take();
        self.paused.retain(|other| *other != index);
        if self.histories[index].is_at_head() {
            return Ok(ReadPause::AtHead);
        }
        let mut events = match kept {
            Some(events) => events,
            None => self.histories[index].subscribe(&self.client).await?,
        };
        let mut set = CommitBuilder::default();
        let mut asked_anew_at = None;
        loop {
            let event = match next(&mut events).await {
                Ok(event) => event,
                // The server does not wait for ever for a line that waits, or a slow reader.
                Err(failure) if failure.exit == Exit::Unavailable => {
                    let at = Some(self.histories[index].revision);
                    if std::mem::replace(&mut asked_anew_at, at) == at {
                        return Err(failure);
                    }
                    set = CommitBuilder::default();
                    events = self.histories[index].subscribe(&self.client).await?;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let history = &mut self.histories[index];
            if event.r#type() == Type::Progress {
                continue;
            }
            let last_revision = last_revision(&event);
            let origin = ChangeOrigin {
                client: &self.client,
                branch: &history.branch,
                epoch: history.epoch,
            };
            set.add(&event, last_revision, &origin, &history.attributed, git).await?;
            if !is_resume_point(&event) {
                continue;
            }
            let ended = std::mem::take(&mut set);
            let record = ended.record.clone();
            let is_ahead = event.metadata.contains_key(AHEAD_METADATA);
            let changes = ended
                .finish(
                    last_revision,
                    record.is_some() || is_ahead,
                    &origin,
                    &mut history.attributed,
                    &mut self.shape,
                    git,
                )
                .await?;
            history.ahead.extend(changes);
            if is_ahead {
                history.revision = last_revision;
            } else {
                let held = history.held(record, &event, last_revision);
                if let Some(parent) = self.commit(index, held, git, bar)? {
                    self.pause(index, events);
                    return Ok(ReadPause::Waits(parent));
                }
            }
            if self.histories[index].is_at_head() {
                return Ok(ReadPause::AtHead);
            }
        }
    }

    /// Keeps what a line reads on from, unless too many others do so.
    fn pause(&mut self, index: usize, events: Streaming<ChangeEvent>) {
        if self.paused.len() >= PAUSED_MAX
            && let Some(oldest) = self.paused.pop_front()
        {
            self.histories[oldest].events = None;
        }
        self.paused.push_back(index);
        self.histories[index].events = Some(events);
    }

    /// Writes a commit; where a parent is not written yet, holds it back and
    /// answers which one.
    fn commit<W: Write>(
        &mut self,
        index: usize,
        mut held: PendingCommit,
        git: &mut GitStream<W>,
        bar: &ProgressBar,
    ) -> Result<Option<Bytes>, Failure> {
        let history = &mut self.histories[index];
        let mut marks = Vec::new();
        for parent in &held.parents {
            let Some(mark) = git.mark_of(parent) else {
                let parent = parent.clone();
                history.held = Some(held);
                return Ok(Some(parent));
            };
            marks.push(mark);
        }
        // The files of a commit differ from those of the one before it here.
        held.commit.from = history.tip.mark.or(marks.first().copied()).map(ObjectName::Mark);
        if history.tip.mark.is_none() && !marks.is_empty() {
            // Its parents came later, to another one: it has all its files itself.
            held.commit.changes.insert(0, FileChange::DeleteAll);
        }
        // All but the first, which that one is; another may be the same once more.
        held.commit.merges = marks.into_iter().skip(1).map(ObjectName::Mark).collect();
        let id = held.commit.original_id.clone();
        git.lost_headers(held.headers);
        let mark = git.commit(held.commit)?;
        history.tip = BranchTip { mark: Some(mark), is_from_git: held.is_from_git };
        history.revision = held.revision;
        bar.inc(1);
        if let Some(id) = id
            && let Some(waiting) = self.waiting.remove(&id)
        {
            self.ready.extend(waiting);
        }
        self.begin_children(index);
        Ok(None)
    }

    /// Begins the lines that leave this one where it is now.
    fn begin_children(&mut self, index: usize) {
        let (name, revision, tip, attributed) = {
            let history = &self.histories[index];
            (&history.branch.branch, history.revision, history.tip, history.attributed.clone())
        };
        let Some(children) = self.children.get_mut(name) else { return };
        let later = children.split_off(&(revision + 1));
        let begun = std::mem::replace(children, later);
        for child in begun.into_values().flatten() {
            let history = &mut self.histories[child];
            history.revision = history.from_revision;
            history.tip = tip;
            history.attributed = attributed.clone();
            self.ready.push(child);
        }
    }
}

impl BranchHistory {
    fn new(repo: &str, info: BranchInfo) -> Self {
        Self {
            branch: BranchSpec { repo: repo.to_owned(), branch: info.name },
            epoch: info.epoch,
            head: info.revision,
            from_revision: info.from_revision,
            revision: 0,
            tip: BranchTip { mark: None, is_from_git: true },
            attributed: Attributed::default(),
            ahead: Vec::new(),
            held: None,
            events: None,
        }
    }

    fn is_at_head(&self) -> bool {
        self.revision >= self.head
    }

    async fn subscribe(&self, client: &Client) -> Result<Streaming<ChangeEvent>, Failure> {
        let request = SubscribeRequest {
            realm: client.realm(),
            repo: self.branch.repo.clone(),
            branch: self.branch.branch.clone(),
            from_epoch: self.epoch,
            from_revision: self.revision,
            include_diffs: true,
            ..SubscribeRequest::default()
        };
        let mut raw = client.raw();
        Ok(client.in_time(raw.subscribe_changes(request)).await?.into_inner())
    }

    /// The commit for the change set that ends with `last`.
    fn held(
        &mut self,
        record: Option<CommitRecord>,
        last: &ChangeEvent,
        revision: u64,
    ) -> PendingCommit {
        let changes = std::mem::take(&mut self.ahead);
        match record {
            Some(record) => PendingCommit {
                is_cut: record.is_cut,
                headers: record.headers.into_iter().map(|header| header.name).collect(),
                parents: record.parents,
                commit: CommitCommand {
                    original_id: Some(record.id),
                    author: record.author,
                    committer: record.committer,
                    signatures: record.signatures,
                    encoding: record.encoding,
                    message: record.message,
                    changes,
                    ..CommitCommand::default()
                },
                revision,
                is_from_git: true,
            },
            None => PendingCommit {
                headers: BTreeSet::new(),
                is_cut: false,
                parents: Vec::new(),
                commit: CommitCommand { changes, ..made_up(last, revision) },
                revision,
                is_from_git: false,
            },
        }
    }
}

/// A commit for changes that were made here.
fn made_up(last: &ChangeEvent, revision: u64) -> CommitCommand {
    let realm = if last.realm.is_empty() { "default" } else { &last.realm };
    let who = format_person(&last.author, realm);
    let seconds = |time: Option<&prost_types::Timestamp>| time.map_or(0, |time| time.seconds);
    let written = seconds(last.timestamp.as_ref());
    let authored = last.authored_at.as_ref().map_or(written, |time| time.seconds);
    // git counts from 1970 on.
    let history = |seconds: i64| Bytes::from(format!("{who} {} +0000", seconds.max(0)));
    let message =
        if last.message.is_empty() { format!("Revision {revision}") } else { last.message.clone() };
    CommitCommand {
        author: Some(history(authored)),
        committer: history(written),
        message: message.into(),
        ..CommitCommand::default()
    }
}

async fn next(events: &mut Streaming<ChangeEvent>) -> Result<ChangeEvent, Failure> {
    match tokio::time::timeout(SILENCE_MAX, events.message()).await {
        Ok(Ok(Some(event))) => Ok(event),
        Ok(Ok(None)) => Err(Status::unavailable("the server ended the stream").into()),
        Ok(Err(status)) => Err(Failure::from(status)),
        Err(_) => Err(Failure::new(Exit::Unavailable, "the server has gone silent")),
    }
}

/// Where the change set of an event ends.
fn last_revision(event: &ChangeEvent) -> u64 {
    let left = event
        .change_set
        .as_ref()
        .map_or(0, |position| position.size.saturating_sub(position.index + 1));
    event.revision + u64::from(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_without_a_message_is_named_by_its_revision() {
        let commit = made_up(&ChangeEvent { author: "ann".into(), ..ChangeEvent::default() }, 7);
        assert_eq!(commit.message.as_ref(), b"Revision 7");
        assert_eq!(commit.committer.as_ref(), b"ann <ann@default> 0 +0000");
    }

    #[test]
    fn a_change_of_a_time_before_git_s_is_dated_to_its_first() {
        let authored_at = Some(prost_types::Timestamp { seconds: -5, nanos: 0 });
        let change = ChangeEvent { author: "ann".into(), authored_at, ..ChangeEvent::default() };
        let author = made_up(&change, 7).author.expect("an author");
        assert_eq!(author.as_ref(), b"ann <ann@default> 0 +0000");
    }
}
