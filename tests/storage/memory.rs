//! The suite on the memory backend.

use std::future::{Ready, ready};
use std::sync::Arc;

use async_trait::async_trait;
use vdom_store::Store;
use vdom_store::conformance::Subject;
use vdom_store::memory::{AppendFault, MemoryStore};

struct MemorySubject(Arc<MemoryStore>);

#[async_trait]
impl Subject for MemorySubject {
    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    async fn peer(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(self.0.peer()))
    }

    async fn reopen(&mut self) -> bool {
        self.0 = Arc::new(self.0.peer());
        true
    }

    fn lose_next_answer(&self, with_effect: bool) -> bool {
        let fault = if with_effect { AppendFault::AfterEffect } else { AppendFault::BeforeEffect };
        self.0.fail_next_append(fault);
        true
    }
}

fn subject() -> Ready<Result<Box<dyn Subject>, String>> {
    ready(Ok(Box::new(MemorySubject(Arc::new(MemoryStore::shared(1))))))
}

vdom_store::conformance_suite!(super::subject());
