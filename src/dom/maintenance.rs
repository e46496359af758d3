//! What an operator does to a whole store while no gateway runs on it: verify it,
//! back it up, restore it.

mod archive;
mod backup;
mod restore;
mod verify;

use vdom_core::{BranchAddress, Error, Result};
use vdom_store::{LogDescriptor, LogFilter, Store};

pub use backup::{BackupReport, backup};
pub use restore::{RestoreReport, restore};
pub use verify::{Finding, VerifyReport, verify};

use super::error::from_store;

/// Every log of a store, realm by realm.
async fn all_logs(store: &dyn Store) -> Result<Vec<LogDescriptor>> {
    let failed = |error| from_store(error, "the store");
    let mut logs = Vec::new();
    for realm in store.realms().await.map_err(failed)? {
        let filter = LogFilter { realm, repo: None, branch: None };
        logs.extend(store.logs(&filter).await.map_err(failed)?);
    }
    Ok(logs)
}

/// The branch that a log is of.
fn address(log: &LogDescriptor) -> Result<BranchAddress> {
    BranchAddress::parse(&log.realm, &log.repo, &log.branch)
}

fn unreadable(what: &str, error: &std::io::Error) -> Error {
    Error::unavailable(format!("cannot {what}: {error}"))
}
