//! Changes as they come, and as they were.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Freshness, NodeSelector};
use crate::dom::change::{Change, ChangeSetHeader, ChangeSetPosition};
use crate::identifiers::Hash;
use crate::names::BranchAddress;

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Subscribe {
    pub address: BranchAddress,
    /// Whole segments; empty: all.
    pub paths: Vec<String>,
    /// `None`: from now.
    pub from: Option<ResumePoint>,
    /// Also diffs, up to 1 MiB each.
    pub include_diffs: bool,
}

/// A place to resume from: every event after it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ResumePoint {
    pub epoch: u64,
    pub revision: u64,
    /// Of the change at that revision, where it is known.
    pub hash: Option<Hash>,
}

impl ResumePoint {
    /// Before the oldest change that is kept, in whatever epoch: no epoch is 0.
    pub const EARLIEST: Self = Self { epoch: 0, revision: 0, hash: None };
}

/// What a subscription delivers.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A change.
    Change(Box<ChangeEvent>),
    /// Everything up to `revision` was delivered.
    Progress {
        /// The branch's epoch.
        epoch: u64,
        /// Its head.
        revision: u64,
        /// How sure that is.
        freshness: Freshness,
    },
}

/// A change as a reader sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeEvent {
    /// The record.
    pub change: Arc<Change>,
    /// What its change set says of all its changes.
    pub set: Option<Arc<ChangeSetHeader>>,
    /// Its hash in the chain.
    pub hash: Hash,
    /// The diff; `None` where it was not asked for or is above 1 MiB.
    pub diff: Option<Bytes>,
}

impl ChangeEvent {
    /// Why it was made: its own message, or that of its change set.
    pub fn message(&self) -> &str {
        match &self.set {
            Some(set) if self.change.message.is_empty() => &set.message,
            _ => &self.change.message,
        }
    }

    /// Its own metadata, and that of its change set where it has none of the name.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let mut metadata = self.set.as_ref().map(|set| set.metadata.clone()).unwrap_or_default();
        metadata.extend(self.change.metadata.clone());
        metadata
    }

    /// Whether a reader may resume after this event.
    pub fn is_resume_point(&self) -> bool {
        self.change.change_set.is_none_or(|ChangeSetPosition { index, size, .. }| index + 1 == size)
    }
}

/// Which changes to list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct GetHistory {
    pub address: BranchAddress,
    /// `None`: the whole branch.
    pub node: Option<NodeSelector>,
    /// Only older ones than this; `None`: from the newest.
    pub before_revision: Option<u64>,
    /// See [`checked_history_limit`](super::checked_history_limit).
    pub limit: u32,
    /// Also diffs, up to 1 MiB each.
    pub include_diffs: bool,
}

/// Changes, newest first.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct HistoryPage {
    pub changes: Vec<ChangeEvent>,
    /// `None`: no older ones.
    pub next_before_revision: Option<u64>,
    pub epoch: u64,
    /// The head that the answer is as of.
    pub revision: u64,
}
