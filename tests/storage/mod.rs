//! The store's suite on every backend, and what each backend alone can do wrong.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod bit_rot;
mod embedded;
mod embedded_files;
mod embedded_processes;
mod failed_sync;
mod full_disk;
mod image;
mod memory;
mod mongodb;
mod mongodb_servers;
mod power_loss;
mod proxy;
mod rounds;
mod stored_format;
mod workload;

use vdom_store::{ViewFlags, ViewKind};
use vdom_testkit::mongo::MongoServer;

/// Rows as a room may keep them: the latest state of a thing, found by its path, and how
/// it became so.
const NODES: ViewKind = ViewKind::new(1, ViewFlags::PATH_INDEXED);
const HISTORY: ViewKind = ViewKind::new(2, ViewFlags::WRITTEN_ONCE);
const ACTORS: ViewKind = ViewKind::new(3, ViewFlags::NONE);

/// The server of this process, or the reason to skip a test.
async fn shared_server() -> Result<&'static MongoServer, String> {
    let started = tokio::task::spawn_blocking(MongoServer::shared).await;
    started.map_err(|error| error.to_string())?
}

/// A number that the environment may set.
fn number_from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} must be a number, it is {text:?}"))
    })
}
