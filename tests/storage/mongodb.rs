//! The suite on MongoDB, in memory and on a file.

use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use vdom_store::Store;
use vdom_store::conformance::Subject;
use vdom_store::mongodb::{MongoOptions, MongoStore};
use vdom_testkit::mongo::MongoServer;

use super::proxy::{Cut, Proxy};

struct MongoSubject {
    uri: String,
    database: String,
    store: Arc<MongoStore>,
    /// Between the store and a server that was started here.
    proxy: Option<Proxy>,
    _server: Option<(MongoServer, TempDir)>,
}

impl MongoSubject {
    async fn on(
        uri: &str,
        address: Option<&str>,
        server: Option<(MongoServer, TempDir)>,
    ) -> Result<Box<dyn Subject>, String> {
        let (proxy, through) = match address {
            Some(address) => {
                let proxy = Proxy::start(address).await.map_err(|error| error.to_string())?;
                let through = format!("mongodb://{}/", proxy.address());
                (Some(proxy), through)
            }
            None => (None, uri.to_owned()),
        };
        let database = MongoServer::fresh_database();
        let store = connect(&through, &database).await;
        let uri = uri.to_owned();
        Ok(Box::new(Self { uri, database, store, proxy, _server: server }))
    }
}

#[async_trait]
impl Subject for MongoSubject {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    async fn peer(&self) -> Option<Arc<dyn Store>> {
        Some(connect(&self.uri, &self.database).await)
    }

    async fn reopen(&mut self) -> bool {
        self.store.close().await.unwrap();
        self.store = connect(&self.uri, &self.database).await;
        true
    }

    fn lose_next_answer(&self, with_effect: bool) -> bool {
        let Some(proxy) = &self.proxy else { return false };
        proxy.cut_next_insert(if with_effect { Cut::Answer } else { Cut::Request });
        true
    }
}

async fn connect(uri: &str, database: &str) -> Arc<MongoStore> {
    let options = MongoOptions { database: database.to_owned(), ..MongoOptions::default() };
    Arc::new(MongoStore::connect(uri, options).await.unwrap())
}

async fn in_memory() -> Result<Box<dyn Subject>, String> {
    let server = super::shared_server().await?;
    MongoSubject::on(server.uri(), server.address(), None).await
}

async fn on_a_file() -> Result<Box<dyn Subject>, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = directory.path().join("server.mv");
    let start = move || MongoServer::start_on_file(&file);
    let server = tokio::task::spawn_blocking(start).await.map_err(|error| error.to_string())??;
    let (uri, address) = (server.uri().to_owned(), server.address().map(str::to_owned));
    MongoSubject::on(&uri, address.as_deref(), Some((server, directory))).await
}

mod memory {
    vdom_store::conformance_suite!(super::super::in_memory());
}

mod file {
    vdom_store::conformance_suite!(super::super::on_a_file());
}
