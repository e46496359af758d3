//! What changed on the disk goes to the branch, and what became of it.

use super::SyncPass;
use crate::branch_side::{NodeChange, PendingChange, SendOutcome};
use crate::error::Result;
use crate::local_path::LocalPath;
use crate::observer::{Direction, FileChange};
use crate::session::MirrorSession;
use crate::state::AgreedFile;

impl MirrorSession<'_> {
    pub(super) fn pending_change(
        &self,
        path: LocalPath,
        change: NodeChange,
        pass: &SyncPass,
    ) -> PendingChange {
        let at = match &change {
            NodeChange::Rename { from } => from,
            _ => &path,
        };
        let agreed = self.state.get(at);
        let standing = self.overlay.version(&self.state, at);
        // What is as it was agreed on was seen, whatever else happened to the node.
        let is_unchanged =
            agreed.map(|agreed| agreed.fingerprint) == standing.map(|version| version.fingerprint);
        let node = match change {
            NodeChange::Create => None,
            _ if is_unchanged => self.overlay.node(&self.state, at).cloned(),
            _ => agreed.map(|agreed| agreed.node.clone()),
        };
        let base = node.as_ref().and(agreed).map(|agreed| agreed.fingerprint);
        let local = pass.paths.get(&path).and_then(|paths| paths.local);
        PendingChange { path, change, node, base, local }
    }

    pub(super) async fn send(
        &mut self,
        pending: Vec<PendingChange>,
        pass: &mut SyncPass,
    ) -> Result<()> {
        if pending.is_empty() {
            return Ok(());
        }
        let (outcomes, at) = self.side.send(&self.directory, pending).await?;
        self.written = self.written.max(at);
        for (pending, sent) in outcomes {
            self.apply_outcome(pending, sent, pass)?;
        }
        Ok(())
    }

    fn apply_outcome(
        &mut self,
        pending: PendingChange,
        sent: SendOutcome,
        pass: &mut SyncPass,
    ) -> Result<()> {
        let PendingChange { path, change, node, local, .. } = pending;
        let from = match &change {
            NodeChange::Rename { from } => Some(from.clone()),
            _ => None,
        };
        let what = match change {
            NodeChange::Create if self.state.get(&path).is_some() => FileChange::Kept,
            NodeChange::Create => FileChange::New,
            NodeChange::Edit => FileChange::Changed,
            NodeChange::Rename { .. } => FileChange::Renamed,
            NodeChange::Delete => FileChange::Deleted,
        };
        match sent {
            SendOutcome::Written { node, fingerprint } => {
                // A large file goes in two steps.
                let is_whole = local == Some(fingerprint);
                let stat = pass.stats.get(&path).copied().filter(|_| is_whole);
                if let Some(from) = &from {
                    self.overlay.clear(from);
                }
                self.record_agreed(&path, node, fingerprint, stat);
                if !is_whole {
                    pass.again.insert(path);
                    return Ok(());
                }
                self.report.moved(Direction::ToBranch, what, &path, from.as_ref())
            }
            SendOutcome::Merged { id, fingerprint, at } => {
                // What the disk has is in the branch now; what else is there comes back.
                if let Some(node) = node {
                    if let Some(from) = &from {
                        self.overlay.clear(from);
                    }
                    self.state.insert(path.clone(), AgreedFile { node, fingerprint, stat: None });
                }
                self.unread.insert(id);
                self.unread_since = self.unread_since.max(at);
                pass.again.insert(path.clone());
                self.report.moved(Direction::ToBranch, FileChange::Merged, &path, from.as_ref())
            }
            SendOutcome::Deleted => {
                self.state.remove(&path);
                self.overlay.clear(&path);
                self.deletions.deleted(&path);
                self.report.no_problem(&path);
                self.report.moved(Direction::ToBranch, what, &path, None)
            }
            SendOutcome::Conflicting { id, version, is_final } => {
                let conflict = from.unwrap_or_else(|| path.clone());
                self.unread.insert(id);
                self.unread.extend(node.map(|node| node.id));
                if is_final {
                    self.refused.insert(conflict.clone(), (id, version));
                }
                pass.again.extend([path, conflict]);
                Ok(())
            }
            SendOutcome::Later => {
                pass.again.insert(path);
                pass.again.extend(from);
                Ok(())
            }
            SendOutcome::Refused(error) => {
                self.unsettled.insert(path.clone());
                self.unsettled.extend(from);
                self.report.problem(&path.shown(), &error)
            }
        }
    }
}
