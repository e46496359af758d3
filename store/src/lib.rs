//! Logs, views and chunks: the contract of the store and its backends.
//!
//! The logs are the truth; views are derived from them and can be rebuilt;
//! chunks hold large contents. There are no transactions. The store knows
//! nothing of documents: what a batch or a view means is the caller's business.
//! `docs/store.md` is the protocol that every backend keeps, and
//! `vdom_store::conformance` is the suite that holds it to that.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may look at the clock"))]

mod batch;
mod chunk;
mod commit_hint;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod embedded;
mod error;
mod hex_id;
mod incarnations;
mod log;
mod log_chain;
pub mod memory;
#[cfg(feature = "mongodb")]
pub mod mongodb;
mod store;
mod view;

pub use batch::{BATCH_MAX_BYTES, Batch, BatchId, BatchOutline, LogEnds, LogEntry, OperationKey};
pub use chunk::{CHUNK_MAX_BYTES, Chunk, ChunkId, StoredChunk, UploadId};
pub use commit_hint::CommitHint;
pub use error::{StoreError, StoreErrorKind, StoreResult};
pub use log::{LogDescriptor, LogFilter, LogId, LogName};
pub use store::{Append, Guarantees, Store};
pub use view::{
    PathRange, Position, VIEW_ID_MAX_BYTES, VIEW_PATH_MAX_BYTES, VIEW_VALUE_MAX_BYTES, View,
    ViewFlags, ViewKind, ViewKindRange, ViewWrite, Watermark,
};
