//! What the `vdom` command knows of other systems, apart from the command itself.

pub mod git;
