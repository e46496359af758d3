//! How much of a machine an embedded store may take.

/// How much memory and disk the embedded store may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// For blocks read from disk, in bytes.
    pub cache_bytes: u64,
    /// For the newest rows of each of the three keyspaces, in bytes; a burst may take
    /// five times that. A store keeps what it was created with. The newest entries of the logs'
    /// index take up to 1¼ times as much besides.
    pub memtable_bytes: u64,
    /// How long the files become that logs and chunks are appended to, in bytes; at most 2 GiB.
    pub segment_bytes: u64,
    /// How many files of the engine stay open, at least 10; of the logs a quarter of that, of
    /// the chunks an eighth.
    pub open_files: usize,
    /// Writes are refused while the disk has less room than this, in bytes.
    pub min_free_bytes: u64,
}

impl Default for EmbeddedOptions {
    /// For a gateway, which may take tens of MiB.
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            memtable_bytes: 16 << 20,
            segment_bytes: 64 << 20,
            open_files: 512,
            min_free_bytes: 256 << 20,
        }
    }
}

impl EmbeddedOptions {
    /// For a process that must stay small.
    pub fn small() -> Self {
        Self {
            cache_bytes: 1 << 20,
            memtable_bytes: 1 << 20,
            segment_bytes: 4 << 20,
            open_files: 32,
            min_free_bytes: 64 << 20,
        }
    }
}
