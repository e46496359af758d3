//! A change set as it comes in, in one message or as a stream: in order, within
//! its limits, and never taken for whole when it broke off.

mod one;

use futures::{Stream, StreamExt, stream};
use vdom_core::dom::calls::{ChangeSetPart, WriteDiff, WriteDiffs};
use vdom_core::{Error, RealmName, Result};
use vdom_proto::v1 as wire;
use vdom_proto::v1::write_diffs_chunk::Chunk;

use crate::dom::change_set_counter::ChangeSetCounter;
use crate::dom::convert::decode;
use vdom_edge::ServiceStream;
use vdom_edge::stream::with_idle_timeout;

pub(in crate::dom::grpc) use one::{OneOrAll, content_to_keep, set_of_one};

/// The set of one message, whose diffs bring all they need; `caller_realm` is the
/// realm where it names none.
///
/// # Errors
/// `InvalidArgument` or `TooLarge` says what is wrong with which diff.
pub fn in_one_message(
    mut request: wire::WriteDiffsRequest,
    caller_realm: Option<&RealmName>,
) -> Result<(WriteDiffs, ServiceStream<ChangeSetPart>)> {
    let diffs = std::mem::take(&mut request.diffs);
    let set = decode::write_diffs(request, caller_realm)?;
    let mut counter = ChangeSetCounter::default();
    let mut parts = Vec::with_capacity(diffs.len());
    for diff in diffs {
        parts.push(Ok(counter.whole_diff(|| diff_of(&set, diff))?));
    }
    counter.end()?;
    Ok((set, stream::iter(parts).boxed()))
}

/// The set of a stream, once its header is read; `caller_realm` is the realm where
/// it names none. What is wrong with the rest ends the parts with an error.
///
/// # Errors
/// `InvalidArgument` for what is no header; that of `chunks` where it breaks off before.
pub async fn in_a_stream(
    chunks: impl Stream<Item = Result<wire::WriteDiffsChunk>> + Send + 'static,
    caller_realm: Option<&RealmName>,
) -> Result<(WriteDiffs, ServiceStream<ChangeSetPart>)> {
    let mut chunks = with_idle_timeout(chunks);
    let first = chunks.next().await.transpose()?.map(chunk_of).transpose()?;
    let Some(Chunk::Header(header)) = first else {
        return Err(Error::invalid("the stream must begin with a header"));
    };
    if !header.diffs.is_empty() {
        return Err(Error::invalid(
            "header.diffs must stay empty in a stream: send each as a diff",
        ));
    }
    let set = decode::write_diffs(header, caller_realm)?;
    let state = Some((chunks, set.clone(), ChangeSetCounter::default()));
    let parts = stream::unfold(state, |state| async move {
        let (mut chunks, set, mut counter) = state?;
        loop {
            let part = match chunks.next().await {
                // A set that is whole has no error to end with.
                None => Err(counter.end().err()?),
                Some(chunk) => chunk.and_then(|chunk| part_of(&set, &mut counter, chunk)),
            };
            match part {
                Ok(Some(part)) => return Some((Ok(part), Some((chunks, set, counter)))),
                Ok(None) => {}
                Err(error) => return Some((Err(error), None)),
            }
        }
    });
    Ok((set, parts.boxed()))
}

/// The next part of the set; `None` for nothing that matters.
fn part_of(
    set: &WriteDiffs,
    counter: &mut ChangeSetCounter,
    chunk: wire::WriteDiffsChunk,
) -> Result<Option<ChangeSetPart>> {
    match chunk_of(chunk)? {
        Chunk::Diff(diff) => counter.diff(|| diff_of(set, diff)).map(Some),
        Chunk::Content(piece) => counter.content(piece),
        Chunk::Header(_) => Err(Error::invalid(
            "a second header: a stream has one, and begins with it; send each set in a stream of \
             its own",
        )),
    }
}

/// A diff of the set, and its size in bytes.
fn diff_of(set: &WriteDiffs, diff: wire::WriteDiffRequest) -> Result<(WriteDiff, usize)> {
    let bytes = diff.diff_bson.len();
    Ok((decode::diff_of_set(set, diff)?, bytes))
}

fn chunk_of(chunk: wire::WriteDiffsChunk) -> Result<Chunk> {
    chunk
        .chunk
        .ok_or_else(|| Error::invalid("a chunk of the stream is neither header, diff nor content"))
}

#[cfg(test)]
mod tests;
