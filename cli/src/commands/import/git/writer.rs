//! Writes a history: every commit to its branch, then the refs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use indicatif::ProgressBar;
use tokio::sync::watch;

use super::commit;
use super::contents::Items;
use super::graph::{Imported, ObjectId, Plan};
use super::lanes::{Fork, Lane, Modes, Sender};
use super::source::{Item, NewCommit, Tagged};
use super::there::There;
use crate::branch::Branch;
use crate::client::Client;
use crate::exit::{Exit, Failure};

/// Writes a history.
pub(super) struct Writer {
    client: Client,
    repo: String,
    plan: Arc<Plan>,
    there: There,
    imported: Arc<HashMap<ObjectId, Imported>>,
    lanes: Vec<Option<Lane>>,
    sender: Sender,
    /// Commits that branches begin after.
    bases: HashMap<ObjectId, Option<Base>>,
}

/// A commit that branches begin after.
struct Base {
    branch: String,
    revision: u64,
    written: watch::Receiver<u64>,
    modes: Option<Modes>,
}

impl Writer {
    /// Writes to this repo, where `there` is what earlier imports brought.
    pub(super) fn new(client: Client, repo: String, plan: Arc<Plan>, mut there: There) -> Self {
        let imported = Arc::new(std::mem::take(&mut there.commits));
        let begin = plan.forks.iter().map(|(_, commit)| *commit);
        let bases: HashSet<_> = plan.bases().into_iter().chain(begin).collect();
        Self {
            lanes: plan.branches.iter().map(|_| None).collect(),
            sender: Sender::new(client.clone()),
            bases: bases.into_iter().map(|commit| (commit, None)).collect(),
            client,
            repo,
            plan,
            there,
            imported,
        }
    }

    /// Commits that need not be written again.
    pub(super) fn imported(&self) -> Arc<HashMap<ObjectId, Imported>> {
        Arc::clone(&self.imported)
    }

    /// Refuses to write where something else stands.
    pub(super) async fn check_branches(&self) -> Result<(), Failure> {
        for planned in &self.plan.branches {
            let branch = self.branch(&planned.name)?;
            if planned.exists || self.there.heads.contains_key(&planned.name) {
                self.there.check_untouched(&self.client, &branch).await?;
            }
        }
        for (name, _) in &self.plan.forks {
            if self.there.heads.contains_key(name) {
                self.there.check_untouched(&self.client, &self.branch(name)?).await?;
            }
        }
        Ok(())
    }

    /// Writes everything that comes; answers with the annotated tags.
    pub(super) async fn write(
        &mut self,
        mut items: Items,
        bar: &ProgressBar,
    ) -> Result<HashMap<Bytes, Tagged>, Failure> {
        let tagged = loop {
            match items.next().await? {
                Item::Commit(commit) => self.commit(*commit, &mut items).await?,
                Item::End(tagged) => break tagged,
                Item::Content(_) => {
                    return Err(Failure::failed("git brought a content that nobody asked for"));
                }
            }
            bar.inc(1);
        };
        self.sender.finish().await?;
        for (name, commit) in &self.plan.forks {
            let Some(fork) = self.fork_at(commit) else { continue };
            self.sender.fork(&self.branch(name)?, fork).await?;
        }
        Ok(tagged)
    }

    async fn commit(&mut self, commit: NewCommit, items: &mut Items) -> Result<(), Failure> {
        let (id, place) = (commit.id, commit.branch);
        let mut lane = match self.lanes.get_mut(place).and_then(Option::take) {
            Some(lane) => lane,
            None => self.lane(place)?,
        };
        let revision =
            commit::write(&self.client, &mut self.sender, &mut lane, items, commit).await?;
        if let Some(base) = self.bases.get_mut(&id) {
            *base = Some(Base {
                branch: lane.branch.branch.clone(),
                revision,
                written: lane.written(),
                modes: lane.modes.clone(),
            });
        }
        self.lanes[place] = Some(lane);
        Ok(())
    }

    fn lane(&self, place: usize) -> Result<Lane, Failure> {
        let planned = &self.plan.branches[place];
        let branch = self.branch(&planned.name)?;
        if planned.exists {
            let head = self.there.heads.get(&planned.name).copied().unwrap_or_default();
            return Ok(Lane::existing(branch, head));
        }
        let Some(base) = planned.base else {
            return Ok(Lane::root(branch));
        };
        let fork = self.fork_at(&base).ok_or_else(|| {
            Failure::failed(format!("git brought a child before its parent {base}"))
        })?;
        let mut lane = Lane::forked(branch, fork);
        if let Some(Some(base)) = self.bases.get(&base) {
            lane.modes.clone_from(&base.modes);
        }
        Ok(lane)
    }

    /// Where a branch begins that leaves another one after this commit.
    fn fork_at(&self, commit: &ObjectId) -> Option<Fork> {
        if let Some(Some(base)) = self.bases.get(commit) {
            let Base { branch, revision, written, .. } = base;
            let (from, written) = (branch.clone(), written.clone());
            return Some(Fork { from, revision: *revision, written });
        }
        let Imported { branch, revision } = self.imported.get(commit)?;
        let (_, written) = watch::channel(*revision);
        Some(Fork { from: branch.clone(), revision: *revision, written })
    }

    fn branch(&self, name: &str) -> Result<Branch, Failure> {
        Branch::new(&self.repo, name).map_err(|problem| Failure::new(Exit::Usage, problem))
    }
}
