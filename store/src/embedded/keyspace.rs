//! The keyspaces: families of rows that the engine keeps apart.

/// A family of rows with a memtable of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Keyspace {
    /// Where to find batches: locations, operations, revisions, descriptors.
    Index,
    /// Rows by id, their paths, and the watermarks of logs.
    Views,
    /// Where to find chunks, and when they were touched; the chunks of older stores.
    Chunks,
}

/// The keyspaces by the names that the engine knows them by.
pub(super) const KEYSPACES: [(Keyspace, &str); 3] =
    [(Keyspace::Index, "index"), (Keyspace::Views, "views"), (Keyspace::Chunks, "chunks")];

/// Where stores of format 1 have their batches in their stored form, by log and number.
pub(super) const UNSEGMENTED_LOGS: &str = "logs";
