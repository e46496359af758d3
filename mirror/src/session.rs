//! The mirror at work: both sides compared once, then followed.

mod live;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;
use vdom_core::{ErrorCode, NodeId};

use crate::branch_overlay::BranchOverlay;
use crate::branch_side::{BranchSide, BranchTree, RemoteEntry};
use crate::deletion_guard::{DeletionGuard, ManyDeletions};
use crate::error::{Error, ErrorKind, Result};
use crate::local_directory::{DirectoryScan, LocalDirectory, Watcher};
use crate::local_path::{LocalPath, shown};
use crate::log_position::LogPosition;
use crate::report::EventReporter;
use crate::state::{KnownNode, MirrorState};

/// How many nodes are read at a time.
const READ_AT_ONCE: usize = 16;
/// How many nodes are read before they are written to the disk.
const READ_BEFORE_WRITING: usize = 1_000;
const RETRY_DELAY_MIN: Duration = Duration::from_millis(200);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);
/// The state is written again only after so many times what writing it took.
const SAVE_RARITY: u32 = 20;

/// How a run of a mirror ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both sides are the same.
    InStep,
    /// They are but for conflicts, which wait for a person.
    ConflictsLeft,
    /// They are but for files that cannot be mirrored.
    ProblemsLeft,
    /// It was told to stop.
    Stopped,
}

/// A mirror at work: both sides, what they agreed on last, and what is to be done.
pub(crate) struct MirrorSession<'a> {
    pub(crate) directory: LocalDirectory,
    pub(crate) side: BranchSide,
    pub(crate) state: MirrorState,
    pub(crate) overlay: BranchOverlay,
    pub(crate) report: EventReporter<'a>,
    /// Merges that the branch refused: with which version of which node.
    pub(crate) refused: BTreeMap<LocalPath, (NodeId, u64)>,
    pub(crate) deletions: DeletionGuard,
    /// What could not be done yet.
    pub(crate) unsettled: BTreeSet<LocalPath>,
    /// Nodes to be read, and where the branch is known to be at least.
    pub(crate) unread: BTreeSet<NodeId>,
    /// Nodes whose content found no room, by the name under which that was told.
    unstored: BTreeMap<NodeId, String>,
    pub(crate) unread_since: LogPosition,
    /// How far the branch was after the last write.
    pub(crate) written: LogPosition,
    watcher: Watcher,
    /// Nothing is heard of the branch.
    is_cut_off: bool,
    /// When to try again what could not be done.
    retry: Option<(Instant, Duration)>,
    save_after: Instant,
}

impl<'a> MirrorSession<'a> {
    pub(crate) fn new(
        directory: LocalDirectory,
        side: BranchSide,
        state: MirrorState,
        report: EventReporter<'a>,
    ) -> Result<Self> {
        let watcher = Watcher::new(directory.root())?;
        Ok(Self {
            directory,
            side,
            state,
            overlay: BranchOverlay::default(),
            report,
            refused: BTreeMap::new(),
            deletions: DeletionGuard::new(ManyDeletions::Hold),
            unsettled: BTreeSet::new(),
            unread: BTreeSet::new(),
            unstored: BTreeMap::new(),
            unread_since: LogPosition::default(),
            written: LogPosition::default(),
            watcher,
            is_cut_off: false,
            retry: None,
            save_after: Instant::now(),
        })
    }

    /// Brings both sides in step; then, but for `once`, keeps them so.
    pub(crate) async fn run(&mut self, once: bool) -> Result<Outcome> {
        if once {
            self.reconcile().await?;
            self.ask_once().await?;
            self.in_step(true)?;
            return Ok(self.outcome());
        }
        let mut is_first = true;
        loop {
            let mut delay = RETRY_DELAY_MIN;
            while let Err(error) = self.reconcile().await {
                self.tolerate(error)?;
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(RETRY_DELAY_MAX);
            }
            self.retry = None;
            self.report.back()?;
            self.in_step(is_first)?;
            is_first = false;
            self.follow().await?;
        }
    }

    /// Writes down what is known.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.report.flush()?;
        self.state.save(&self.directory.state_dir().state_file(), now_ns())
    }

    /// How a single run ends.
    fn outcome(&self) -> Outcome {
        if !self.state.conflicts.is_empty() {
            Outcome::ConflictsLeft
        } else if self.report.problems() > 0 || !self.deletions.held.is_empty() {
            Outcome::ProblemsLeft
        } else {
            Outcome::InStep
        }
    }

    /// Compares everything on both sides.
    async fn reconcile(&mut self) -> Result<()> {
        let tree = self.read_tree().await?;
        let at = tree.at;
        let conflicts: Vec<_> = self.state.conflicts.keys().cloned().collect();
        let unread = self.overlay_tree(tree)?;
        let mut dirty = self.overlay.paths();
        for some in unread.chunks(READ_BEFORE_WRITING) {
            self.unread.extend(some);
            self.unread_since = self.unread_since.max(at);
            let read = self.read().await?;
            if unread.len() > READ_BEFORE_WRITING {
                self.sync(read).await?;
            } else {
                dirty.extend(read);
            }
        }
        (self.state.epoch, self.state.revision) = (at.epoch, at.revision);
        dirty.extend(self.scan()?);
        dirty.extend(conflicts.iter().cloned());
        self.sync(dirty).await?;
        for path in conflicts.iter().filter(|path| self.state.conflicts.contains_key(path)) {
            self.report.conflict(path)?;
        }
        Ok(())
    }

    /// Reads which nodes there are, and forgets what a restored branch has lost.
    async fn read_tree(&mut self) -> Result<BranchTree> {
        let since = LogPosition { epoch: self.state.epoch, revision: self.state.revision };
        let tree = match self.side.tree(since).await {
            Err(error) if error.code() == Some(ErrorCode::EpochChanged) => {
                self.side.tree(LogPosition::default()).await?
            }
            tree => tree?,
        };
        if tree.at == LogPosition::default() && self.state.len() > 0 {
            let message = format!("{} is gone", self.side.branch());
            return Err(Error::new(ErrorKind::NotFound, message).advice(
                "no file was touched; to make the branch anew from this directory, remove its \
                 folder .vdom and start again",
            ));
        }
        if since.epoch != 0 && tree.at.epoch != since.epoch {
            let standing: HashMap<_, _> =
                tree.nodes.iter().map(|(node, _)| (node.id, node)).collect();
            let before = self.state.len();
            self.state.retain(|agreed| {
                standing.get(&agreed.node.id).is_some_and(|node| includes(node, &agreed.node))
            });
            let lost = before - self.state.len();
            self.report.note(&format!(
                "the branch was restored; {lost} of {before} files are compared anew"
            ))?;
        }
        Ok(tree)
    }

    /// Notes what is different in the branch; answers with what has to be read.
    fn overlay_tree(&mut self, tree: BranchTree) -> Result<Vec<NodeId>> {
        self.overlay = BranchOverlay::default();
        let mut unread = Vec::new();
        let mut there = BTreeSet::new();
        for (node, why_not) in tree.nodes {
            let path = match (self.side.local_path(&node), &why_not) {
                (Some(Ok(path)), _) => path,
                (Some(Err(error)), None) => {
                    self.report.problem(&node.path, &error)?;
                    continue;
                }
                (Some(Err(_)), Some(_)) | (None, _) => continue,
            };
            let agreed = self.state.get(&path).map(|agreed| &agreed.node);
            let is_known = agreed.is_some_and(|agreed| is_same(agreed, &node));
            match why_not {
                Some(why) => {
                    self.overlay.set(path.clone(), RemoteEntry::Other { id: node.id, why });
                }
                None if is_known => {}
                None => unread.push(node.id),
            }
            there.insert(path);
        }
        let gone: Vec<_> = self.state.iter().map(|(path, _)| path).cloned().collect();
        for path in gone.iter().filter(|path| !there.contains(*path)) {
            self.overlay.gone(&self.state, path);
        }
        Ok(unread)
    }

    /// Reads what has to be read; answers where something changed.
    pub(crate) async fn read(&mut self) -> Result<BTreeSet<LocalPath>> {
        let (side, directory, since) = (&self.side, &self.directory, self.unread_since);
        let ids: Vec<_> = self.unread.iter().copied().collect();
        let read: Vec<_> = stream::iter(ids)
            .map(async |id| {
                Ok::<_, Error>((id, side.fetch(directory.state_dir(), id, since).await?))
            })
            .buffer_unordered(READ_AT_ONCE)
            .try_collect()
            .await?;
        self.unread.clear();
        let mut dirty = BTreeSet::new();
        for (id, found) in read {
            if let Some(told) = self.unstored.remove(&id) {
                self.report.no_problem_at(&told);
            }
            match found {
                Some((node, Ok(standing))) => self.apply_fetched(&node, standing, &mut dirty)?,
                Some((node, Err(error))) => {
                    let told = match self.side.local_path(&node) {
                        Some(Ok(path)) => path.shown(),
                        _ => node.path.clone(),
                    };
                    self.report.problem(&told, &error)?;
                    self.unstored.insert(id, told);
                }
                None => dirty.extend(self.overlay.leave(&self.state, id, None)),
            }
        }
        Ok(dirty)
    }

    fn apply_fetched(
        &mut self,
        node: &KnownNode,
        standing: RemoteEntry,
        dirty: &mut BTreeSet<LocalPath>,
    ) -> Result<()> {
        match self.side.local_path(node) {
            Some(Ok(path)) => {
                dirty.extend(self.overlay.put(&self.state, &path, standing));
                dirty.insert(path);
            }
            other => {
                dirty.extend(self.overlay.leave(&self.state, node.id, None));
                if let (Some(Err(error)), RemoteEntry::File(_)) = (other, standing) {
                    self.report.problem(&node.path, &error)?;
                }
            }
        }
        Ok(())
    }

    /// Looks at every file; answers where something may have changed.
    fn scan(&mut self) -> Result<BTreeSet<LocalPath>> {
        let scan = loop {
            let known: BTreeSet<_> = self.overlay.paths();
            let agreed = self.state.iter().map(|(path, _)| path);
            let scan = self.directory.scan(agreed.chain(known.iter()))?;
            // What came to a folder before it was watched is found by another look.
            if !self.watcher.watch(&scan.folders) {
                break scan;
            }
        };
        let DirectoryScan { files, unusable, .. } = scan;
        let found = unusable.into_iter().map(|(path, why)| (shown(&path), why.into()));
        self.report.found(found.collect())?;
        let is_settled = |path: &LocalPath| {
            let stat = self.state.get(path).and_then(|agreed| agreed.stat);
            stat.is_some() && stat == files.get(path).copied()
        };
        let mut dirty: BTreeSet<_> =
            files.keys().filter(|path| !is_settled(path)).cloned().collect();
        let agreed = self.state.iter().map(|(path, _)| path);
        dirty.extend(agreed.filter(|path| !files.contains_key(*path)).cloned());
        dirty.extend(self.state.conflicts.keys().cloned());
        Ok(dirty)
    }

    /// Tells what is done, and when to try again what is not.
    fn in_step(&mut self, is_first: bool) -> Result<()> {
        if self.unsettled.is_empty() && self.unstored.is_empty() {
            self.retry = None;
        } else {
            self.retry_later();
        }
        let at = LogPosition { epoch: self.state.epoch, revision: self.state.revision };
        let conflicts = self.state.conflicts.len();
        let at = at.max(self.written);
        self.report.in_step(at, self.state.len(), conflicts, is_first)?;
        let file = self.directory.state_dir().state_file().display().to_string();
        match self.save() {
            Ok(()) => self.report.no_problem_at(&file),
            // It is written another time: without it, more is compared after a restart.
            Err(error) => {
                self.report.problem(&file, &error)?;
                self.retry_later();
            }
        }
        Ok(())
    }

    /// Whether deletions that wait may go, where somebody is there to say so.
    async fn ask_once(&mut self) -> Result<()> {
        if self.deletions.held.is_empty() || !self.deletions.asks() {
            return Ok(());
        }
        if self.deletions.answer().await { self.allow_deletions().await } else { Ok(()) }
    }

    pub(crate) async fn allow_deletions(&mut self) -> Result<()> {
        let dirty = self.deletions.held.clone();
        self.deletions.allow();
        self.sync(dirty).await
    }

    /// Nodes whose content found no room are to be read again.
    pub(crate) fn retry_unstored(&mut self) {
        self.unread.extend(self.unstored.keys());
    }

    fn retry_later(&mut self) {
        let delay = self.retry.map_or(RETRY_DELAY_MIN, |(_, last)| last * 2).min(RETRY_DELAY_MAX);
        self.retry = Some((Instant::now() + delay, delay));
    }

    fn save(&mut self) -> Result<()> {
        let begun = Instant::now();
        if begun < self.save_after {
            return Ok(());
        }
        self.state.save(&self.directory.state_dir().state_file(), now_ns())?;
        self.save_after = Instant::now() + begun.elapsed() * SAVE_RARITY;
        Ok(())
    }

    /// Goes on where waiting may help.
    fn tolerate(&mut self, error: Error) -> Result<()> {
        if error.is_unavailable() { self.report.away(&error) } else { Err(error) }
    }
}

fn is_same(agreed: &KnownNode, node: &KnownNode) -> bool {
    (agreed.id, agreed.version) == (node.id, node.version)
}

/// Whether `node` has every change that `agreed` has.
fn includes(node: &KnownNode, agreed: &KnownNode) -> bool {
    agreed
        .clock
        .iter()
        .all(|(actor, count)| node.clock.get(actor).is_some_and(|standing| standing >= count))
}

#[expect(clippy::disallowed_methods, reason = "it is compared with the times of files")]
fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
