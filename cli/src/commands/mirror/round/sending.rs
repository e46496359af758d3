//! What changed on the disk goes to the branch, and what became of it.

use super::super::branch::{Change, Sent, Wanted};
use super::super::path::LocalPath;
use super::super::report::{Way, What};
use super::super::session::Session;
use super::super::state::Agreed;
use super::Round;
use crate::exit::Failure;

impl Session<'_> {
    pub(super) fn wanted(&self, path: LocalPath, change: Change, round: &Round) -> Wanted {
        let at = match &change {
            Change::Rename { from } => from,
            _ => &path,
        };
        let agreed = self.state.get(at);
        let standing = self.view.version(&self.state, at);
        // What is as it was agreed on was seen, whatever else happened to the node.
        let is_unchanged =
            agreed.map(|agreed| agreed.shape) == standing.map(|version| version.shape);
        let node = match change {
            Change::Create => None,
            _ if is_unchanged => self.view.node(&self.state, at).cloned(),
            _ => agreed.map(|agreed| agreed.node.clone()),
        };
        let base = node.as_ref().and(agreed).map(|agreed| agreed.shape);
        let disk = round.sides.get(&path).and_then(|sides| sides.disk);
        Wanted { path, change, node, base, disk }
    }

    pub(super) async fn send(
        &mut self,
        wanted: Vec<Wanted>,
        round: &mut Round,
    ) -> Result<(), Failure> {
        if wanted.is_empty() {
            return Ok(());
        }
        let (outcomes, at) = self.side.send(&self.disk, wanted).await?;
        self.written = self.written.max(at);
        for (wanted, sent) in outcomes {
            self.take_sent(wanted, sent, round)?;
        }
        Ok(())
    }

    fn take_sent(&mut self, wanted: Wanted, sent: Sent, round: &mut Round) -> Result<(), Failure> {
        let Wanted { path, change, node, disk, .. } = wanted;
        let from = match &change {
            Change::Rename { from } => Some(from.clone()),
            _ => None,
        };
        let what = match change {
            Change::Create if self.state.get(&path).is_some() => What::Kept,
            Change::Create => What::New,
            Change::Edit => What::Changed,
            Change::Rename { .. } => What::Renamed,
            Change::Delete => What::Deleted,
        };
        match sent {
            Sent::Written { node, shape } => {
                // A large file goes in two steps.
                let is_whole = disk == Some(shape);
                let look = round.looks.get(&path).copied().filter(|_| is_whole);
                if let Some(from) = &from {
                    self.view.clear(from);
                }
                self.note_agreed(&path, node, shape, look);
                if !is_whole {
                    round.again.insert(path);
                    return Ok(());
                }
                self.report.moved(Way::Sent, what, &path, from.as_ref())
            }
            Sent::Merged { id, shape, at } => {
                // What the disk has is in the branch now; what else is there comes back.
                if let Some(node) = node {
                    if let Some(from) = &from {
                        self.view.clear(from);
                    }
                    self.state.insert(path.clone(), Agreed { node, shape, look: None });
                }
                self.unread.insert(id);
                self.unread_since = self.unread_since.max(at);
                round.again.insert(path.clone());
                self.report.moved(Way::Sent, What::Merged, &path, from.as_ref())
            }
            Sent::Deleted => {
                self.state.remove(&path);
                self.view.clear(&path);
                self.report.no_problem(&path);
                self.report.moved(Way::Sent, what, &path, None)
            }
            Sent::Conflicting { id, version, is_final } => {
                let disputed = from.unwrap_or_else(|| path.clone());
                self.unread.insert(id);
                self.unread.extend(node.map(|node| node.id));
                if is_final {
                    self.refused.insert(disputed.clone(), (id, version));
                }
                round.again.extend([path, disputed]);
                Ok(())
            }
            Sent::Later => {
                round.again.insert(path);
                round.again.extend(from);
                Ok(())
            }
            Sent::Refused(failure) => {
                self.unsettled.insert(path.clone());
                self.unsettled.extend(from);
                self.report.problem(&path.shown(), &failure)
            }
        }
    }
}
