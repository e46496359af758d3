//! A change set as it comes in, in one message or as a stream: in order, within
//! its limits, and never taken for whole when it broke off.

mod one;

use futures::{Stream, StreamExt, stream};
use vdom_core::dom::calls::{ChangeSetPart, DiffSource, WriteDiffs};
use vdom_core::limits::{CHANGE_SET_MAX_BYTES, CHANGE_SET_MAX_DIFFS, CONTENT_MAX_BYTES};
use vdom_core::{Error, RealmName, Result};
use vdom_proto::v1 as wire;
use vdom_proto::v1::write_diffs_chunk::Chunk;

use crate::dom::convert::decode;
use vdom_edge::ServiceStream;
use vdom_edge::stream::with_idle_timeout;

pub(in crate::dom::grpc) use one::{OneOrAll, content_to_keep, set_of_one};

/// The set of one message, whose diffs bring all they need; `caller_realm` is the
/// realm where it names none. `InvalidArgument` or `TooLarge` says what is wrong with
/// which diff.
pub fn in_one_message(
    mut request: wire::WriteDiffsRequest,
    caller_realm: Option<&RealmName>,
) -> Result<(WriteDiffs, ServiceStream<ChangeSetPart>)> {
    let diffs = std::mem::take(&mut request.diffs);
    let set = decode::write_diffs(request, caller_realm)?;
    let mut reader = Reader::new(set.clone());
    let mut parts = Vec::with_capacity(diffs.len());
    for diff in diffs {
        let part = reader.diff(diff)?;
        if reader.content.is_some() {
            return Err(reader.refuse(
                "diff_bson brings no content: put it into `v`, or stream the set with \
                 WriteDiffsStream",
            ));
        }
        parts.push(Ok(part));
    }
    reader.end()?;
    Ok((set, stream::iter(parts).boxed()))
}

/// The set of a stream, once its header is read; `caller_realm` is the realm where
/// it names none. What is wrong with the rest ends the parts with an error.
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
    let state = Some((chunks, Reader::new(set.clone())));
    let parts = stream::unfold(state, |state| async move {
        let (mut chunks, mut reader) = state?;
        loop {
            let part = match chunks.next().await {
                // A set that is whole has no error to end with.
                None => Err(reader.end().err()?),
                Some(chunk) => chunk.and_then(|chunk| reader.part(chunk)),
            };
            match part {
                Ok(Some(part)) => return Some((Ok(part), Some((chunks, reader)))),
                Ok(None) => {}
                Err(error) => return Some((Err(error), None)),
            }
        }
    });
    Ok((set, parts.boxed()))
}

/// Knows what may come next.
struct Reader {
    set: WriteDiffs,
    diffs: usize,
    /// Of all diffs and contents.
    bytes: u64,
    /// Of the content that follows the last diff; `None` where it needs none.
    content: Option<u64>,
}

impl Reader {
    fn new(set: WriteDiffs) -> Self {
        Self { set, diffs: 0, bytes: 0, content: None }
    }

    /// `None`: nothing that matters.
    fn part(&mut self, chunk: wire::WriteDiffsChunk) -> Result<Option<ChangeSetPart>> {
        match chunk_of(chunk)? {
            Chunk::Diff(diff) => self.diff(diff).map(Some),
            Chunk::Content(piece) if self.diffs == 0 => {
                let bytes = piece.len();
                Err(Error::invalid(format!(
                    "a content of {bytes} bytes comes before any diff: it must follow the `put` \
                     that it belongs to"
                )))
            }
            Chunk::Content(piece) => {
                let Some(received) = self.content else {
                    return Err(self.refuse(
                        "content follows a diff that needs none: it belongs to a `put` without `v`",
                    ));
                };
                let received = received + piece.len() as u64;
                if received > CONTENT_MAX_BYTES {
                    return Err(self.refuse_size(format_args!(
                        "the content has more than {CONTENT_MAX_BYTES} bytes"
                    )));
                }
                self.content = Some(received);
                self.count(piece.len())?;
                Ok((!piece.is_empty()).then_some(ChangeSetPart::Content(piece)))
            }
            Chunk::Header(_) => Err(Error::invalid(
                "a second header: a stream has one, and begins with it; send each set in a stream \
                 of its own",
            )),
        }
    }

    fn diff(&mut self, diff: wire::WriteDiffRequest) -> Result<ChangeSetPart> {
        self.diffs += 1;
        if self.diffs > CHANGE_SET_MAX_DIFFS {
            return Err(Error::too_large(format!(
                "the change set has more than {CHANGE_SET_MAX_DIFFS} diffs: split it"
            )));
        }
        self.count(diff.diff_bson.len())?;
        let diff = decode::diff_of_set(&self.set, diff)
            .map_err(|error| Error { message: self.at(&error.message), ..error })?;
        self.content = matches!(diff.diff, DiffSource::Follows).then_some(0);
        Ok(ChangeSetPart::Diff(Box::new(diff)))
    }

    fn end(&self) -> Result<()> {
        if self.diffs == 0 {
            return Err(Error::invalid("the change set has no diff: send at least one"));
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes as u64;
        if self.bytes > CHANGE_SET_MAX_BYTES {
            return Err(self.refuse_size(format_args!(
                "with it the change set has more than {CHANGE_SET_MAX_BYTES} bytes: split it"
            )));
        }
        Ok(())
    }

    /// What is said of the last diff.
    fn at(&self, words: impl std::fmt::Display) -> String {
        format!("diff {}: {words}", self.diffs.saturating_sub(1))
    }

    fn refuse(&self, words: &str) -> Error {
        Error::invalid(self.at(words))
    }

    fn refuse_size(&self, words: std::fmt::Arguments<'_>) -> Error {
        Error::too_large(self.at(words))
    }
}

fn chunk_of(chunk: wire::WriteDiffsChunk) -> Result<Chunk> {
    chunk
        .chunk
        .ok_or_else(|| Error::invalid("a chunk of the stream is neither header, diff nor content"))
}

#[cfg(test)]
mod tests;
