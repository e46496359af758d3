//! Change sets as they come in: in order, within their limits, all of what was sent, and
//! the same as a stream and in one message.
#![no_main]

use std::sync::OnceLock;

use bytes::Bytes;
use futures::{StreamExt, stream};
use libfuzzer_sys::fuzz_target;
use prost::Message;
use tokio::runtime::{Builder, Runtime};
use vdom_api::dom::grpc::change_set::{in_a_stream, in_one_message};
use vdom_core::dom::calls::{ChangeSetPart, DiffSource, WriteDiff, WriteDiffs};
use vdom_core::limits::{
    ACTOR_MAX_BYTES, CHANGE_MESSAGE_MAX_BYTES, CHANGE_SET_MAX_BYTES, CLOCK_MAX_ACTORS,
    CONTENT_MAX_BYTES, METADATA_MAX_BYTES, METADATA_MAX_ENTRIES, PATH_MAX_BYTES,
};
use vdom_core::{Error, ErrorCode};
use vdom_fuzz::input::{byte, part, take};
use vdom_proto::v1::WriteDiffsChunk;
use vdom_proto::v1::write_diffs_chunk::Chunk;

/// The largest content in one chunk.
const PIECE_MAX_BYTES: usize = 4 << 20;
/// As many as pass the limit of bytes; the limit of diffs would take too long.
const CHUNKS_MAX: usize = 1_500;

/// What a stream brings, and whether it breaks off.
struct Sent {
    chunks: Vec<WriteDiffsChunk>,
    breaks_off: bool,
}

/// What was read of a stream.
struct Read {
    set: WriteDiffs,
    parts: Vec<ChangeSetPart>,
    error: Option<Error>,
}

fuzz_target!(|data: &[u8]| check(data));

/// The input is a row of steps: a byte that says which, and what belongs to it.
fn check(data: &[u8]) {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME
        .get_or_init(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
    let sent = sent(data);
    let read = runtime.block_on(read(&sent));
    if let Ok(read) = &read {
        in_order(&sent, read);
        within_limits(read);
    }
    runtime.block_on(in_a_message(&sent, &read));
}

/// Steps: a message on the wire with its length, a content of so many zeros, the last
/// chunk so many times again, or the end of the connection.
fn sent(mut data: &[u8]) -> Sent {
    static ZEROS: OnceLock<Bytes> = OnceLock::new();
    let zeros = ZEROS.get_or_init(|| Bytes::from(vec![0; PIECE_MAX_BYTES]));
    let mut chunks = Vec::new();
    while !data.is_empty() {
        match byte(&mut data) % 4 {
            0 => chunks.extend(WriteDiffsChunk::decode(part(&mut data))),
            1 => {
                let piece = zeros.slice(..number(&mut data).min(PIECE_MAX_BYTES));
                chunks.push(WriteDiffsChunk { chunk: Some(Chunk::Content(piece)) });
            }
            2 => {
                let times = number(&mut data).min(CHUNKS_MAX - chunks.len());
                let last = chunks.last().cloned();
                chunks.extend(last.into_iter().flat_map(|last| vec![last; times]));
            }
            _ => return Sent { chunks, breaks_off: true },
        }
        chunks.truncate(CHUNKS_MAX);
    }
    Sent { chunks, breaks_off: false }
}

/// Takes a number of 24 bits.
fn number(data: &mut &[u8]) -> usize {
    take(data, 3).iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

async fn read(sent: &Sent) -> Result<Read, Error> {
    let end = sent.breaks_off.then(|| Err(Error::unavailable("the connection is gone")));
    let chunks = stream::iter(sent.chunks.clone().into_iter().map(Ok).chain(end));
    let (set, mut coming) = in_a_stream(chunks, None).await?;
    let (mut parts, mut error) = (Vec::new(), None);
    while let Some(part) = coming.next().await {
        assert_eq!(error, None, "an error is the end");
        match part {
            Ok(part) => parts.push(part),
            Err(refusal) => error = Some(refusal),
        }
    }
    Ok(Read { set, parts, error })
}

/// What was read is what was sent, in its order, up to the error if there is one.
fn in_order(sent: &Sent, read: &Read) {
    let mut chunks = sent.chunks.iter().filter_map(|chunk| chunk.chunk.as_ref());
    assert!(matches!(chunks.next(), Some(Chunk::Header(header)) if header.diffs.is_empty()));
    let is_empty = |chunk: &&Chunk| matches!(chunk, Chunk::Content(piece) if piece.is_empty());
    let mut chunks = chunks.filter(|chunk| !is_empty(chunk));
    let mut takes_content = false;
    for part in &read.parts {
        match (part, chunks.next()) {
            (ChangeSetPart::Diff(part), Some(Chunk::Diff(diff))) => {
                takes_content = part.diff == DiffSource::Follows;
                assert!(takes_content || part.diff == DiffSource::Bson(diff.diff_bson.clone()));
                assert_eq!(part.path.as_ref().map_or("", |path| path.as_str()), diff.path);
            }
            (ChangeSetPart::Content(piece), Some(Chunk::Content(content))) => {
                assert!(takes_content && piece == content);
            }
            (part, chunk) => panic!("{part:?} from {chunk:?}"),
        }
    }
    if read.error.is_none() {
        assert!(!sent.breaks_off && chunks.next().is_none());
        assert!(sent.chunks.iter().all(|chunk| chunk.chunk.is_some()));
        assert!(matches!(read.parts.first(), Some(ChangeSetPart::Diff(_))));
    }
}

fn within_limits(read: &Read) {
    let set = &read.set;
    assert!(set.message.len() <= CHANGE_MESSAGE_MAX_BYTES);
    assert!(set.metadata.len() <= METADATA_MAX_ENTRIES);
    let (mut diffs, mut all, mut content) = (0, 0, 0);
    for part in &read.parts {
        match part {
            ChangeSetPart::Diff(diff) => {
                diff_within_limits(set, diff);
                let bytes = if let DiffSource::Bson(bytes) = &diff.diff { bytes.len() } else { 0 };
                (diffs, all, content) = (diffs + 1, all + bytes as u64, 0);
            }
            ChangeSetPart::Content(piece) => {
                (all, content) = (all + piece.len() as u64, content + piece.len() as u64);
            }
        }
        assert!(content <= CONTENT_MAX_BYTES && all <= CHANGE_SET_MAX_BYTES);
    }
    assert!(diffs <= CHUNKS_MAX);
    if let Some(error) = &read.error {
        assert!(matches!(
            error.code,
            ErrorCode::InvalidArgument | ErrorCode::TooLarge | ErrorCode::Unavailable
        ));
    }
}

fn diff_within_limits(set: &WriteDiffs, diff: &WriteDiff) {
    assert_eq!((&diff.address, diff.min_ack), (&set.address, set.min_ack));
    assert_eq!((&diff.author, diff.operation_id), (&None, None), "the set alone says it");
    assert!(diff.path.as_ref().is_none_or(|path| path.as_str().len() <= PATH_MAX_BYTES));
    assert!(diff.clock.entries().len() <= CLOCK_MAX_ACTORS);
    assert!(diff.actor.as_ref().is_none_or(|actor| actor.len() <= ACTOR_MAX_BYTES));
    assert!(diff.message.len() <= CHANGE_MESSAGE_MAX_BYTES);
    let bytes: usize = diff.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(diff.metadata.len() <= METADATA_MAX_ENTRIES && bytes <= METADATA_MAX_BYTES);
}

/// A set whose diffs bring all they need is the same in one message.
async fn in_a_message(sent: &Sent, streamed: &Result<Read, Error>) {
    let mut chunks = sent.chunks.iter().map(|chunk| chunk.chunk.clone());
    let Some(Some(Chunk::Header(mut request))) = chunks.next() else { return };
    if sent.breaks_off || !request.diffs.is_empty() {
        return;
    }
    for chunk in chunks {
        let Some(Chunk::Diff(diff)) = chunk else { return };
        request.diffs.push(diff);
    }
    let Ok((set, parts)) = in_one_message(request, None) else {
        let follows = |part: &ChangeSetPart| matches!(part, ChangeSetPart::Diff(diff) if diff.diff == DiffSource::Follows);
        let is_refused = match streamed {
            Ok(read) => read.error.is_some() || read.parts.iter().any(follows),
            Err(_) => true,
        };
        assert!(is_refused, "refused in one message alone");
        return;
    };
    let parts: Vec<_> = parts.map(|part| part.expect("a set that was read")).collect().await;
    let streamed = streamed.as_ref().expect("accepted in one message");
    assert_eq!((&set, &parts, &None), (&streamed.set, &streamed.parts, &streamed.error));
}
