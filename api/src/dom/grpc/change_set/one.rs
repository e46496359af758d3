//! A stream that brings one content whose conflict is to be kept.

use bytes::Bytes;
use futures::{StreamExt, stream};
use vdom_core::dom::calls::{
    ChangeSetPart, DiffSource, SetConflicts, SetOutcome, SetWritten, WriteContent, WriteDiffs,
    WriteOutcome,
};
use vdom_core::{Error, Result};

use vdom_edge::ServiceStream;

/// What a stream brings.
pub(in crate::dom::grpc) enum OneOrAll {
    /// One write and its content.
    One(Box<WriteContent>, ServiceStream<Bytes>),
    /// A set.
    All(WriteDiffs, ServiceStream<ChangeSetPart>),
}

/// A content that follows its diff alone, where a conflict is to be kept: no set
/// keeps one. Else the set as it was.
pub(in crate::dom::grpc) async fn content_to_keep(
    set: WriteDiffs,
    mut parts: ServiceStream<ChangeSetPart>,
) -> Result<OneOrAll> {
    match parts.next().await.transpose()? {
        Some(ChangeSetPart::Diff(diff))
            if diff.keep_conflict && matches!(diff.diff, DiffSource::Follows) =>
        {
            if set.expected_revision.is_some() {
                return Err(Error::invalid(
                    "expected_revision and keep_conflict exclude each other",
                ));
            }
            let request = WriteContent {
                address: diff.address,
                node_id: diff.node_id,
                path: diff.path,
                kind: diff.kind,
                clock: diff.clock,
                on_conflict: diff.on_conflict,
                min_ack: diff.min_ack,
                keep_conflict: diff.keep_conflict,
                actor: diff.actor,
                author: set.author,
                message: if diff.message.is_empty() { set.message } else { diff.message },
                metadata: set.metadata.into_iter().chain(diff.metadata).collect(),
                operation_id: set.operation_id,
                expected_bytes: None,
            };
            let content = parts.map(|part| match part? {
                ChangeSetPart::Content(piece) => Ok(piece),
                ChangeSetPart::Diff(_) => Err(Error::invalid(
                    "diff 1: another one follows a diff whose conflict is to be kept: \
                     keep_conflict is for a diff of its own",
                )),
            });
            Ok(OneOrAll::One(Box::new(request), content.boxed()))
        }
        first => {
            let first = stream::iter(first.map(Ok));
            Ok(OneOrAll::All(set, first.chain(parts).boxed()))
        }
    }
}

/// The outcome of one write as that of a set of one.
pub(in crate::dom::grpc) fn set_of_one(outcome: WriteOutcome) -> SetOutcome {
    match outcome {
        WriteOutcome::Written(written) => SetOutcome::Written(SetWritten {
            epoch: written.epoch,
            first_revision: written.revision,
            last_revision: written.revision,
            ack: written.ack,
            timestamp_ms: written.timestamp_ms,
            operation_id: written.operation_id,
            results: vec![written],
        }),
        WriteOutcome::Conflicted(conflict) => SetOutcome::Conflicted(SetConflicts {
            epoch: conflict.epoch,
            revision: conflict.revision,
            operation_id: conflict.operation_id,
            results: vec![Some(conflict)],
        }),
    }
}
