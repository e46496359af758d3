//! Chunks that nothing names any more make room.

use vdom_core::Result;
use vdom_edge::Environment;

use super::MaintainedStore;
use crate::collection::{Pace, delete, unnamed};

/// Deletes the chunks of a realm that no batch and no checkpoint names, and that nobody has
/// put for a day: who writes puts a chunk before the batch that names it. Tells how
/// many.
///
/// # Errors
/// Where the store is damaged, or cannot be read or written.
pub async fn collect(
    store: &MaintainedStore,
    environment: &Environment,
    realm: &str,
) -> Result<u64> {
    let store = store.permitted();
    let found = unnamed(store, environment.now_ms(), realm, Pace::Full, usize::MAX).await?;
    delete(store, &found).await
}
