//! What can be said of a write before its content is stored, by the rules that decide it afterwards.

use vdom_core::dom::calls::{WriteDiff, WriteOutcome};
use vdom_core::{Diff, Error, ErrorCode, Result};
use vdom_store::OperationKey;

use crate::branch::usage::Usage;
use crate::branch::{Branch, idempotency};
use crate::writer::propose::Proposed;
use crate::writer::staging::Staging;
use crate::writer::verdict::Verdict;
use crate::writer::{BranchHandle, Proposal};

/// Judges a proposal whose diff names chunks that are not stored yet: an error or a conflict is
/// the answer, and rests on a head that was proven by now; `None`: its content may come. A
/// conflict that shall be kept needs its content first.
pub(crate) async fn refused_already(
    handle: &BranchHandle,
    now_ms: i64,
    proposal: &Proposal,
) -> Result<Option<WriteOutcome>> {
    if matches!(judge(&handle.branch, now_ms, proposal).await, Ok(None)) {
        return Ok(None);
    }
    handle.verify_head().await?;
    match judge(&handle.branch, now_ms, proposal).await? {
        None => Ok(None),
        Some(outcome) => Proposed::of(proposal).explained(&handle.branch, outcome).await.map(Some),
    }
}

async fn judge(branch: &Branch, now_ms: i64, proposal: &Proposal) -> Result<Option<WriteOutcome>> {
    let refused = match Staging::new(branch, now_ms).evaluate_open(proposal).await {
        Ok(Verdict::Conflicted(conflict)) if !proposal.keep_conflict => {
            Ok(Some(WriteOutcome::Conflicted(conflict)))
        }
        Ok(_) => return Ok(None),
        Err(error) => Err(error),
    };
    let key = proposal.operation.map(|(_, key)| key);
    if is_said_at_the_end(branch, now_ms, key).await? { Ok(None) } else { refused }
}

/// Whether a refusal would be wrong: the write was answered before, or its branch has ended.
async fn is_said_at_the_end(
    branch: &Branch,
    now_ms: i64,
    key: Option<OperationKey>,
) -> Result<bool> {
    if branch.head().closed {
        return Ok(true);
    }
    let Some(key) = key else { return Ok(false) };
    let found = idempotency::find(branch, &[key], now_ms).await?;
    Ok(found.into_iter().flatten().next().is_some())
}

/// Refuses where the branch is not at the revision that a change set expects.
pub(crate) fn check_expected(branch: &Branch, expected: Option<u64>) -> Result<()> {
    let head = branch.head();
    let Some(expected) = expected.filter(|expected| *expected != head.revision) else {
        return Ok(());
    };
    Err(Error::new(
        ErrorCode::FailedPrecondition,
        format!(
            "{} is at revision {}, not at the expected {expected}: read what changed and decide \
             again",
            branch.address, head.revision
        ),
    )
    .resource(&branch.address)
    .at(head.epoch, head.revision))
}

/// What is known of a change set before all of it is here.
pub(crate) struct SetAdmission<'a> {
    pub handle: &'a BranchHandle,
    pub now_ms: i64,
    pub key: Option<OperationKey>,
    /// By how much the diffs so far make the branch grow at least.
    pub grown: Usage,
}

impl SetAdmission<'_> {
    /// Refuses a set that expects another revision.
    pub(crate) async fn check_expected(&self, expected: Option<u64>) -> Result<()> {
        if check_expected(&self.handle.branch, expected).is_ok() {
            return Ok(());
        }
        self.handle.verify_head().await?;
        match check_expected(&self.handle.branch, expected) {
            Err(refused) if !self.is_said_at_the_end().await? => Err(refused),
            _ => Ok(()),
        }
    }

    /// Refuses a set that no quota has room for, whatever comes after this diff and `bytes` of the
    /// content that it puts.
    pub(crate) async fn check_growth(&self, item: &WriteDiff, content: Growing<'_>) -> Result<()> {
        let usage = &self.handle.branch.usage;
        let growth = self.growth_at_least(item, content).await?;
        if usage.check(self.grown, growth).is_ok() {
            return Ok(());
        }
        self.handle.verify_head().await?;
        let growth = self.growth_at_least(item, content).await?;
        match usage.check(self.grown, growth) {
            Err(refused) if !self.is_said_at_the_end().await? => Err(refused),
            _ => Ok(()),
        }
    }

    /// Takes in a diff that is here as a whole, if it is not refused.
    pub(crate) async fn take(&mut self, item: &WriteDiff, content: Growing<'_>) -> Result<()> {
        self.check_growth(item, content).await?;
        self.grown += self.growth_at_least(item, content).await?;
        Ok(())
    }

    /// What a diff adds at least: another one of the set may take its node away before, and make
    /// it create one.
    async fn growth_at_least(&self, item: &WriteDiff, content: Growing<'_>) -> Result<Usage> {
        let branch = &self.handle.branch;
        let node = match (item.node_id, &item.path) {
            (Some(id), _) => branch.node(id).await?,
            (None, Some(path)) => branch.node_at(path).await?,
            (None, None) => None,
        };
        let node = node.filter(|node| node.live);
        let after = match (content, &node) {
            (Growing::Bytes(bytes), _) => Usage::of_live(bytes),
            (Growing::Diff(Diff::Delete), _) => Usage::default(),
            (Growing::Diff(diff), node) => match (diff.put(), node) {
                (Some(put), _) => Usage::of_live(put.len()),
                (None, None) => Usage::default(),
                (None, Some(_)) if diff.needs_content() => Usage::of_live(0),
                (None, Some(node)) => Usage::of(node),
            },
        };
        Ok(after - Usage::counted(node.as_deref(), branch.counts_after()))
    }

    async fn is_said_at_the_end(&self) -> Result<bool> {
        is_said_at_the_end(&self.handle.branch, self.now_ms, self.key).await
    }
}

/// What a diff of a change set makes of its node.
#[derive(Clone, Copy)]
pub(crate) enum Growing<'a> {
    Diff(&'a Diff),
    /// A content of at least so many bytes.
    Bytes(u64),
}
