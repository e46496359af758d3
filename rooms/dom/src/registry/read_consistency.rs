//! Brings a branch to where a reader wants it, or refuses; never silently older.

use std::time::Duration;

use tokio::time::Instant;
use vdom_core::dom::calls::ReadAt;
use vdom_core::limits::MIN_REVISION_WAIT_MAX;
use vdom_core::{Error, ErrorCode, Result};
use vdom_edge::Caller;

use crate::branch::{Branch, idempotency};
use crate::records::operation_key;
use crate::writer;
use crate::writer::{BranchHandle, Command};

const POLL_EVERY: Duration = Duration::from_millis(20);

impl BranchHandle {
    /// Proves the head now.
    ///
    /// # Errors
    /// `NotFound` where the branch turns out to be deleted.
    pub(crate) async fn verify_head(&self) -> Result<()> {
        self.ask(|reply| Command::VerifyHead { reply }).await?;
        if self.branch.head().closed {
            return Err(writer::branch_deleted(&self.branch));
        }
        Ok(())
    }

    /// Proves the head where others may append to the log. Where nobody else does, the log ends
    /// where this process knows that it ends: what its own writer is doing now need not be waited
    /// for, as [`Self::verify_head`] does.
    pub(crate) async fn verify_head_if_shared(&self) -> Result<()> {
        let head = self.branch.head();
        // Who creates a branch appends its first batch beside the writer.
        if self.branch.is_shared() || head.number == 0 || head.closed {
            return self.verify_head().await;
        }
        Ok(())
    }

    /// Whether a refusal shows that the branch has ended: nothing was written, and it may have
    /// been made again, unheard of here.
    pub(crate) fn has_ended(&self, error: &Error) -> bool {
        error.code == ErrorCode::NotFound && self.branch.is_retired()
    }

    /// Waits until the branch is as current as `at` asks for, or refuses; never
    /// silently older.
    pub(crate) async fn await_consistency(&self, caller: &Caller, at: &ReadAt) -> Result<()> {
        let branch = &self.branch;
        if branch.head().closed {
            return Err(writer::branch_deleted(branch));
        }
        let max_age = at.max_age_ms.map(Duration::from_millis);
        if max_age.is_some_and(|max_age| self.is_older_than(max_age)) {
            self.verify_head().await?;
        }
        if check_address(branch, at).is_err() && branch.is_shared() {
            // What is asked for may be of an incarnation that is unheard of here.
            self.verify_head().await?;
        }
        check_address(branch, at)?;
        let in_at_most = Instant::now() + MIN_REVISION_WAIT_MAX;
        let deadline = caller.deadline.map_or(in_at_most, Instant::from_std);
        if let Some(revision) = at.min_revision {
            self.wait(
                deadline,
                || async { Ok(branch.head().revision >= revision) },
                || format!("revision {revision}"),
            )
            .await?;
        }
        if let Some(operation) = at.after_operation {
            let key = operation_key(&caller.subject, operation);
            let is_known = || idempotency::is_known(branch, key);
            self.wait(deadline, is_known, || format!("operation {operation}")).await?;
        }
        Ok(())
    }

    /// Whether the head was proven longer ago. Another gateway may append in the very moment
    /// of a proof: no age at all asks for one that comes after the question.
    fn is_older_than(&self, max_age: Duration) -> bool {
        self.branch.is_shared() && (max_age.is_zero() || self.age() > max_age)
    }

    /// Since the head was last proven; nothing where nobody else can append.
    pub(crate) fn age(&self) -> Duration {
        if self.branch.is_shared() {
            self.branch.head_verified_at().elapsed()
        } else {
            Duration::ZERO
        }
    }

    async fn wait<F>(
        &self,
        deadline: Instant,
        mut is_reached: impl FnMut() -> F,
        what: impl Fn() -> String,
    ) -> Result<()>
    where
        F: Future<Output = Result<bool>>,
    {
        let branch = &self.branch;
        let mut head = branch.watch_head();
        loop {
            head.mark_unchanged();
            if is_reached().await? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let head = branch.head();
                return Err(Error::unavailable(format!(
                    "{} is at revision {}: {} is not known here yet; try again",
                    branch.address,
                    head.revision,
                    what()
                ))
                .resource(&branch.address)
                .at(head.epoch, head.revision)
                .retry_after(Duration::from_secs(1)));
            }
            let pause = deadline.saturating_duration_since(Instant::now());
            if branch.is_shared() {
                self.verify_head().await?;
                // Another gateway's append shows only by asking again.
                let _ = tokio::time::timeout(pause.min(POLL_EVERY), head.changed()).await;
            } else {
                let _ = tokio::time::timeout(pause, head.changed()).await;
            }
        }
    }
}

/// Whether the branch, as it is known here, has what is asked for.
fn check_address(branch: &Branch, at: &ReadAt) -> Result<()> {
    let epoch = branch.head().epoch;
    for (wanted, revision) in [(at.epoch, at.revision), (at.min_epoch, at.min_revision)] {
        // What both epochs have is still true.
        if let Some(wanted) = wanted.filter(|wanted| *wanted != epoch)
            && !branch.shares(wanted, revision.unwrap_or(u64::MAX))
        {
            return Err(epoch_changed(branch, wanted));
        }
    }
    at.revision.map_or(Ok(()), |revision| branch.check_kept(revision))
}

/// The refusal of a resume point or revision of another incarnation.
pub(crate) fn epoch_changed(branch: &Branch, wanted: u64) -> Error {
    let head = branch.head();
    Error::new(
        ErrorCode::EpochChanged,
        format!(
            "{} is in epoch {}, not {wanted}: read it anew and go on from there",
            branch.address, head.epoch
        ),
    )
    .resource(&branch.address)
    .at(head.epoch, head.revision)
}
