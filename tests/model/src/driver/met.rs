//! Which features a call belongs to, by its answer.

use vdom_core::ChangeKind;
use vdom_core::dom::calls::{DiffSource, ResolveOutcome, SetOutcome, WriteOutcome};
use vdom_core::limits::CHUNK_BYTES;

use super::{Driver, requests};
use crate::meetings::Feature;
use crate::model::World;
use crate::model::answers::{Answer, Asked, Call};

impl Driver {
    /// Counts what met by a call that was answered.
    pub(super) fn met(&mut self, asked: &Asked, answer: &Answer, before: &World) {
        match (&asked.call, answer) {
            (Call::Write(write), Answer::Write(Ok(outcome))) => {
                if let DiffSource::Bson(diff) = &write.diff
                    && diff.len() > CHUNK_BYTES
                {
                    self.touch_call(asked, Feature::Large);
                }
                match outcome {
                    WriteOutcome::Written(written) => {
                        if before.open(&write.address.branch).is_none()
                            && before.newest(&write.address.branch).is_some()
                        {
                            self.touch_call(asked, Feature::Recreation);
                        }
                        if written.merged {
                            self.touch_call(asked, Feature::Merge);
                        }
                        let log = self.world.open(&write.address.branch);
                        let last = log.and_then(|log| self.world.logs[log].changes.last());
                        if last.is_some_and(|change| change.kind == ChangeKind::Rename) {
                            self.touch_call(asked, Feature::Rename);
                        }
                    }
                    WriteOutcome::Conflicted(conflict) => {
                        self.touch_call(asked, Feature::Conflict);
                        if conflict.conflict_id.is_some() {
                            self.touch_call(asked, Feature::KeptConflict);
                        }
                    }
                }
            }
            (Call::Set(..), Answer::Set(Ok(SetOutcome::Written(_)))) => {
                self.touch_call(asked, Feature::Set);
            }
            (Call::Revert(_), Answer::Set(Ok(SetOutcome::Written(_)))) => {
                self.touch_call(asked, Feature::Revert);
            }
            (Call::Resolve(_), Answer::Resolve(Ok(ResolveOutcome::Resolved(_)))) => {
                self.touch_call(asked, Feature::Resolution);
            }
            (Call::Fork(fork), Answer::Fork(Ok(_))) => {
                let name = &fork.address.branch;
                let Some(log) = self.world.open(name) else { return };
                if before.newest(name).is_some() {
                    self.meetings.touch(log, Feature::Recreation);
                }
                if let Some(parent) = self.world.logs[log].parent {
                    self.meetings.inherit(log, parent.log);
                    self.meetings.touch(log, Feature::Fork);
                    self.meetings.touch(parent.log, Feature::Fork);
                    if self.world.logs[parent.log].parent.is_some_and(|parent| !parent.restored) {
                        self.meetings.touch(log, Feature::ForkOfFork);
                    }
                }
            }
            (Call::Delete(delete), Answer::Delete(Ok(()))) => {
                if let Some(log) = before.open(&delete.address.branch) {
                    self.meetings.touch(log, Feature::Deletion);
                }
            }
            (Call::Read(read), Answer::Read(Ok(_))) if read.at.revision.is_some() => {
                self.touch_call(asked, Feature::OldRead);
            }
            (Call::Tree(tree), Answer::Tree(Ok(_))) if tree.at.revision.is_some() => {
                self.touch_call(asked, Feature::OldRead);
            }
            (Call::Compact(..), Answer::Compact(Ok(Some(_)))) => {
                self.touch_call(asked, Feature::Compaction);
            }
            _ => {}
        }
    }

    /// A feature touches the branch that a call is about.
    pub(super) fn touch_call(&mut self, asked: &Asked, feature: Feature) {
        let address = asked.call.address();
        if let Some(log) = self.world.open(&address.branch) {
            self.meetings.touch(log, feature);
        }
    }

    /// A feature touches a branch.
    pub(super) fn touch_branch(&mut self, branch: u8, feature: Feature) {
        if let Some(log) = self.world.open(&requests::address(branch).branch) {
            self.meetings.touch(log, feature);
        }
    }

    /// A feature touches every branch that there is.
    pub(super) fn touch_all(&mut self, feature: Feature) {
        for log in 0..self.world.logs.len() {
            if !self.world.logs[log].closed {
                self.meetings.touch(log, feature);
            }
        }
    }
}
