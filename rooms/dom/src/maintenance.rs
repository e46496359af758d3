//! What an operator does to a whole store while no gateway runs on it: verify it,
//! back it up, restore it, rebuild its views, compact it.

mod archive;
mod backup;
mod collect;
mod compact;
mod rebuild;
mod restore;
mod verify;

pub use backup::{BackupReport, backup};
pub use collect::collect;
pub use compact::{StoreCompactionReport, compact};
pub use rebuild::{RebuildReport, rebuild};
pub use restore::{RestoreReport, restore};
pub use verify::{Finding, VerifyReport, verify};

use std::sync::Arc;

use vdom_core::Error;
use vdom_edge::Environment;
use vdom_security::{Authority, Duty, GuardedStore, PermittedStore, SystemPermits};
use vdom_store::StoreResult;

use crate::metrics::DomMetrics;
use crate::registry::RoomBounds;
use crate::service::DocumentRoom;

/// A store that is maintained while no gateway runs on it.
#[derive(Clone, Debug)]
pub struct MaintainedStore {
    store: GuardedStore,
    authority: Authority,
    permits: Arc<SystemPermits>,
}

impl MaintainedStore {
    /// A store with the permits of the program that maintains it.
    pub fn new(store: GuardedStore, authority: Authority, permits: Arc<SystemPermits>) -> Self {
        Self { store, authority, permits }
    }

    /// Makes all that was written last, and releases the store.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn close(&self) -> StoreResult<()> {
        self.permitted().close().await
    }

    fn permitted(&self) -> PermittedStore<'_> {
        self.store.with(self.permits.of(Duty::Maintain))
    }

    /// A document room over it that serves nobody but maintenance.
    fn room(&self, environment: &Environment) -> DocumentRoom {
        let (authority, permits) = (self.authority.clone(), self.permits.clone());
        let (metrics, bounds) = (DomMetrics::new(), RoomBounds::default());
        DocumentRoom::new(
            self.store.clone(),
            environment.clone(),
            authority,
            permits,
            metrics,
            bounds,
        )
    }
}

fn unreadable(what: &str, error: &std::io::Error) -> Error {
    Error::unavailable(format!("cannot {what}: {error}"))
}
