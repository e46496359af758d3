//! Writes: forwarded in the caller's name, exactly once, and seen by every read
//! that follows.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use vdom_core::calls::{AckLevel, WriteDiff, WriteOutcome};
use vdom_core::{BranchAddress, Error, ErrorCode, OperationId, Result};
use vdom_edge::{Caller, DomStream};

use super::Sidecar;
use crate::upstream::OnBehalfOf;

/// How long a write is repeated on a connection that broke.
const RETRY_FOR: Duration = Duration::from_secs(2);
/// The pause before the first repetition; it doubles with each.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(20);

impl Sidecar {
    /// Writes one diff. Where the connection breaks, the operation id lets the
    /// gateway tell whether it was written before.
    pub(super) async fn forward_write(
        &self,
        caller: &Caller,
        request: WriteDiff,
    ) -> Result<WriteOutcome> {
        let (request, minted) = self.prepare(request)?;
        let longest = Instant::now() + RETRY_FOR;
        let give_up = caller.deadline.map_or(longest, |deadline| longest.min(deadline.into()));
        let mut pause = RETRY_PAUSE_MIN;
        let outcome = loop {
            let answer = self.upstream().write_diff(OnBehalfOf::Caller(caller), &request).await;
            match answer {
                Err(error) if error.code == ErrorCode::Unavailable => {
                    let rest = self.inner.environment.jittered(pause);
                    if Instant::now() + rest >= give_up {
                        return Err(outcome_unknown(error, minted));
                    }
                    tokio::time::sleep(rest).await;
                    pause *= 2;
                }
                answer => break answer?,
            }
        };
        Ok(self.written(&request.address, outcome, minted))
    }

    /// Writes one content in pieces, which are gone once they were sent: where
    /// the connection breaks, the caller has to repeat it.
    pub(super) async fn forward_content(
        &self,
        caller: &Caller,
        request: WriteDiff,
        content: DomStream<Bytes>,
    ) -> Result<WriteOutcome> {
        let (request, minted) = self.prepare(request)?;
        let outcome = self
            .upstream()
            .write_content(OnBehalfOf::Caller(caller), &request, content)
            .await
            .map_err(|error| match error.code {
                ErrorCode::Unavailable => outcome_unknown(error, minted),
                _ => error,
            })?;
        Ok(self.written(&request.address, outcome, minted))
    }

    /// The write as it is forwarded, and whether its operation id is ours.
    fn prepare(&self, mut request: WriteDiff) -> Result<(WriteDiff, bool)> {
        if request.min_ack == AckLevel::Local {
            return Err(Error::new(
                ErrorCode::Unimplemented,
                "min_ack LOCAL is not offered by this sidecar: ask for COMMITTED, or for nothing",
            ));
        }
        let minted = request.operation_id.is_none();
        if minted {
            request.operation_id = Some(OperationId(self.inner.environment.random()?));
        }
        Ok((request, minted))
    }

    /// From here on, no read through this sidecar is older than the write.
    fn written(
        &self,
        address: &BranchAddress,
        mut outcome: WriteOutcome,
        minted: bool,
    ) -> WriteOutcome {
        match &mut outcome {
            WriteOutcome::Written(written) => {
                if let Some(branch) = self.branches().open(address) {
                    branch.wrote(written);
                }
                if minted {
                    written.operation_id = None;
                }
            }
            WriteOutcome::Conflicted(conflict) => {
                if minted {
                    conflict.operation_id = None;
                }
            }
        }
        outcome
    }
}

/// A write that broke off may have happened.
fn outcome_unknown(error: Error, minted: bool) -> Error {
    let what_to_do = if minted {
        "it may have been written: read the node before you repeat it, and send an operation_id \
         next time"
    } else {
        "it may have been written: repeat it with the same operation_id"
    };
    Error { message: format!("{}; {what_to_do}", error.message), ..error }
}
