//! The document room: documents, their history, and all that is asked of them.
//!
//! Each part uses only those above it:
//!
//! | part | what it holds |
//! |---|---|
//! | `error` `metrics` `log_names` | the store's errors, what operators see, how logs are named |
//! | `uploads` | what writes have staged in the store, and what becomes of it |
//! | `content` | large contents and change sets, in chunks |
//! | `records` | stored forms |
//! | `log_reader` | a log, page by page |
//! | `branch` | a branch in memory: head, overlay, earlier states, parent, checkpoint, recorded results, usage |
//! | `views` | rows derived from the log |
//! | `writer` | the one writer of a branch: its queue, proposals, staging, verdicts, the append |
//! | `registry` | which branches are open, how one is opened, and brought to where a reader wants it |
//! | `compaction` | what becomes of a history that is no longer asked for |
//! | `collection` | what becomes of chunks that nothing names any more |
//! | `verbs` | a file a verb |
//! | `service` | who may ask what, and which verb answers |
//! | [`maintenance`] | verify, back up, restore, rebuild, compact a whole store |

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may look at the clock"))]

mod branch;
mod collection;
mod compaction;
mod content;
mod error;
mod log_names;
mod log_reader;
pub mod maintenance;
mod metrics;
mod records;
mod registry;
mod service;
mod uploads;
mod verbs;
mod views;
mod writer;

pub use branch::usage::Quotas;
pub use compaction::{CompactionReport, Retention};
pub use metrics::DomMetrics;
pub use registry::RoomBounds;
pub use service::DocumentRoom;

#[cfg(test)]
mod tests;
