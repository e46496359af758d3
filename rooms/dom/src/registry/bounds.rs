//! How much the document room may hold.

use vdom_core::limits::STAGED_MAX_BYTES_PER_CALLER;

use crate::branch::usage::Quotas;

/// How much the document room may hold: of each realm in the store, and in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomBounds {
    /// Of each realm, in the store.
    pub quotas: Quotas,
    /// Of nodes that were read or written lately, in memory.
    pub cache_bytes: u64,
    /// Of each caller, in the store: what uploads have brought that no batch names yet.
    pub staged_bytes_per_caller: u64,
}

impl Default for RoomBounds {
    fn default() -> Self {
        Self {
            quotas: Quotas::default(),
            cache_bytes: 48 << 20,
            staged_bytes_per_caller: STAGED_MAX_BYTES_PER_CALLER,
        }
    }
}
