//! Writes: forwarded in the caller's name, exactly once, and seen by every read
//! that follows.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use vdom_core::dom::calls::{
    AckLevel, Conflict, ResolveConflict, ResolveOutcome, WriteContent, WriteDiff, WriteOutcome,
    Written,
};
use vdom_core::{BranchAddress, Error, ErrorCode, OperationId, Result};
use vdom_edge::{Caller, ServiceStream};

use super::Sidecar;
use crate::branch::Branch;
use crate::upstream::OnBehalfOf;

/// How long a write is repeated on a connection that broke.
const RETRY_FOR: Duration = Duration::from_secs(2);
/// The pause before the first repetition; it doubles with each.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(20);
/// How often a branch that ends under an own write is opened anew for it.
const OPEN_MAX: u32 = 2;

impl Sidecar {
    pub(super) async fn forward_write(
        &self,
        caller: &Caller,
        mut request: WriteDiff,
    ) -> Result<WriteOutcome> {
        refuse_local(request.min_ack)?;
        let minted = self.mint(&mut request.operation_id)?;
        let write = || self.upstream().write_diff(OnBehalfOf::Caller(caller), &request);
        let outcome = self.repeated(caller, minted, write).await?;
        Ok(self.written(&request.address, outcome, minted))
    }

    /// Writes one content in pieces, which are gone once they were sent: where
    /// the connection breaks, the caller has to repeat it.
    pub(super) async fn forward_content(
        &self,
        caller: &Caller,
        mut request: WriteContent,
        content: ServiceStream<Bytes>,
    ) -> Result<WriteOutcome> {
        refuse_local(request.min_ack)?;
        let minted = self.mint(&mut request.operation_id)?;
        let address = request.address.clone();
        let write = self.upstream().write_content(OnBehalfOf::Caller(caller), request, content);
        let outcome = write.await.map_err(|error| outcome_unknown(error, minted))?;
        Ok(self.written(&address, outcome, minted))
    }

    pub(super) async fn forward_resolution(
        &self,
        caller: &Caller,
        mut request: ResolveConflict,
    ) -> Result<ResolveOutcome> {
        let minted = self.mint(&mut request.operation_id)?;
        let resolve = || self.upstream().resolve_conflict(OnBehalfOf::Caller(caller), &request);
        let mut outcome = self.repeated(caller, minted, resolve).await?;
        match &mut outcome {
            ResolveOutcome::Resolved(None) => {}
            ResolveOutcome::Resolved(Some(written)) => {
                self.wrote(&request.address, written, minted);
            }
            ResolveOutcome::Conflicted(conflict) => hide_minted(conflict, minted),
        }
        Ok(outcome)
    }

    /// Gives a write an operation id where it has none; true where it did. The
    /// caller never sees that id.
    pub(super) fn mint(&self, operation_id: &mut Option<OperationId>) -> Result<bool> {
        let minted = operation_id.is_none();
        if minted {
            *operation_id = Some(OperationId(self.inner.environment.random()?));
        }
        Ok(minted)
    }

    /// Makes a write that has an operation id. Where the connection breaks, that
    /// lets the gateway tell whether it was made before.
    pub(super) async fn repeated<T, F>(
        &self,
        caller: &Caller,
        minted: bool,
        write: impl Fn() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let longest = Instant::now() + RETRY_FOR;
        let give_up = caller.deadline.map_or(longest, |deadline| longest.min(deadline.into()));
        let mut pause = RETRY_PAUSE_MIN;
        loop {
            match write().await {
                Err(error) if error.code == ErrorCode::Unavailable => {
                    let rest = self.inner.environment.jittered(pause);
                    if Instant::now() + rest >= give_up {
                        return Err(outcome_unknown(error, minted));
                    }
                    tokio::time::sleep(rest).await;
                    pause *= 2;
                }
                answer => return answer,
            }
        }
    }

    /// From here on, no read through this sidecar is older than the write.
    pub(super) fn written(
        &self,
        address: &BranchAddress,
        mut outcome: WriteOutcome,
        minted: bool,
    ) -> WriteOutcome {
        match &mut outcome {
            WriteOutcome::Written(written) => self.wrote(address, written, minted),
            WriteOutcome::Conflicted(conflict) => hide_minted(conflict, minted),
        }
        outcome
    }

    /// Lets the branch take note of an own write. One that ends because of it is
    /// opened anew: also what is read from then on must not be older.
    pub(super) fn take_note(&self, address: &BranchAddress, note: impl Fn(&Branch)) {
        for _ in 0..OPEN_MAX {
            let Some(branch) = self.branches().open(address) else { return };
            note(&branch);
            if !branch.is_over() {
                return;
            }
        }
    }

    fn wrote(&self, address: &BranchAddress, written: &mut Written, minted: bool) {
        self.take_note(address, |branch| branch.wrote(written));
        if minted {
            written.operation_id = None;
        }
    }
}

/// A sidecar without a log of its own cannot promise LOCAL.
pub(super) fn refuse_local(min_ack: AckLevel) -> Result<()> {
    if min_ack == AckLevel::Local {
        return Err(Error::new(
            ErrorCode::Unimplemented,
            "min_ack LOCAL is not offered by this sidecar: ask for COMMITTED, or for nothing",
        ));
    }
    Ok(())
}

/// A write that broke off may have happened.
pub(super) fn outcome_unknown(error: Error, minted: bool) -> Error {
    if error.code != ErrorCode::Unavailable {
        return error;
    }
    let what_to_do = if minted {
        "it may have been written: read the node before you repeat it, and send an operation_id \
         next time"
    } else {
        "it may have been written: repeat it with the same operation_id"
    };
    Error { message: format!("{}; {what_to_do}", error.message), ..error }
}

pub(super) fn hide_minted(conflict: &mut Conflict, minted: bool) {
    if minted {
        conflict.operation_id = None;
    }
}
