//! The suite on MongoDB, in memory and on a file.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use vdom_store::Store;
use vdom_store::conformance::Subject;
use vdom_store::mongodb::{MongoOptions, MongoStore};
use vdom_testkit::mongo::MongoServer;

use super::proxy::{Proxy, Trouble};

struct MongoSubject {
    uri: String,
    database: String,
    store: Arc<MongoStore>,
    /// Between the store and a server that was started here.
    proxy: Option<Proxy>,
}

impl MongoSubject {
    async fn on(server: &MongoServer) -> Result<Box<dyn Subject>, String> {
        let proxy = match server.address() {
            Some(address) => Some(Proxy::start(address).await.map_err(|error| error.to_string())?),
            None => None,
        };
        let uri = server.uri().to_owned();
        let through = proxy.as_ref().map_or(uri.clone(), Proxy::uri);
        let database = MongoServer::fresh_database();
        let store = connect(&through, &database).await;
        Ok(Box::new(Self { uri, database, store, proxy }))
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
        proxy.trouble_next_insert(Trouble::lost(with_effect));
        true
    }
}

async fn connect(uri: &str, database: &str) -> Arc<MongoStore> {
    let options = MongoOptions { database: database.to_owned(), ..MongoOptions::default() };
    Arc::new(MongoStore::connect(uri, options).await.unwrap())
}

async fn in_memory() -> Result<Box<dyn Subject>, String> {
    MongoSubject::on(super::shared_server().await?).await
}

async fn on_a_file() -> Result<Box<dyn Subject>, String> {
    static SHARED: OnceLock<Result<MongoServer, String>> = OnceLock::new();
    let start = || {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        // The server holds the file; its name may go with the directory.
        MongoServer::start_on_file(&directory.path().join("server.mv"))
    };
    let started = tokio::task::spawn_blocking(move || SHARED.get_or_init(start).as_ref()).await;
    let server = started.map_err(|error| error.to_string())?;
    MongoSubject::on(server.map_err(Clone::clone)?).await
}

mod memory {
    vdom_store::conformance_suite!(super::super::in_memory());
}

mod file {
    vdom_store::conformance_suite!(super::super::on_a_file());
}
