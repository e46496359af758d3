//! How much the document room may hold.

use crate::branch::usage::Quotas;

/// How much the document room may hold: of each realm in the store, and in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomBounds {
    /// Of each realm, in the store.
    pub quotas: Quotas,
    /// Of nodes that were read or written lately, in memory.
    pub cache_bytes: u64,
}

impl Default for RoomBounds {
    fn default() -> Self {
        Self { quotas: Quotas::default(), cache_bytes: 48 << 20 }
    }
}
