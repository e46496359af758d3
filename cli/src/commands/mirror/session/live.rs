//! Both sides in step, as long as the mirror runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use vdom_core::NodeId;
use vdom_proto::v1::change_event::Type;
use vdom_proto::v1::{ChangeEvent, NodeKind};

use super::super::branch::{DOCUMENT, Follower, Heard, Point, Standing};
use super::super::disk::Noted;
use super::super::path::{LocalPath, below};
use super::Session;
use crate::commands::change::is_resume_point;
use crate::exit::Failure;

/// How often a directory that the system does not watch is looked through.
const SURVEY_EVERY: Duration = Duration::from_secs(5);

/// How following goes on.
enum Next {
    Follow,
    ReadAnew,
}

impl Session<'_> {
    /// Keeps both sides in step, until the branch has to be read anew.
    pub(super) async fn follow(&mut self) -> Result<(), Failure> {
        let from = Point { epoch: self.state.epoch, revision: self.state.revision };
        let mut follower = Follower::start(self.side.clone(), from);
        if self.watcher.unwatched() > 0 {
            self.report.note(
                "the system does not watch that many folders (fs.inotify.max_user_watches); \
                 they are looked through every few seconds",
            )?;
        }
        let mut next_survey = Instant::now() + SURVEY_EVERY;
        loop {
            let retry_at = self.retry.map(|(at, _)| at);
            let survey_at = (self.watcher.unwatched() > 0).then_some(next_survey);
            let outcome = tokio::select! {
                heard = follower.next() => match heard {
                    None | Some(Heard::Lost) => return Ok(()),
                    Some(heard) => self.hear(heard, &mut follower).await,
                },
                noted = self.watcher.settled() => self.notice(noted).await,
                () = at(retry_at) => self.settle_again().await,
                () = at(survey_at) => {
                    next_survey = Instant::now() + SURVEY_EVERY;
                    self.notice(Noted { anywhere: true, ..Noted::default() }).await
                }
            };
            match outcome {
                Ok(Next::Follow) => {}
                Ok(Next::ReadAnew) => return Ok(()),
                Err(failure) => {
                    self.bear(failure)?;
                    self.retry_later();
                }
            }
        }
    }

    /// Takes in what the branch says, and everything that waits behind it.
    async fn hear(&mut self, heard: Heard, follower: &mut Follower) -> Result<Next, Failure> {
        let mut heard = Some(heard);
        let mut is_whole = true;
        while let Some(one) = heard {
            match one {
                Heard::Event(event) => {
                    if std::mem::replace(&mut self.is_cut_off, false) {
                        self.retry = self.retry.map(|(_, delay)| (Instant::now(), delay));
                    }
                    if self.retry.is_none() {
                        self.report.back()?;
                    }
                    is_whole = is_resume_point(&event);
                    self.note_event(&event);
                }
                Heard::Away(failure) => {
                    self.is_cut_off = true;
                    self.report.away(&failure)?;
                }
                Heard::Lost => return Ok(Next::ReadAnew),
                Heard::Ended(failure) => return Err(failure),
            }
            heard = follower.at_hand();
        }
        // The rest of a change set comes at once: it is brought as one.
        if !is_whole || self.unread.is_empty() {
            return Ok(Next::Follow);
        }
        let dirty = self.read().await?;
        self.settle(dirty).await?;
        self.in_step(false)?;
        Ok(Next::Follow)
    }

    fn note_event(&mut self, event: &ChangeEvent) {
        let at = Point { epoch: event.epoch, revision: event.revision };
        if is_resume_point(event) {
            (self.state.epoch, self.state.revision) = (at.epoch, at.revision);
        }
        if event.r#type() == Type::Progress {
            return;
        }
        let Ok(id) = NodeId::from_slice(&event.node_id) else { return };
        let known = self.view.known_version(&self.state, id);
        if known.is_some_and(|known| event.version <= known) {
            return;
        }
        if event.kind() != NodeKind::File {
            let path = self.side.names().to_local(&event.path, &BTreeMap::new());
            match path {
                Some(Ok(path)) if event.r#type() != Type::Delete => {
                    let standing = Standing::Other { id, why: DOCUMENT.to_owned() };
                    self.view.put(&self.state, &path, standing);
                }
                _ => self.unsettled.extend(self.view.leave(&self.state, id, None)),
            }
            return;
        }
        // Of a node that came and went meanwhile nothing is to be read.
        if event.r#type() != Type::Delete || known.is_some() {
            self.unread.insert(id);
            self.unread_since = self.unread_since.max(at);
        }
    }

    /// Looks at what may have changed on the disk.
    async fn notice(&mut self, noted: Noted) -> Result<Next, Failure> {
        self.watcher.forget(&noted);
        let mut dirty = BTreeSet::new();
        let mut must_survey = noted.anywhere;
        for bytes in &noted.paths {
            if let Some(path) = LocalPath::of_theirs(bytes) {
                dirty.insert(path);
                continue;
            }
            let Some(path) = LocalPath::new(bytes) else { continue };
            must_survey |= matches!(path.file_name(), b".gitignore" | b".ignore");
            if self.is_known(&path) {
                dirty.insert(path);
                continue;
            }
            match std::fs::symlink_metadata(below(self.disk.root(), bytes)) {
                // Something new, or a folder: the rules say what of it counts.
                Ok(_) => must_survey = true,
                Err(_) => dirty.extend(self.known_within(bytes)),
            }
        }
        if must_survey {
            dirty.extend(self.survey()?);
        }
        if dirty.is_empty() {
            return Ok(Next::Follow);
        }
        self.settle(dirty).await?;
        self.in_step(false)?;
        // The first file made the branch: from now on it can be followed.
        let is_made = self.state.epoch == 0 && self.written != Point::default();
        Ok(if is_made { Next::ReadAnew } else { Next::Follow })
    }

    /// Tries again what could not be done.
    async fn settle_again(&mut self) -> Result<Next, Failure> {
        let mut dirty = self.read().await?;
        dirty.append(&mut self.unsettled);
        self.settle(dirty).await?;
        self.report.back()?;
        self.in_step(false)?;
        Ok(Next::Follow)
    }

    fn is_known(&self, path: &LocalPath) -> bool {
        self.state.get(path).is_some() || self.view.get(path).is_some()
    }

    fn known_within(&self, folder: &[u8]) -> BTreeSet<LocalPath> {
        let agreed = self.state.iter().map(|(path, _)| path);
        agreed.filter(|path| path.is_within(folder)).cloned().collect()
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
