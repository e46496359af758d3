//! The document room: one file per verb, and what they share.
//!
//! | file | what it holds |
//! |---|---|
//! | `write_diff` `change_set` `read_snapshot` `read_tree` `subscribe` `history` `revert` `branches` `conflicts` | a verb each |
//! | `writer` `decide` `merge` | the one writer of a branch, and how it judges a write |
//! | `shared` `load` `reach` | which branches are open, how one is opened, and brought to where a reader wants it |
//! | `branch` `origin` `derive` `past` `operations` | a branch in memory, its views, its earlier states and answers |
//! | `compaction` `base` | what becomes of a history that is no longer asked for |
//! | `maintenance` | verify, back up, restore, rebuild, compact a whole store |
//! | `quota` `hot` | how much a realm may hold, and what of it is at hand |
//! | `feed` | what other gateways append |
//! | `records` `batches` `content` `packs` `error` | stored forms, a log page by page, large contents and change sets, the store's errors |

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may look at the clock"))]

mod base;
mod batches;
mod branch;
mod branches;
mod change_set;
mod compaction;
mod conflicts;
mod content;
mod decide;
mod derive;
mod error;
mod feed;
mod history;
mod hot;
mod load;
mod log_names;
pub mod maintenance;
mod merge;
mod metrics;
mod operations;
mod origin;
mod packs;
mod past;
mod quota;
mod reach;
mod read_snapshot;
mod read_tree;
mod records;
mod revert;
mod room;
mod shared;
mod subscribe;
mod write_diff;
mod writer;

pub use compaction::{CompactionReport, Retention};
pub use metrics::DomMetrics;
pub use quota::Quotas;
pub use room::{DocumentRoom, RoomBounds};

#[cfg(test)]
mod tests;
