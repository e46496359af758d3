//! The suite on the embedded backend, and what happens to its files.

use std::future::{Ready, ready};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use vdom_store::Store;
use vdom_store::conformance::Subject;
use vdom_store::embedded::{EmbeddedOptions, EmbeddedStore};

struct EmbeddedSubject {
    directory: TempDir,
    store: Arc<EmbeddedStore>,
}

#[async_trait]
impl Subject for EmbeddedSubject {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    async fn reopen(&mut self) -> bool {
        self.store.close().await.unwrap();
        self.store = open(self.directory.path());
        true
    }
}

fn open(path: &Path) -> Arc<EmbeddedStore> {
    Arc::new(EmbeddedStore::open(path, EmbeddedOptions::small()).unwrap())
}

fn subject() -> Ready<Result<Box<dyn Subject>, String>> {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    ready(Ok(Box::new(EmbeddedSubject { directory, store })))
}

vdom_store::conformance_suite!(super::subject());
