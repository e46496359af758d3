//! The first answer to a request that is repeated, before anything is computed for it.

use vdom_core::{Operation, Result};
use vdom_store::OperationKey;

use crate::branch::idempotency;
use crate::records::RecordedResult;
use crate::writer::BranchHandle;

/// What was answered under an operation before, on a head that is proven.
///
/// # Errors
/// `FailedPrecondition` where the same id was used for another request.
pub(crate) async fn recorded(
    handle: &BranchHandle,
    operation: Option<(Operation, OperationKey)>,
    now_ms: i64,
) -> Result<Option<RecordedResult>> {
    let Some((operation, key)) = operation else { return Ok(None) };
    handle.verify_head().await?;
    let found = idempotency::find(&handle.branch, &[key], now_ms).await?;
    match found.into_iter().flatten().next() {
        Some(first) if first.operation.request != operation.request => {
            Err(idempotency::used_before(operation.id, &handle.branch.address))
        }
        found => Ok(found),
    }
}
