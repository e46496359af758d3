//! What an operator does to a whole store while no gateway runs on it: verify it,
//! back it up, restore it, rebuild its views, compact it.

mod archive;
mod backup;
mod collect;
mod compact;
mod rebuild;
mod restore;
mod verify;

use std::sync::Arc;

use vdom_core::{BranchAddress, Error, Result};
use vdom_store::{LogDescriptor, LogFilter, Store};

pub use backup::{BackupReport, backup};
pub use collect::collect;
pub use compact::{StoreCompactionReport, compact};
pub use rebuild::{RebuildReport, rebuild};
pub use restore::{RestoreReport, restore};
pub use verify::{Finding, VerifyReport, verify};

use super::error::from_store;
use super::log_names::repo_and_branch;
use super::room::{DocumentRoom, RoomBounds};
use crate::metrics::DomMetrics;
use vdom_edge::Environment;
use vdom_security::Authority;

/// Every log of the document room, realm by realm.
pub(super) async fn all_logs(store: &dyn Store) -> Result<Vec<LogDescriptor>> {
    let failed = |error| from_store(error, "the store");
    let mut logs = Vec::new();
    for realm in store.realms().await.map_err(failed)? {
        logs.extend(store.logs(&LogFilter::of_realm(realm)).await.map_err(failed)?);
    }
    Ok(logs)
}

/// A room that nobody but maintenance asks.
fn room_over(store: Arc<dyn Store>, environment: &Environment) -> DocumentRoom {
    let (authority, bounds) = (Authority::new([]), RoomBounds::default());
    DocumentRoom::new(store, environment.clone(), authority, DomMetrics::new(), bounds)
}

/// The branch that a log is of.
pub(super) fn address_of(log: &LogDescriptor) -> Result<BranchAddress> {
    let (repo, branch) = repo_and_branch(log);
    BranchAddress::parse(&log.name.realm, repo, branch)
}

fn unreadable(what: &str, error: &std::io::Error) -> Error {
    Error::unavailable(format!("cannot {what}: {error}"))
}
