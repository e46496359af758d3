//! The document room against a model.
//!
//! | part | what it is |
//! |---|---|
//! | [`model`] | what the room promises, in plain lines: no I/O, no time |
//! | [`steps`] [`generate`] | what may be done, as plain data; from a seed to a list of it |
//! | [`driver`] | takes steps with rooms over one store, and compares every answer with the model |
//! | [`shrink`] | makes a failing list short |
//! | [`meetings`] | which features met, and which must |
//!
//! | variable | what it says |
//! |---|---|
//! | `VDOM_MODEL_SEEDS` | how many seeds are tried: 20,000 where it is not set |
//! | `VDOM_MODEL_SEED` | which is the first: 0 |
//! | `VDOM_MODEL_GO_ON` | set: a failing seed does not end the run |
//! | `VDOM_MODEL_SHRINK` | how many failing seeds are made short and printed as tests: 1 |

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub mod driver;
pub mod generate;
pub mod meetings;
pub mod model;
pub mod random;
pub mod shrink;
pub mod steps;

#[cfg(test)]
mod tests;
