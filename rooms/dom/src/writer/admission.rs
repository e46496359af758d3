//! What can be said of a write before its content is stored, by the rules that decide it afterwards.

use vdom_core::dom::calls::{WriteDiff, WriteOutcome};
use vdom_core::{Diff, Error, Result};
use vdom_store::OperationKey;

use crate::branch::usage::Usage;
use crate::branch::{Branch, idempotency};
use crate::writer::propose::Proposed;
use crate::writer::set_proposal::check_expected;
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
    if !is_standing(handle).await? {
        return Ok(None);
    }
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

/// Proves the head that a refusal rests on; false where the branch has ended: another may stand
/// under its name, which decides at the end.
async fn is_standing(handle: &BranchHandle) -> Result<bool> {
    match handle.verify_head().await {
        Err(error) if handle.has_ended(&error) => Ok(false),
        verified => verified.map(|()| true),
    }
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

/// What is known of a change set before all of it is here.
pub(crate) struct SetAdmission<'a> {
    pub handle: &'a BranchHandle,
    pub now_ms: i64,
    pub expected_revision: Option<u64>,
    pub key: Option<OperationKey>,
    /// Whether any quota bounds it.
    pub has_quotas: bool,
    /// By how much the diffs so far make the branch grow at least.
    pub grown: Usage,
}

impl SetAdmission<'_> {
    /// Takes in a diff that is here as a whole.
    pub(crate) async fn take(&mut self, item: &WriteDiff, content: Growing<'_>) -> Result<()> {
        if self.has_quotas {
            self.grown += self.growth_at_least(item, content).await?;
        }
        Ok(())
    }

    /// Refuses a set that comes to nothing whatever follows: it expects another revision, or no
    /// quota has room for the diffs so far and for so many bytes of the current content.
    pub(crate) async fn before_staging(&self, current: Option<(&WriteDiff, u64)>) -> Result<()> {
        if self.refusal(current).await?.is_none() {
            return Ok(());
        }
        if !is_standing(self.handle).await? {
            return Ok(());
        }
        let Some(refused) = self.refusal(current).await? else { return Ok(()) };
        let at_the_end = is_said_at_the_end(&self.handle.branch, self.now_ms, self.key).await?;
        if at_the_end { Ok(()) } else { Err(refused) }
    }

    async fn refusal(&self, current: Option<(&WriteDiff, u64)>) -> Result<Option<Error>> {
        let branch = &self.handle.branch;
        let mut grown = self.grown;
        if let Some((item, bytes)) = current
            && self.has_quotas
        {
            grown += self.growth_at_least(item, Growing::Bytes(bytes)).await?;
        }
        let judged = check_expected(branch, branch.head().revision, self.expected_revision)
            .and_then(|()| branch.usage.check(Usage::default(), grown));
        Ok(judged.err())
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
}

/// What a diff of a change set makes of its node.
#[derive(Clone, Copy)]
pub(crate) enum Growing<'a> {
    Diff(&'a Diff),
    /// A content of at least so many bytes.
    Bytes(u64),
}
