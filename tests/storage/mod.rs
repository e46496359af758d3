//! The store's suite on every backend, and what each backend alone can do wrong.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod embedded;
mod embedded_files;
mod memory;
mod mongodb;
mod mongodb_servers;
mod proxy;

use vdom_testkit::mongo::MongoServer;

/// The server of this process, or the reason to skip a test.
async fn shared_server() -> Result<&'static MongoServer, String> {
    let started = tokio::task::spawn_blocking(MongoServer::shared).await;
    started.map_err(|error| error.to_string())?
}
