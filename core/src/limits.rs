//! The named limits: units in the name, checked before any decoding.

use std::time::Duration;

/// The largest unary message.
pub const UNARY_MESSAGE_MAX_BYTES: usize = 4 << 20;
/// The largest content of a node, streamed.
pub const CONTENT_MAX_BYTES: u64 = 100 << 20;
/// Content above this is kept in chunks of this size, and left out of events.
pub const CHUNK_BYTES: usize = 1 << 20;
/// How deep a BSON document may nest; the document itself is depth 1.
pub const BSON_MAX_DEPTH: usize = 100;
/// The largest header list, on HTTP/1, 2 and 3.
pub const HEADER_LIST_MAX_BYTES: u32 = 16 << 10;
/// The longest path of a node.
pub const PATH_MAX_BYTES: usize = 1_024;
/// The longest name of a realm, repo or branch.
pub const NAME_MAX_BYTES: usize = 128;
/// The longest name of an actor or author.
pub const ACTOR_MAX_BYTES: usize = 256;
/// The longest message of a change.
pub const CHANGE_MESSAGE_MAX_BYTES: usize = 64 << 10;
/// The most actors in a vector clock; the longest unused fold into `""`.
pub const CLOCK_MAX_ACTORS: usize = 64;
/// The most entries of a metadata or attribute map.
pub const METADATA_MAX_ENTRIES: usize = 64;
/// The most bytes of keys and values in a metadata or attribute map.
pub const METADATA_MAX_BYTES: usize = 8 << 10;
/// The most operations in a `text` or `patch` diff.
pub const DIFF_MAX_OPERATIONS: usize = 100_000;
/// The most diffs of a change set; while it is written, each takes about 5 kB of memory.
pub const CHANGE_SET_MAX_DIFFS: usize = 250_000;
/// The most bytes of diffs and contents in a change set.
pub const CHANGE_SET_MAX_BYTES: u64 = 4 << 30;
/// Contents above this are not merged: they conflict as a whole.
pub const MERGE_MAX_BYTES: u64 = 8 << 20;
/// The most bytes of diffs that a change set keeps in memory and in its batch;
/// more are kept in chunks.
pub const CHANGE_SET_INLINE_MAX_BYTES: usize = 2 << 20;
/// Up to so many diffs an answer has a result for each.
pub const CHANGE_SET_RESULTS_MAX: usize = 10_000;
/// The most nodes that one `ReadSnapshots` names.
pub const READ_SNAPSHOTS_MAX_NODES: usize = 10_000;
/// The most branches, or repos, in one answer.
pub const LIST_PAGE_MAX: u32 = 10_000;
/// The most bytes of branches, or repos, in one answer, about as they are sent.
pub const LIST_PAGE_MAX_BYTES: usize = 3 << 20;
/// The most conflicts in one answer.
pub const CONFLICT_PAGE_MAX: u32 = 100;
/// The most changes that an explained conflict names.
pub const EXPLAINED_CHANGES_MAX: u32 = 20;
/// The most places that a conflict names.
pub const CONFLICT_MAX_HUNKS: usize = 1_000;
/// The longest name of a field in a conflict; of a longer one, the nearest
/// document above it is named.
pub const CONFLICT_FIELD_MAX_BYTES: usize = 1_024;
/// The most lines of a text that is merged by line.
pub const MERGE_MAX_LINES: usize = 1 << 18;
/// The most lines from the first to the last that a writer changed, of a text
/// that is merged by line: the work grows faster than their number.
pub const MERGE_MAX_CHANGED_LINES: usize = 1 << 15;
/// The most paths of a subscription.
pub const SUBSCRIPTION_MAX_PATHS: usize = 256;
/// The longest queue of a subscription, in events.
pub const SUBSCRIPTION_QUEUE_MAX_EVENTS: usize = 1_024;
/// The longest queue of a subscription, in bytes.
pub const SUBSCRIPTION_QUEUE_MAX_BYTES: usize = 8 << 20;
/// How long a subscriber may take nothing before its stream ends.
pub const SUBSCRIPTION_STALL_MAX: Duration = Duration::from_secs(10);
/// How often a subscription says how far it is, at least.
pub const SUBSCRIPTION_PROGRESS_EVERY: Duration = Duration::from_millis(900);
/// How long a read waits for `min_revision` without a deadline of the caller.
pub const MIN_REVISION_WAIT_MAX: Duration = Duration::from_secs(3);
/// The most changes in one answer of a history.
pub const HISTORY_PAGE_MAX_CHANGES: u32 = 1_000;
/// How many changes a history answer has where none is asked for.
pub const HISTORY_PAGE_DEFAULT_CHANGES: u32 = 100;
/// How many diffs at most lie between a version and a full copy.
pub const FULL_COPY_EVERY_CHANGES: u64 = 64;
/// How long the answer to a write is remembered under its operation id.
pub const OPERATION_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a chunk that nothing names stays, as a writer may be about to name it.
pub const CHUNK_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a content may take to come; a part of [`CHUNK_GRACE`], after which its first chunks
/// may be collected.
pub const UPLOAD_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// How long an append whose outcome is not known is repeated, which names chunks of before.
pub const UNKNOWN_OUTCOME_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// How long a chunk that nothing names any more stays for those who still read it.
pub const CHUNK_READ_GRACE: Duration = Duration::from_secs(60 * 60);
/// The most bytes that a caller may have staged at a time, by default.
pub const STAGED_MAX_BYTES_PER_CALLER: u64 = 8 << 30;
/// Fewer changes than this are not compacted but on request.
pub const COMPACTION_MIN_CHANGES: u64 = 1_000;
/// How many streams a connection may have by default.
pub const HTTP2_MAX_CONCURRENT_STREAMS: u32 = 1_000;
/// How many streams a connection may be configured to have.
pub const HTTP2_MAX_CONCURRENT_STREAMS_CEILING: u32 = 10_000;
/// The flow-control window of an HTTP/2 stream.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 2 << 20;
/// The flow-control window of an HTTP/2 connection.
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 10 << 20;
/// The largest HTTP/2 frame (2^24 itself is not allowed).
pub const HTTP2_FRAME_MAX_BYTES: u32 = (1 << 24) - 1;
/// How long and how many of them a connection remembers streams that its caller dropped, so
/// that what still arrives for them is no error.
pub const HTTP2_DROPPED_STREAMS_FOR: Duration = Duration::from_secs(10);
/// See [`HTTP2_DROPPED_STREAMS_FOR`].
pub const HTTP2_DROPPED_STREAMS_MAX: usize = 2_048;
/// How long a peer may take for a handshake or a header.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// How long a connection may be idle before it is probed.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(30);
/// How long a probe may stay unanswered.
pub const KEEP_ALIVE_DEADLINE: Duration = Duration::from_secs(10);
/// The deadline of a unary call that names none.
pub const UNARY_DEADLINE_DEFAULT: Duration = Duration::from_secs(30);
/// Messages above this are compressed when the peer accepts it.
pub const COMPRESS_ABOVE_BYTES: usize = 1 << 10;
/// How much a token's times may be off.
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(5);
/// The longest token.
pub const TOKEN_MAX_BYTES: usize = 8 << 10;
/// How long a branch waits for its writer's queue, in writes.
pub const WRITER_QUEUE_MAX_WRITES: usize = 4_096;
/// The same, in bytes of diffs; more wait before the queue.
pub const WRITER_QUEUE_MAX_BYTES: usize = 32 << 20;
/// The most contents that one batch takes, in bytes; leaves room for its head.
pub const BATCH_CONTENT_MAX_BYTES: usize = 3 << 20;
/// The most changes that one batch takes.
pub const BATCH_MAX_CHANGES: usize = 1_024;
/// How far views may lag behind their log before appends wait, in changes.
pub const VIEW_LAG_MAX_CHANGES: u64 = 16_384;
/// The same, in bytes of diffs and of the contents that they make.
pub const VIEW_LAG_MAX_BYTES: usize = 64 << 20;

// Windows must differ (equal ones deadlock a lone slow stream), and a batch
// must be able to carry any diff that a unary message can.
const _: () = assert!(HTTP2_STREAM_WINDOW_BYTES < HTTP2_CONNECTION_WINDOW_BYTES);
const _: () = assert!(HTTP2_FRAME_MAX_BYTES < 1 << 24);
const _: () = assert!(CHUNK_BYTES <= BATCH_CONTENT_MAX_BYTES);
const _: () = assert!(SUBSCRIPTION_QUEUE_MAX_BYTES >= CHUNK_BYTES);
// A chunk that is named was put before a collector may think that nobody will name it.
const _: () = assert!(
    UPLOAD_MAX.as_secs() + UNKNOWN_OUTCOME_MAX.as_secs() + CHUNK_READ_GRACE.as_secs()
        < CHUNK_GRACE.as_secs()
);
// One caller can write the largest change set, and its records.
const _: () = assert!(STAGED_MAX_BYTES_PER_CALLER > CHANGE_SET_MAX_BYTES);
