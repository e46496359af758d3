//! Rows derived from the log: written behind the writer, always able to be written anew.

pub(crate) mod view_builder;
