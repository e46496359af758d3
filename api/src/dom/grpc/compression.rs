//! When answers are compressed.

/// The header that says which encodings a peer takes.
pub(super) const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// When answers above 1 KiB are compressed. Requests may be, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Where the peer accepts it.
    WhereAccepted,
    /// Never: for peers on the same host.
    Never,
}
