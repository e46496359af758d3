//! When answers are compressed.

/// When answers above 1 KiB are compressed. Requests may be, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Where the peer accepts it.
    WhereAccepted,
    /// Never: for peers on the same host.
    Never,
}
