//! The families of rows that the engine keeps apart.

/// A family of rows with a memtable of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Keyspace {
    /// Batches.
    Logs,
    /// Where to find batches: operations, revisions, descriptors.
    Index,
    /// Rows, their paths, watermarks.
    Views,
    /// Chunks and when they were touched.
    Chunks,
}

/// The families by the names that the engine knows them by.
pub(super) const KEYSPACES: [(Keyspace, &str); 4] = [
    (Keyspace::Logs, "logs"),
    (Keyspace::Index, "index"),
    (Keyspace::Views, "views"),
    (Keyspace::Chunks, "chunks"),
];
