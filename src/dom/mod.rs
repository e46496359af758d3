//! The document room: one file per verb, and what they share.
//!
//! | file | what it holds |
//! |---|---|
//! | `write_diff` `read_snapshot` `read_tree` `subscribe` `history` `branches` | a verb each |
//! | `writer` `decide` | the one writer of a branch, and how it judges a write |
//! | `branch` `derive` `past` | a branch in memory, its views, its earlier states |
//! | `feed` | what other gateways append |
//! | `records` `content` `error` | stored forms, large contents, the store's errors |

mod branch;
mod branches;
mod content;
mod decide;
mod derive;
mod error;
mod feed;
mod history;
mod past;
mod read_snapshot;
mod read_tree;
mod records;
mod room;
mod subscribe;
mod write_diff;
mod writer;

pub use room::DocumentRoom;

#[cfg(test)]
mod tests;
