//! Writes a history: every commit to its branch, then the refs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::{TryStreamExt, stream};
use indicatif::ProgressBar;
use tokio::sync::watch;
use vdom_client::{BranchSpec, Client};
use vdom_git::commit_graph::{ImportPlan, ImportedCommit};
use vdom_git::object_id::ObjectId;

use super::branch_pipeline::{BranchFork, BranchPipeline, ChangeSetSender, Modes};
use super::commit_writer;
use super::export_reader::{HistoryEnd, HistoryItem, NewCommit};
use super::history_items::HistoryItems;
use super::imported_state::ImportedState;
use crate::exit::Failure;

/// How many branches are made at a time.
const FORKED_AT_ONCE: usize = 32;

/// Writes the commits of a history to their branches, as they come.
pub(super) struct HistoryWriter {
    client: Client,
    repo: String,
    plan: Arc<ImportPlan>,
    imported_state: ImportedState,
    imported: Arc<HashMap<ObjectId, ImportedCommit>>,
    pipelines: Vec<Option<BranchPipeline>>,
    sender: ChangeSetSender,
    /// Commits that branches begin after.
    bases: HashMap<ObjectId, Option<ForkPoint>>,
}

/// A commit that branches begin after.
struct ForkPoint {
    branch: String,
    revision: u64,
    written: watch::Receiver<u64>,
    modes: Option<Modes>,
}

impl HistoryWriter {
    /// Writes to this repo, where `imported_state` is what earlier imports brought.
    pub(super) fn new(
        client: Client,
        repo: String,
        plan: Arc<ImportPlan>,
        mut imported_state: ImportedState,
    ) -> Self {
        let imported = Arc::new(std::mem::take(&mut imported_state.commits));
        let begin = plan.forks.iter().map(|(_, commit)| *commit);
        let bases: HashSet<_> = plan.bases().into_iter().chain(begin).collect();
        Self {
            pipelines: plan.branches.iter().map(|_| None).collect(),
            sender: ChangeSetSender::new(client.clone()),
            bases: bases.into_iter().map(|commit| (commit, None)).collect(),
            client,
            repo,
            plan,
            imported_state,
            imported,
        }
    }

    /// Commits that need not be written again.
    pub(super) fn imported(&self) -> Arc<HashMap<ObjectId, ImportedCommit>> {
        Arc::clone(&self.imported)
    }

    /// Refuses to write where something else stands.
    pub(super) async fn check_branches(&self) -> Result<(), Failure> {
        for planned in &self.plan.branches {
            let branch = self.branch(&planned.name)?;
            if planned.exists || self.imported_state.heads.contains_key(&planned.name) {
                self.imported_state.check_untouched(&self.client, &branch).await?;
            }
        }
        for (name, _) in &self.plan.forks {
            if self.imported_state.heads.contains_key(name) {
                self.imported_state.check_untouched(&self.client, &self.branch(name)?).await?;
            }
        }
        Ok(())
    }

    /// Writes everything that comes; answers with what is known at its end.
    pub(super) async fn write(
        &mut self,
        mut items: HistoryItems,
        bar: &ProgressBar,
    ) -> Result<HistoryEnd, Failure> {
        let end = loop {
            match items.next().await? {
                HistoryItem::Commit(commit) => self.commit(*commit, &mut items).await?,
                HistoryItem::End(end) => break end,
                HistoryItem::Content(_) => {
                    return Err(Failure::failed("git brought a content that nobody asked for"));
                }
            }
            bar.inc(1);
        };
        self.sender.finish().await?;
        Ok(end)
    }

    /// Makes the branches that have no commit of their own, once all commits are written.
    pub(super) async fn fork(&self, bar: &ProgressBar) -> Result<(), Failure> {
        let forks = self.plan.forks.iter().filter_map(|(name, commit)| {
            let fork = self.fork_at(commit)?;
            Some(self.branch(name).map(|branch| (branch, fork)))
        });
        stream::iter(forks)
            .try_for_each_concurrent(FORKED_AT_ONCE, async |(branch, fork)| {
                self.sender.fork(&branch, fork).await?;
                bar.inc(1);
                Ok(())
            })
            .await
    }

    async fn commit(&mut self, commit: NewCommit, items: &mut HistoryItems) -> Result<(), Failure> {
        let (id, index) = (commit.id, commit.branch);
        let mut pipeline = match self.pipelines.get_mut(index).and_then(Option::take) {
            Some(pipeline) => pipeline,
            None => self.pipeline(index)?,
        };
        let revision =
            commit_writer::write(&self.client, &mut self.sender, &mut pipeline, items, commit)
                .await?;
        if let Some(base) = self.bases.get_mut(&id) {
            *base = Some(ForkPoint {
                branch: pipeline.branch.branch.clone(),
                revision,
                written: pipeline.written(),
                modes: pipeline.modes.clone(),
            });
        }
        self.pipelines[index] = Some(pipeline);
        Ok(())
    }

    fn pipeline(&self, index: usize) -> Result<BranchPipeline, Failure> {
        let planned = &self.plan.branches[index];
        let branch = self.branch(&planned.name)?;
        if planned.exists {
            let head = self.imported_state.heads.get(&planned.name).copied().unwrap_or_default();
            return Ok(BranchPipeline::existing(branch, head));
        }
        let Some(base) = planned.base else {
            return Ok(BranchPipeline::root(branch));
        };
        let fork = self.fork_at(&base).ok_or_else(|| {
            Failure::failed(format!("git brought a child before its parent {base}"))
        })?;
        let mut pipeline = BranchPipeline::forked(branch, fork);
        if let Some(Some(base)) = self.bases.get(&base) {
            pipeline.modes.clone_from(&base.modes);
        }
        Ok(pipeline)
    }

    /// Where a branch begins that leaves another one after this commit.
    fn fork_at(&self, commit: &ObjectId) -> Option<BranchFork> {
        if let Some(Some(base)) = self.bases.get(commit) {
            let ForkPoint { branch, revision, written, .. } = base;
            let (from, written) = (branch.clone(), written.clone());
            return Some(BranchFork { from, revision: *revision, written });
        }
        let ImportedCommit { branch, revision } = self.imported.get(commit)?;
        let (_, written) = watch::channel(*revision);
        Some(BranchFork { from: branch.clone(), revision: *revision, written })
    }

    fn branch(&self, name: &str) -> Result<BranchSpec, Failure> {
        Ok(BranchSpec::new(&self.repo, name)?)
    }
}
