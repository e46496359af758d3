//! The document room's domain: what is asked of it, and what a change does to a node.

pub mod calls;
pub mod change;
pub mod diff;
pub mod events;
pub mod merge;
pub mod node;
