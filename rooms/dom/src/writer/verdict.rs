//! What becomes of a proposal if the head is proven.

use vdom_core::dom::calls::{AckLevel, Conflict, WriteOutcome, Written};
use vdom_core::{Change, Error, ErrorCode, Node, Result};

use crate::metrics::Outcome;

/// What becomes of a proposal if the head is proven.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is among the staged changes.
    Accepted(Written),
    /// It was accepted before.
    Repeated(Written),
    /// What it wants is what stands there.
    Same(Written),
    /// It disagrees with what stands there.
    Conflicted(Box<Conflict>),
    /// It cannot be applied.
    Refused(Error),
}

impl Verdict {
    /// Whether it would be wrong on another head.
    pub(crate) fn rests_on_head(&self) -> bool {
        !matches!(self, Self::Repeated(_))
    }

    /// The outcome that the metrics count it as.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Accepted(_) => Outcome::Accepted,
            Self::Repeated(_) | Self::Same(_) => Outcome::Repeated,
            Self::Conflicted(_) => Outcome::Conflicted,
            Self::Refused(_) => Outcome::Refused,
        }
    }

    /// The answer to the client.
    pub(crate) fn into_answer(self) -> Result<WriteOutcome> {
        match self {
            Self::Accepted(written) | Self::Repeated(written) | Self::Same(written) => {
                Ok(WriteOutcome::Written(written))
            }
            Self::Conflicted(conflict) => Ok(WriteOutcome::Conflicted(conflict)),
            Self::Refused(error) => Err(error),
        }
    }
}

/// The answer that an accepted change gives, now and when it is repeated.
pub(crate) fn written(change: &Change) -> Written {
    Written {
        node_id: change.node_id,
        version: change.version,
        clock: change.clock.clone(),
        epoch: change.epoch,
        revision: change.revision,
        ack: AckLevel::Committed,
        merged: change.merged,
        timestamp_ms: change.timestamp_ms,
        operation_id: change.operation.map(|operation| operation.id),
    }
}

/// The answer where nothing had to be written.
pub(crate) fn as_it_stands(node: &Node) -> Written {
    Written {
        node_id: node.id,
        version: node.version,
        clock: node.clock.clone(),
        epoch: node.epoch,
        revision: node.changed_revision,
        ack: AckLevel::Committed,
        merged: false,
        timestamp_ms: node.timestamp_ms,
        operation_id: None,
    }
}

/// Whether an error is about the store, and so about more than one write.
pub(crate) fn concerns_the_store(error: &Error) -> bool {
    matches!(error.code, ErrorCode::Unavailable | ErrorCode::Internal | ErrorCode::DataLoss)
}
