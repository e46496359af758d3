//! BSON as raw bytes: the guard that everything from outside passes first, a
//! reader and a builder.
//!
//! Documents are walked where they lie (<https://bsonspec.org>), with a stack of
//! fixed size: no tree is built, nothing is re-encoded, nothing recurses.

mod build;
mod guard;
mod read;
pub mod tag;

pub use build::DocumentBuilder;
pub(crate) use build::length_of;
pub use guard::check;
pub(crate) use guard::{depth, refusal};
pub(crate) use read::scope;
pub use read::{Element, Elements, Value, elements};

/// The bytes of a document without elements.
pub const EMPTY: [u8; 5] = [5, 0, 0, 0, 0];

#[cfg(test)]
pub(crate) mod tests;
