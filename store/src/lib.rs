//! Logs, views and chunks: the contract of the store and its backends.
//!
//! The logs are the truth; views are derived from them and can be rebuilt;
//! chunks hold large contents. There are no transactions. The store knows
//! nothing of documents: what a batch or a view means is the caller's business.
//! `docs/store.md` is the protocol that every backend keeps, and
//! `vdom_store::conformance` is the suite that holds it to that.

pub mod batch;
mod chain;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod contract;
pub mod embedded;
pub mod memory;
#[cfg(feature = "mongodb")]
pub mod mongodb;
pub mod view;

pub use batch::{BATCH_MAX_BYTES, Batch, BatchId, LogDescriptor, LogId, Numbered, OperationKey};
pub use contract::{
    Append, CHUNK_MAX_BYTES, ChunkId, Early, LogFilter, Promises, Store, StoreError,
    StoreErrorKind, StoreResult, StoredChunk,
};
pub use view::{PathRange, Position, View, ViewKind, ViewWrite, Watermark};
