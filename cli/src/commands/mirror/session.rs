//! The mirror at work: both sides compared once, then followed.

mod live;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;
use vdom_core::{ErrorCode, NodeId};

use super::branch::{BranchSide, Point, Standing, Tree};
use super::disk::{Disk, Survey, Watcher};
use super::path::LocalPath;
use super::report::Report;
use super::state::{Known, State};
use super::view::View;
use crate::exit::{Exit, Failure};

/// How many nodes are read at a time.
const READ_AT_ONCE: usize = 16;
/// How many nodes are read before they are written to the disk.
const READ_BEFORE_WRITING: usize = 1_000;
const RETRY_DELAY_MIN: Duration = Duration::from_millis(200);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);
/// The state is written again only after so many times what writing it took.
const SAVE_RARITY: u32 = 20;

/// A mirror at work.
pub(super) struct Session<'a> {
    pub(super) disk: Disk,
    pub(super) side: BranchSide,
    pub(super) state: State,
    pub(super) view: View,
    pub(super) report: Report<'a>,
    /// Merges that the branch refused: with which version of which node.
    pub(super) refused: BTreeMap<LocalPath, (NodeId, u64)>,
    /// What could not be done yet.
    pub(super) unsettled: BTreeSet<LocalPath>,
    /// Nodes to be read, and where the branch is known to be at least.
    pub(super) unread: BTreeSet<NodeId>,
    pub(super) unread_since: Point,
    /// How far the branch was after the last write.
    pub(super) written: Point,
    watcher: Watcher,
    /// Nothing is heard of the branch.
    is_cut_off: bool,
    /// When to try again what could not be done.
    retry: Option<(Instant, Duration)>,
    save_after: Instant,
}

impl<'a> Session<'a> {
    /// Nothing done yet.
    pub(super) fn new(
        disk: Disk,
        side: BranchSide,
        state: State,
        report: Report<'a>,
    ) -> Result<Self, Failure> {
        let watcher = Watcher::new(disk.root())?;
        Ok(Self {
            disk,
            side,
            state,
            view: View::default(),
            report,
            refused: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            unread: BTreeSet::new(),
            unread_since: Point::default(),
            written: Point::default(),
            watcher,
            is_cut_off: false,
            retry: None,
            save_after: Instant::now(),
        })
    }

    /// Brings both sides in step; then, but for `once`, keeps them so.
    pub(super) async fn run(&mut self, once: bool) -> Result<(), Failure> {
        if once {
            self.reconcile().await?;
            self.in_step(true)?;
            return self.verdict();
        }
        let mut is_first = true;
        loop {
            let mut delay = RETRY_DELAY_MIN;
            while let Err(failure) = self.reconcile().await {
                self.bear(failure)?;
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
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        self.report.flush()?;
        self.state.save(&self.disk.home().state_file(), now_ns())
    }

    /// How a single run ends.
    fn verdict(&self) -> Result<(), Failure> {
        if !self.state.disputes.is_empty() {
            Err(Failure::silent(Exit::Conflict))
        } else if self.report.problems() > 0 {
            Err(Failure::silent(Exit::Failed))
        } else {
            Ok(())
        }
    }

    /// Compares everything on both sides.
    async fn reconcile(&mut self) -> Result<(), Failure> {
        let tree = self.read_tree().await?;
        let at = tree.at;
        let disputes: Vec<_> = self.state.disputes.keys().cloned().collect();
        let unread = self.lay_out(tree)?;
        let mut dirty = self.view.paths();
        for some in unread.chunks(READ_BEFORE_WRITING) {
            self.unread.extend(some);
            self.unread_since = self.unread_since.max(at);
            let read = self.read().await?;
            if unread.len() > READ_BEFORE_WRITING {
                self.settle(read).await?;
            } else {
                dirty.extend(read);
            }
        }
        (self.state.epoch, self.state.revision) = (at.epoch, at.revision);
        dirty.extend(self.survey()?);
        dirty.extend(disputes.iter().cloned());
        self.settle(dirty).await?;
        for path in disputes.iter().filter(|path| self.state.disputes.contains_key(path)) {
            self.report.conflict(path)?;
        }
        Ok(())
    }

    /// Reads which nodes there are, and forgets what a restored branch has lost.
    async fn read_tree(&mut self) -> Result<Tree, Failure> {
        let since = Point { epoch: self.state.epoch, revision: self.state.revision };
        let tree = match self.side.tree(since).await {
            Err(failure) if failure.code == Some(ErrorCode::EpochChanged) => {
                self.side.tree(Point::default()).await?
            }
            tree => tree?,
        };
        if tree.at == Point::default() && self.state.len() > 0 {
            let message = format!("{} is gone", self.side.branch());
            return Err(Failure::new(Exit::NotFound, message).advice(
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
    fn lay_out(&mut self, tree: Tree) -> Result<Vec<NodeId>, Failure> {
        self.view = View::default();
        let mut unread = Vec::new();
        let mut there = BTreeSet::new();
        for (node, why_not) in tree.nodes {
            let path = match (self.side.local_path(&node), &why_not) {
                (Some(Ok(path)), _) => path,
                (Some(Err(failure)), None) => {
                    self.report.problem(&crate::output::printable(&node.path), &failure)?;
                    continue;
                }
                (Some(Err(_)), Some(_)) | (None, _) => continue,
            };
            let agreed = self.state.get(&path).map(|agreed| &agreed.node);
            let is_known = agreed.is_some_and(|agreed| is_same(agreed, &node));
            match why_not {
                Some(why) => self.view.set(path.clone(), Standing::Other { id: node.id, why }),
                None if is_known => {}
                None => unread.push(node.id),
            }
            there.insert(path);
        }
        let gone: Vec<_> = self.state.iter().map(|(path, _)| path).cloned().collect();
        for path in gone.iter().filter(|path| !there.contains(*path)) {
            self.view.gone(&self.state, path);
        }
        Ok(unread)
    }

    /// Reads what has to be read; answers where something changed.
    pub(super) async fn read(&mut self) -> Result<BTreeSet<LocalPath>, Failure> {
        let (side, disk, since) = (&self.side, &self.disk, self.unread_since);
        let ids: Vec<_> = self.unread.iter().copied().collect();
        let read: Vec<_> = stream::iter(ids)
            .map(async |id| Ok::<_, Failure>((id, side.fetch(disk.home(), id, since).await?)))
            .buffer_unordered(READ_AT_ONCE)
            .try_collect()
            .await?;
        self.unread.clear();
        let mut dirty = BTreeSet::new();
        for (id, found) in read {
            match found {
                Some((node, standing)) => self.place(&node, standing, &mut dirty)?,
                None => dirty.extend(self.view.leave(&self.state, id, None)),
            }
        }
        Ok(dirty)
    }

    fn place(
        &mut self,
        node: &Known,
        standing: Standing,
        dirty: &mut BTreeSet<LocalPath>,
    ) -> Result<(), Failure> {
        match self.side.local_path(node) {
            Some(Ok(path)) => {
                dirty.extend(self.view.put(&self.state, &path, standing));
                dirty.insert(path);
            }
            other => {
                dirty.extend(self.view.leave(&self.state, node.id, None));
                if let (Some(Err(failure)), Standing::File(_)) = (other, standing) {
                    self.report.problem(&crate::output::printable(&node.path), &failure)?;
                }
            }
        }
        Ok(())
    }

    /// Looks at every file; answers where something may have changed.
    fn survey(&mut self) -> Result<BTreeSet<LocalPath>, Failure> {
        let survey = loop {
            let known: BTreeSet<_> = self.view.paths();
            let agreed = self.state.iter().map(|(path, _)| path);
            let survey = self.disk.survey(agreed.chain(known.iter()))?;
            // What came to a folder before it was watched is found by another look.
            if !self.watcher.watch(&survey.folders) {
                break survey;
            }
        };
        let Survey { files, unusable, .. } = survey;
        for (path, why) in &unusable {
            self.report.problem(&path.shown(), &Failure::failed(why))?;
        }
        let is_settled = |path: &LocalPath| {
            let look = self.state.get(path).and_then(|agreed| agreed.look);
            look.is_some() && look == files.get(path).copied()
        };
        let mut dirty: BTreeSet<_> =
            files.keys().filter(|path| !is_settled(path)).cloned().collect();
        let agreed = self.state.iter().map(|(path, _)| path);
        dirty.extend(agreed.filter(|path| !files.contains_key(*path)).cloned());
        dirty.extend(self.state.disputes.keys().cloned());
        Ok(dirty)
    }

    /// Tells what is done, and when to try again what is not.
    fn in_step(&mut self, is_first: bool) -> Result<(), Failure> {
        if self.unsettled.is_empty() {
            self.retry = None;
        } else {
            self.retry_later();
        }
        let at = Point { epoch: self.state.epoch, revision: self.state.revision };
        let conflicts = self.state.disputes.len();
        let at = at.max(self.written);
        self.report.in_step(at, self.state.len(), conflicts, is_first)?;
        self.save()
    }

    fn retry_later(&mut self) {
        let delay = self.retry.map_or(RETRY_DELAY_MIN, |(_, last)| last * 2).min(RETRY_DELAY_MAX);
        self.retry = Some((Instant::now() + delay, delay));
    }

    fn save(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        if begun < self.save_after {
            return Ok(());
        }
        self.state.save(&self.disk.home().state_file(), now_ns())?;
        self.save_after = Instant::now() + begun.elapsed() * SAVE_RARITY;
        Ok(())
    }

    /// Goes on where waiting may help.
    fn bear(&mut self, failure: Failure) -> Result<(), Failure> {
        if failure.exit == Exit::Unavailable { self.report.away(&failure) } else { Err(failure) }
    }
}

fn is_same(agreed: &Known, node: &Known) -> bool {
    (agreed.id, agreed.version) == (node.id, node.version)
}

/// Whether `node` has every change that `agreed` has.
fn includes(node: &Known, agreed: &Known) -> bool {
    agreed
        .clock
        .iter()
        .all(|(actor, count)| node.clock.get(actor).is_some_and(|standing| standing >= count))
}

fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
