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
use vdom_security::Authority;
use vdom_store::Store;

use crate::metrics::DomMetrics;
use crate::registry::RoomBounds;
use crate::service::DocumentRoom;

/// A document room that serves nobody but maintenance.
fn room_over(store: Arc<dyn Store>, environment: &Environment) -> DocumentRoom {
    let (authority, bounds) = (Authority::new([]), RoomBounds::default());
    DocumentRoom::new(store, environment.clone(), authority, DomMetrics::new(), bounds)
}

fn unreadable(what: &str, error: &std::io::Error) -> Error {
    Error::unavailable(format!("cannot {what}: {error}"))
}
