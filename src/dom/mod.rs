//! The document room: one file per verb, and what they share.
//!
//! | file | what it holds |
//! |---|---|
//! | `write_diff` `change_set` `read_snapshot` `read_tree` `subscribe` `history` `revert` `branches` `conflicts` | a verb each |
//! | `writer` `decide` `merge` | the one writer of a branch, and how it judges a write |
//! | `branch` `origin` `derive` `past` | a branch in memory, its views, its earlier states |
//! | `maintenance` | verify, back up, restore a whole store |
//! | `feed` | what other gateways append |
//! | `records` `content` `packs` `error` | stored forms, large contents and change sets, the store's errors |

mod branch;
mod branches;
mod change_set;
mod conflicts;
mod content;
mod decide;
mod derive;
mod error;
mod feed;
mod history;
pub mod maintenance;
mod merge;
mod origin;
mod packs;
mod past;
mod read_snapshot;
mod read_tree;
mod records;
mod revert;
mod room;
mod subscribe;
mod write_diff;
mod writer;

pub use room::DocumentRoom;

#[cfg(test)]
mod tests;
