//! One pass over some files: both sides are compared, and what follows from it is
//! done.

mod sending;

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::branch_side::{NodeChange, RemoteEntry};
use crate::error::{Error, Result};
use crate::fingerprint::{FileStat, Fingerprint};
use crate::local_directory::{Install, LocalEntry};
use crate::local_path::{LocalPath, shown};
use crate::observer::{Direction, FileChange};
use crate::session::MirrorSession;
use crate::state::{AgreedFile, Conflict, KnownNode};
use crate::sync_plan::{PathState, SyncStep, plan};

/// After so many passes the rest waits for a while.
const PASSES_MAX: usize = 16;

/// Files that are compared together.
#[derive(Default)]
struct SyncPass {
    paths: BTreeMap<LocalPath, PathState>,
    stats: BTreeMap<LocalPath, FileStat>,
    /// Files that have to be compared once more.
    again: BTreeSet<LocalPath>,
}

impl MirrorSession<'_> {
    /// Does what is to be done with these files, as far as that is possible now.
    pub(crate) async fn sync(&mut self, mut dirty: BTreeSet<LocalPath>) -> Result<()> {
        dirty.append(&mut self.unsettled);
        for _ in 0..PASSES_MAX {
            if dirty.is_empty() {
                break;
            }
            match self.pass(&dirty).await {
                Ok(again) => dirty = again,
                Err(error) => {
                    self.unsettled.append(&mut dirty);
                    return Err(error);
                }
            }
        }
        self.unsettled.append(&mut dirty);
        Ok(())
    }

    async fn pass(&mut self, dirty: &BTreeSet<LocalPath>) -> Result<BTreeSet<LocalPath>> {
        let mut dirty = dirty.clone();
        dirty.extend(self.deletions.held.iter().cloned());
        self.follow_renames(&mut dirty)?;
        let mut pass = SyncPass::default();
        for path in &dirty {
            self.inspect(path, &mut pass)?;
            // Many files take a while: a wish to end is heard in between.
            tokio::task::yield_now().await;
        }
        self.directory.check()?;
        let mut steps = plan(&pass.paths);
        self.hold_deletions(&mut steps)?;
        let mut pending = Vec::new();
        for (path, step) in &steps {
            if *step == SyncStep::RemoveLocal {
                self.remove(path, &mut pass)?;
            }
        }
        self.make_durable(&mut steps)?;
        while let Some((path, step)) = steps.pop_first() {
            match step {
                SyncStep::Wait | SyncStep::RemoveLocal => {}
                SyncStep::Record => self.record_agreement(&path, &pass)?,
                SyncStep::WriteLocal { undoes_deletion } => {
                    self.write_local(&path, undoes_deletion, &mut pass)?;
                }
                SyncStep::Conflict => self.keep_conflict(&path, &mut pass)?,
                SyncStep::CreateNode { .. } => {
                    pending.push(self.pending_change(path, NodeChange::Create, &pass));
                }
                SyncStep::UpdateNode => {
                    pending.push(self.pending_change(path, NodeChange::Edit, &pass));
                }
                SyncStep::RenameNode { from } => {
                    pending.push(self.pending_change(path, NodeChange::Rename { from }, &pass));
                }
                SyncStep::DeleteNode => {
                    pending.push(self.pending_change(path, NodeChange::Delete, &pass));
                }
            }
        }
        self.report.flush()?;
        self.send(pending, &mut pass).await?;
        self.report.flush()?;
        if !self.unread.is_empty() {
            let read = self.read().await?;
            pass.again.extend(read);
        }
        Ok(pass.again)
    }

    /// Leaves deletions out that somebody must allow first.
    fn hold_deletions(&mut self, steps: &mut BTreeMap<LocalPath, SyncStep>) -> Result<()> {
        let deletions = steps.iter().filter(|(_, step)| **step == SyncStep::DeleteNode);
        let gone: BTreeSet<_> = deletions.map(|(path, _)| path.clone()).collect();
        let files = self.state.len();
        if self.deletions.holds(gone, files, Instant::now()) {
            steps.retain(|_, step| *step != SyncStep::DeleteNode);
        }
        self.report.deletions_held(self.deletions.held.len(), files)
    }

    /// Makes contents survive power loss before they take their place. Those that cannot
    /// wait, and are read again: what the system has of them may be lost.
    fn make_durable(&mut self, steps: &mut BTreeMap<LocalPath, SyncStep>) -> Result<()> {
        let received = steps.iter().filter(|(_, step)| matches!(step, SyncStep::WriteLocal { .. }));
        let staged = received.filter_map(|(path, _)| self.overlay.file(path)?.content.as_ref());
        let Err(error) = self.directory.state_dir().sync(staged) else { return Ok(()) };
        let unwritten =
            steps.iter().filter(|(_, step)| matches!(step, SyncStep::WriteLocal { .. }));
        let unwritten: Vec<_> = unwritten.map(|(path, _)| path.clone()).collect();
        for path in unwritten {
            steps.remove(&path);
            if let Some(received) = self.overlay.file_mut(&path) {
                received.content = None;
            }
            self.leave_unsettled(&path, &format!("cannot be written: {error}"))?;
        }
        Ok(())
    }

    /// Renames on the disk what was renamed in the branch, also where it was changed
    /// here: what is left to do is then the same as without the renaming.
    fn follow_renames(&mut self, dirty: &mut BTreeSet<LocalPath>) -> Result<()> {
        for to in dirty.clone() {
            let Some(node) = self.overlay.file(&to).map(|received| received.node.id) else {
                continue;
            };
            let Some(from) = self.state.path_of(node).cloned() else { continue };
            let may_move = from != to
                && self.state.get(&to).is_none()
                && !self.state.conflicts.contains_key(&from)
                && matches!(self.overlay.get(&from), Some(RemoteEntry::Nothing))
                && matches!(self.directory.stat(from.as_bytes()), LocalEntry::File(_))
                && self.directory.stat(to.as_bytes()) == LocalEntry::Nothing;
            // Where it cannot be moved, it is removed here and written there.
            if !may_move || self.directory.rename(&from, &to).is_err() {
                continue;
            }
            if let Some(agreed) = self.state.remove(&from) {
                self.state.insert(to.clone(), AgreedFile { stat: None, ..agreed });
            }
            self.overlay.clear(&from);
            self.report.moved(Direction::ToDirectory, FileChange::Renamed, &to, Some(&from))?;
            dirty.insert(from);
        }
        Ok(())
    }

    /// Looks at one file on both sides.
    fn inspect(&mut self, path: &LocalPath, pass: &mut SyncPass) -> Result<()> {
        let local = match self.directory.stat(path.as_bytes()) {
            LocalEntry::Nothing => None,
            LocalEntry::Unusable(entry) => {
                return self.report.problem(&path.shown(), &entry.into());
            }
            LocalEntry::File(stat) => match self.directory.fingerprint(path, &stat) {
                Ok(Some(fingerprint)) => {
                    pass.stats.insert(path.clone(), stat);
                    Some(fingerprint)
                }
                Ok(None) => {
                    pass.again.insert(path.clone());
                    return Ok(());
                }
                Err(error) => {
                    let error = Error::failed(format!("cannot be read: {error}"));
                    self.unsettled.insert(path.clone());
                    return self.report.problem(&path.shown(), &error);
                }
            },
        };
        if let Some(RemoteEntry::Other { why, .. }) = self.overlay.get(path) {
            let error = Error::failed(why).advice("rename one of them");
            self.state.remove(path);
            return match local {
                Some(_) => self.report.problem(&path.shown(), &error),
                None => Ok(()),
            };
        }
        let is_held = self.is_held(path, local)?;
        let branch = self.overlay.version(&self.state, path);
        let version = self.overlay.node(&self.state, path).map(|node| (node.id, node.version));
        let is_refused = version.is_some() && self.refused.get(path).copied() == version;
        if !is_refused {
            self.refused.remove(path);
        }
        let base = self.state.get(path).map(AgreedFile::version);
        pass.paths.insert(path.clone(), PathState { base, local, branch, is_held, is_refused });
        Ok(())
    }

    /// Whether a conflict still waits for a person. Where it does not, the person has
    /// seen what was laid beside the file.
    fn is_held(&mut self, path: &LocalPath, local: Option<Fingerprint>) -> Result<bool> {
        let Some(conflict) = self.state.conflicts.get(path) else { return Ok(false) };
        let lies_there = self.directory.stat(&path.theirs()) != LocalEntry::Nothing;
        if lies_there && local != Some(conflict.fingerprint) {
            return Ok(true);
        }
        let Conflict { node, fingerprint } = conflict.clone();
        // Renamed since, it is agreed on elsewhere.
        if self.state.path_of(node.id).is_none_or(|agreed| agreed == path) {
            let is_current = self.overlay.file(path).is_some_and(|received| received.node == node);
            self.state.insert(path.clone(), AgreedFile { node, fingerprint, stat: None });
            if is_current {
                self.overlay.clear(path);
            }
        }
        self.end_conflict(path)?;
        Ok(false)
    }

    fn end_conflict(&mut self, path: &LocalPath) -> Result<()> {
        if self.state.conflicts.remove(path).is_none() {
            return Ok(());
        }
        if let Err(error) = self.directory.remove_theirs(path) {
            let error = Error::failed(format!("cannot be removed: {error}"));
            self.report.problem(&shown(&path.theirs()), &error)?;
        }
        self.report.resolved(path)
    }

    fn record_agreement(&mut self, path: &LocalPath, pass: &SyncPass) -> Result<()> {
        self.report.no_problem(path);
        self.end_conflict(path)?;
        let Some(node) = self.overlay.node(&self.state, path).cloned() else {
            self.state.remove(path);
            self.overlay.clear(path);
            return Ok(());
        };
        if let Some(fingerprint) = pass.paths.get(path).and_then(|paths| paths.local) {
            let stat = pass.stats.get(path).copied();
            self.record_agreed(path, node, fingerprint, stat);
        }
        Ok(())
    }

    pub(crate) fn record_agreed(
        &mut self,
        path: &LocalPath,
        node: KnownNode,
        fingerprint: Fingerprint,
        stat: Option<FileStat>,
    ) {
        self.report.no_problem(path);
        self.refused.remove(path);
        self.state.insert(path.clone(), AgreedFile { node, fingerprint, stat });
        self.overlay.clear(path);
    }

    fn remove(&mut self, path: &LocalPath, pass: &mut SyncPass) -> Result<()> {
        let Some(stat) = pass.stats.get(path) else { return Ok(()) };
        match self.directory.remove(path, stat) {
            Ok(true) => {
                self.state.remove(path);
                self.overlay.clear(path);
                self.report.no_problem(path);
                self.report.moved(Direction::ToDirectory, FileChange::Deleted, path, None)
            }
            Ok(false) => {
                pass.again.insert(path.clone());
                Ok(())
            }
            Err(error) => self.leave_unsettled(path, &format!("cannot be removed: {error}")),
        }
    }

    fn write_local(
        &mut self,
        path: &LocalPath,
        undoes_deletion: bool,
        pass: &mut SyncPass,
    ) -> Result<()> {
        let seen = pass.stats.get(path);
        let Some(received) = self.overlay.file(path) else { return Ok(()) };
        let Some(content) = &received.content else {
            self.unread.insert(received.node.id);
            return Ok(());
        };
        match self.directory.install(content, path.as_bytes(), seen) {
            Ok(Install::Done(stat)) => {
                let what = match (undoes_deletion, seen) {
                    (true, _) => FileChange::Kept,
                    (false, None) => FileChange::New,
                    (false, Some(_)) => FileChange::Changed,
                };
                let (node, fingerprint) = (received.node.clone(), received.fingerprint);
                self.record_agreed(path, node, fingerprint, stat);
                if stat.is_none() {
                    pass.again.insert(path.clone());
                }
                self.report.moved(Direction::ToDirectory, what, path, None)
            }
            Ok(Install::Refused) => {
                pass.again.insert(path.clone());
                Ok(())
            }
            Err(error) => self.leave_unsettled(path, &format!("cannot be written: {error}")),
        }
    }

    /// Lays the branch's version beside the file, and leaves both sides as they are.
    fn keep_conflict(&mut self, path: &LocalPath, pass: &mut SyncPass) -> Result<()> {
        let Some(received) = self.overlay.file_mut(path) else {
            // It is as it was agreed on, so there is nothing to disagree about.
            pass.again.insert(path.clone());
            return Ok(());
        };
        let Some(content) = received.content.take() else {
            self.unread.insert(received.node.id);
            return Ok(());
        };
        let theirs = path.theirs();
        let before = match self.directory.stat(&theirs) {
            LocalEntry::File(stat) => Some(stat),
            LocalEntry::Nothing | LocalEntry::Unusable(_) => None,
        };
        let conflict = Conflict { node: received.node.clone(), fingerprint: received.fingerprint };
        match self.directory.install(&content, &theirs, before.as_ref()) {
            Ok(Install::Done(stat)) => {
                if stat.is_none() {
                    pass.again.insert(path.clone());
                }
                self.state.conflicts.insert(path.clone(), conflict);
                self.report.conflict(path)
            }
            Ok(Install::Refused) => {
                received.content = Some(content);
                pass.again.insert(path.clone());
                Ok(())
            }
            Err(error) => {
                received.content = Some(content);
                let why = "changed on both paths, and the branch's version cannot be laid beside \
                           it";
                self.leave_unsettled(path, &format!("{why}: {error}"))
            }
        }
    }

    fn leave_unsettled(&mut self, path: &LocalPath, why: &str) -> Result<()> {
        self.unsettled.insert(path.clone());
        self.report.problem(&path.shown(), &Error::failed(why))
    }
}
