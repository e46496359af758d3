//! One look at some files on both sides, and what follows from it.

mod sending;

use std::collections::{BTreeMap, BTreeSet};

use super::branch::{Change, Standing};
use super::disk::{Found, Look};
use super::path::LocalPath;
use super::plan::{Shape, Sides, Step, plan};
use super::report::{Way, What};
use super::session::Session;
use super::state::{Agreed, Disputed, Known};
use crate::exit::Failure;

/// After so many rounds the rest waits for a while.
const ROUNDS_MAX: usize = 16;

/// Files that are looked at together.
#[derive(Default)]
struct Round {
    sides: BTreeMap<LocalPath, Sides>,
    looks: BTreeMap<LocalPath, Look>,
    /// Where another look is needed.
    again: BTreeSet<LocalPath>,
}

impl Session<'_> {
    /// Does what is to be done with these files, as far as that is possible now.
    pub(super) async fn settle(&mut self, mut dirty: BTreeSet<LocalPath>) -> Result<(), Failure> {
        dirty.append(&mut self.unsettled);
        for _ in 0..ROUNDS_MAX {
            if dirty.is_empty() {
                break;
            }
            match self.round(&dirty).await {
                Ok(again) => dirty = again,
                Err(failure) => {
                    self.unsettled.append(&mut dirty);
                    return Err(failure);
                }
            }
        }
        self.unsettled.append(&mut dirty);
        Ok(())
    }

    async fn round(&mut self, dirty: &BTreeSet<LocalPath>) -> Result<BTreeSet<LocalPath>, Failure> {
        let mut dirty = dirty.clone();
        self.follow_renames(&mut dirty)?;
        let mut round = Round::default();
        for path in &dirty {
            self.look(path, &mut round)?;
            // Many files take a while: a wish to end is heard in between.
            tokio::task::yield_now().await;
        }
        self.disk.check()?;
        let mut steps = plan(&round.sides);
        let mut wanted = Vec::new();
        for (path, step) in &steps {
            if *step == Step::Remove {
                self.remove(path, &mut round)?;
            }
        }
        let brought = steps.iter().filter(|(_, step)| matches!(step, Step::Bring { .. }));
        let staged = brought.filter_map(|(path, _)| self.view.file(path)?.content.as_ref());
        self.disk.home().sync(staged).map_err(|error| {
            Failure::failed(format!("cannot write in {}: {error}", self.disk.root().display()))
        })?;
        while let Some((path, step)) = steps.pop_first() {
            match step {
                Step::Hold | Step::Remove => {}
                Step::Agree => self.agree(&path, &round)?,
                Step::Bring { undoes_deletion } => {
                    self.bring(&path, undoes_deletion, &mut round)?;
                }
                Step::Disagree => self.disagree(&path, &mut round)?,
                Step::Create { .. } => wanted.push(self.wanted(path, Change::Create, &round)),
                Step::Change => wanted.push(self.wanted(path, Change::Edit, &round)),
                Step::Rename { from } => {
                    wanted.push(self.wanted(path, Change::Rename { from }, &round));
                }
                Step::Delete => wanted.push(self.wanted(path, Change::Delete, &round)),
            }
        }
        self.report.flush()?;
        self.send(wanted, &mut round).await?;
        self.report.flush()?;
        if !self.unread.is_empty() {
            let read = self.read().await?;
            round.again.extend(read);
        }
        Ok(round.again)
    }

    /// Renames on the disk what was renamed in the branch, also where it was changed
    /// here: what is left to do is then the same as without the renaming.
    fn follow_renames(&mut self, dirty: &mut BTreeSet<LocalPath>) -> Result<(), Failure> {
        for to in dirty.clone() {
            let Some(node) = self.view.file(&to).map(|received| received.node.id) else { continue };
            let Some(from) = self.state.path_of(node).cloned() else { continue };
            let may_move = from != to
                && self.state.get(&to).is_none()
                && !self.state.disputes.contains_key(&from)
                && matches!(self.view.get(&from), Some(Standing::Nothing))
                && matches!(self.disk.look(from.as_bytes()), Found::File(_))
                && self.disk.look(to.as_bytes()) == Found::Nothing;
            // Where it cannot be moved, it is removed here and written there.
            if !may_move || self.disk.rename(&from, &to).is_err() {
                continue;
            }
            if let Some(agreed) = self.state.remove(&from) {
                self.state.insert(to.clone(), Agreed { look: None, ..agreed });
            }
            self.view.clear(&from);
            self.report.moved(Way::Received, What::Renamed, &to, Some(&from))?;
            dirty.insert(from);
        }
        Ok(())
    }

    /// Looks at one file on both sides.
    fn look(&mut self, path: &LocalPath, round: &mut Round) -> Result<(), Failure> {
        let disk = match self.disk.look(path.as_bytes()) {
            Found::Nothing => None,
            Found::Unusable(why) => {
                return self.report.problem(&path.shown(), &Failure::failed(why));
            }
            Found::File(look) => match self.disk.shape(path, &look) {
                Ok(Some(shape)) => {
                    round.looks.insert(path.clone(), look);
                    Some(shape)
                }
                Ok(None) => {
                    round.again.insert(path.clone());
                    return Ok(());
                }
                Err(error) => {
                    let failure = Failure::failed(format!("cannot be read: {error}"));
                    self.unsettled.insert(path.clone());
                    return self.report.problem(&path.shown(), &failure);
                }
            },
        };
        if let Some(Standing::Other { why, .. }) = self.view.get(path) {
            let failure = Failure::failed(why).advice("rename one of them");
            self.state.remove(path);
            return match disk {
                Some(_) => self.report.problem(&path.shown(), &failure),
                None => Ok(()),
            };
        }
        let is_held = self.is_held(path, disk)?;
        let branch = self.view.version(&self.state, path);
        let version = self.view.node(&self.state, path).map(|node| (node.id, node.version));
        let is_refused = version.is_some() && self.refused.get(path).copied() == version;
        if !is_refused {
            self.refused.remove(path);
        }
        let base = self.state.get(path).map(Agreed::version);
        round.sides.insert(path.clone(), Sides { base, disk, branch, is_held, is_refused });
        Ok(())
    }

    /// Whether a conflict still waits for a person. Where it does not, the person has
    /// seen what was laid beside the file.
    fn is_held(&mut self, path: &LocalPath, disk: Option<Shape>) -> Result<bool, Failure> {
        let Some(disputed) = self.state.disputes.get(path) else { return Ok(false) };
        let lies_there = self.disk.look(&path.theirs()) != Found::Nothing;
        if lies_there && disk != Some(disputed.shape) {
            return Ok(true);
        }
        let Disputed { node, shape } = disputed.clone();
        // Renamed since, it is agreed on elsewhere.
        if self.state.path_of(node.id).is_none_or(|agreed| agreed == path) {
            let is_current = self.view.file(path).is_some_and(|received| received.node == node);
            self.state.insert(path.clone(), Agreed { node, shape, look: None });
            if is_current {
                self.view.clear(path);
            }
        }
        self.end_dispute(path)?;
        Ok(false)
    }

    fn end_dispute(&mut self, path: &LocalPath) -> Result<(), Failure> {
        if self.state.disputes.remove(path).is_none() {
            return Ok(());
        }
        if let Err(error) = self.disk.remove_theirs(path) {
            let failure = Failure::failed(format!("cannot be removed: {error}"));
            self.report.problem(&super::path::shown(&path.theirs()), &failure)?;
        }
        self.report.settled(path)
    }

    fn agree(&mut self, path: &LocalPath, round: &Round) -> Result<(), Failure> {
        self.report.no_problem(path);
        self.end_dispute(path)?;
        let Some(node) = self.view.node(&self.state, path).cloned() else {
            self.state.remove(path);
            self.view.clear(path);
            return Ok(());
        };
        if let Some(shape) = round.sides.get(path).and_then(|sides| sides.disk) {
            let look = round.looks.get(path).copied();
            self.note_agreed(path, node, shape, look);
        }
        Ok(())
    }

    pub(super) fn note_agreed(
        &mut self,
        path: &LocalPath,
        node: Known,
        shape: Shape,
        look: Option<Look>,
    ) {
        self.report.no_problem(path);
        self.refused.remove(path);
        self.state.insert(path.clone(), Agreed { node, shape, look });
        self.view.clear(path);
    }

    fn remove(&mut self, path: &LocalPath, round: &mut Round) -> Result<(), Failure> {
        let Some(look) = round.looks.get(path) else { return Ok(()) };
        match self.disk.remove(path, look) {
            Ok(true) => {
                self.state.remove(path);
                self.view.clear(path);
                self.report.no_problem(path);
                self.report.moved(Way::Received, What::Deleted, path, None)
            }
            Ok(false) => {
                round.again.insert(path.clone());
                Ok(())
            }
            Err(error) => self.stuck(path, &format!("cannot be removed: {error}")),
        }
    }

    fn bring(
        &mut self,
        path: &LocalPath,
        undoes_deletion: bool,
        round: &mut Round,
    ) -> Result<(), Failure> {
        let seen = round.looks.get(path);
        let Some(received) = self.view.file(path) else { return Ok(()) };
        let Some(content) = &received.content else {
            self.unread.insert(received.node.id);
            return Ok(());
        };
        match self.disk.bring(content, path.as_bytes(), seen) {
            Ok(Some(look)) => {
                let what = match (undoes_deletion, seen) {
                    (true, _) => What::Kept,
                    (false, None) => What::New,
                    (false, Some(_)) => What::Changed,
                };
                let (node, shape) = (received.node.clone(), received.shape);
                self.note_agreed(path, node, shape, Some(look));
                self.report.moved(Way::Received, what, path, None)
            }
            Ok(None) => {
                round.again.insert(path.clone());
                Ok(())
            }
            Err(error) => self.stuck(path, &format!("cannot be written: {error}")),
        }
    }

    /// Lays the branch's version beside the file, and leaves both sides as they are.
    fn disagree(&mut self, path: &LocalPath, round: &mut Round) -> Result<(), Failure> {
        let Some(received) = self.view.file_mut(path) else {
            // It is as it was agreed on, so there is nothing to disagree about.
            round.again.insert(path.clone());
            return Ok(());
        };
        let Some(content) = received.content.take() else {
            self.unread.insert(received.node.id);
            return Ok(());
        };
        let theirs = path.theirs();
        let before = match self.disk.look(&theirs) {
            Found::File(look) => Some(look),
            Found::Nothing | Found::Unusable(_) => None,
        };
        let disputed = Disputed { node: received.node.clone(), shape: received.shape };
        match self.disk.bring(&content, &theirs, before.as_ref()) {
            Ok(Some(_)) => {
                self.state.disputes.insert(path.clone(), disputed);
                self.report.conflict(path)
            }
            Ok(None) => {
                received.content = Some(content);
                round.again.insert(path.clone());
                Ok(())
            }
            Err(error) => {
                received.content = Some(content);
                let why = "changed on both sides, and the branch's version cannot be laid beside \
                           it";
                self.stuck(path, &format!("{why}: {error}"))
            }
        }
    }

    fn stuck(&mut self, path: &LocalPath, why: &str) -> Result<(), Failure> {
        self.unsettled.insert(path.clone());
        self.report.problem(&path.shown(), &Failure::failed(why))
    }
}
