//! Both sides in step, as long as the mirror runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use vdom_client::is_resume_point;
use vdom_core::NodeId;
use vdom_proto::v1::change_event::Type;
use vdom_proto::v1::{ChangeEvent, NodeKind};

use super::MirrorSession;
use crate::branch_side::{BranchUpdate, DOCUMENT, Follower, RemoteEntry};
use crate::error::Result;
use crate::local_directory::ObservedPaths;
use crate::local_path::{LocalPath, below};
use crate::log_position::LogPosition;

/// How often a directory that the system does not watch is looked through.
const SCAN_EVERY: Duration = Duration::from_secs(5);

/// What an event means for following the branch.
enum FollowDecision {
    Follow,
    ReadAnew,
}

impl MirrorSession<'_> {
    /// Keeps both sides in step, until the branch has to be read anew.
    pub(super) async fn follow(&mut self) -> Result<()> {
        let from = LogPosition { epoch: self.state.epoch, revision: self.state.revision };
        let mut follower = Follower::start(&self.side, from);
        if self.watcher.unwatched() > 0 {
            self.report.note(
                "the system does not watch that many folders (fs.inotify.max_user_watches); \
                 they are looked through every few seconds",
            )?;
        }
        let mut next_scan = Instant::now() + SCAN_EVERY;
        loop {
            let retry_at = self.retry.map(|(at, _)| at);
            let scan_at = (self.watcher.unwatched() > 0).then_some(next_scan);
            let outcome = tokio::select! {
                update = follower.next() => match update {
                    None | Some(BranchUpdate::Lost) => return Ok(()),
                    Some(update) => self.handle_updates(update, &mut follower).await,
                },
                observed = self.watcher.next_batch() => self.handle_local_changes(observed).await,
                () = at(retry_at) => self.retry_unsettled().await,
                may_go = self.deletions.answer() => self.answered(may_go).await,
                () = at(scan_at) => {
                    next_scan = Instant::now() + SCAN_EVERY;
                    self.handle_local_changes(ObservedPaths { anywhere: true, ..ObservedPaths::default() }).await
                }
            };
            match outcome {
                Ok(FollowDecision::Follow) => {}
                Ok(FollowDecision::ReadAnew) => return Ok(()),
                Err(error) => {
                    self.tolerate(error)?;
                    self.retry_later();
                }
            }
        }
    }

    /// Takes in what the branch says, and everything that waits behind it.
    async fn handle_updates(
        &mut self,
        update: BranchUpdate,
        follower: &mut Follower,
    ) -> Result<FollowDecision> {
        let mut update = Some(update);
        let mut is_whole = true;
        while let Some(one) = update {
            match one {
                BranchUpdate::Event(event) => {
                    if std::mem::replace(&mut self.is_cut_off, false) {
                        self.retry = self.retry.map(|(_, delay)| (Instant::now(), delay));
                    }
                    if self.retry.is_none() {
                        self.report.back()?;
                    }
                    is_whole = is_resume_point(&event);
                    self.apply_event(&event);
                }
                BranchUpdate::Away(error) => {
                    self.is_cut_off = true;
                    self.report.away(&error)?;
                }
                BranchUpdate::Lost => return Ok(FollowDecision::ReadAnew),
                BranchUpdate::Ended(error) => return Err(error),
            }
            update = follower.try_next();
        }
        // The rest of a change set comes at once: it is brought as one.
        if !is_whole || self.unread.is_empty() {
            return Ok(FollowDecision::Follow);
        }
        let dirty = self.read().await?;
        self.sync(dirty).await?;
        self.in_step(false)?;
        Ok(FollowDecision::Follow)
    }

    fn apply_event(&mut self, event: &ChangeEvent) {
        let at = LogPosition { epoch: event.epoch, revision: event.revision };
        if is_resume_point(event) {
            (self.state.epoch, self.state.revision) = (at.epoch, at.revision);
        }
        if event.r#type() == Type::Progress {
            return;
        }
        let Ok(id) = NodeId::from_slice(&event.node_id) else { return };
        let known = self.overlay.known_version(&self.state, id);
        if known.is_some_and(|known| event.version <= known) {
            return;
        }
        if event.kind() != NodeKind::File {
            let path = self.side.names().to_local(&event.path, &BTreeMap::new());
            match path {
                Some(Ok(path)) if event.r#type() != Type::Delete => {
                    let standing = RemoteEntry::Other { id, why: DOCUMENT.to_owned() };
                    self.overlay.put(&self.state, &path, standing);
                }
                _ => self.unsettled.extend(self.overlay.leave(&self.state, id, None)),
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
    async fn handle_local_changes(&mut self, observed: ObservedPaths) -> Result<FollowDecision> {
        self.watcher.forget(&observed);
        let mut dirty = BTreeSet::new();
        let mut must_scan = observed.anywhere;
        for bytes in &observed.paths {
            if let Some(path) = LocalPath::of_theirs(bytes) {
                dirty.insert(path);
                continue;
            }
            let Some(path) = LocalPath::new(bytes) else { continue };
            must_scan |= matches!(path.file_name(), b".gitignore" | b".ignore");
            if self.is_known(&path) {
                dirty.insert(path);
                continue;
            }
            match std::fs::symlink_metadata(below(self.directory.root(), bytes)) {
                // Something new, or a folder: the rules say what of it counts.
                Ok(_) => must_scan = true,
                Err(_) => dirty.extend(self.known_within(bytes)),
            }
        }
        if must_scan {
            dirty.extend(self.scan()?);
        }
        if dirty.is_empty() {
            return Ok(FollowDecision::Follow);
        }
        self.sync(dirty).await?;
        self.in_step(false)?;
        // The first file made the branch: from now on it can be followed.
        let is_made = self.state.epoch == 0 && self.written != LogPosition::default();
        Ok(if is_made { FollowDecision::ReadAnew } else { FollowDecision::Follow })
    }

    /// Tries again what could not be done.
    async fn retry_unsettled(&mut self) -> Result<FollowDecision> {
        self.retry_unstored();
        let mut dirty = self.read().await?;
        dirty.append(&mut self.unsettled);
        self.sync(dirty).await?;
        self.report.back()?;
        self.in_step(false)?;
        Ok(FollowDecision::Follow)
    }

    /// Whether deletions that wait may go.
    async fn answered(&mut self, may_go: bool) -> Result<FollowDecision> {
        if may_go {
            self.allow_deletions().await?;
            self.in_step(false)?;
        }
        Ok(FollowDecision::Follow)
    }

    fn is_known(&self, path: &LocalPath) -> bool {
        self.state.get(path).is_some() || self.overlay.get(path).is_some()
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
