//! Counts what realms hold, where quotas ask for it.

use std::sync::Arc;

use vdom_core::{RealmName, Result};
use vdom_security::Duty;
use vdom_store::{LogDescriptor, LogFilter};

use crate::branch::usage::{Quotas, RealmUsage, Usage};
use crate::error::from_store;
use crate::registry::BranchRegistry;
use crate::registry::open::known_usage;

impl BranchRegistry {
    /// Counts anew what realms hold, where that matters.
    pub(crate) async fn count_all_usage(&self) -> Result<()> {
        if self.quotas == Quotas::default() {
            return Ok(());
        }
        let realms: Vec<_> = self.usage.lock().keys().cloned().collect();
        for realm in realms {
            self.count_usage(&realm).await?;
        }
        Ok(())
    }

    pub(crate) async fn count_usage(&self, realm: &RealmName) -> Result<()> {
        let failed = |error| from_store(error, realm);
        let store = self.store.with(self.permits.of(Duty::CountUsage));
        let opened = self.opened();
        let filter = LogFilter::of_realm(realm.as_str());
        let mut used = Usage::default();
        let mut logs = store.logs(&filter).await.map_err(failed)?.into_iter().peekable();
        while let Some(log) = logs.next() {
            let id = log.log_id();
            if let Some(handle) = opened.iter().find(|handle| handle.branch.log == id) {
                if !handle.branch.head().closed {
                    used += handle.branch.usage_now();
                }
                continue;
            }
            let is_of = |next: &LogDescriptor| next.name == log.name;
            let last = store.last(id).await.map_err(failed)?;
            let is_closed = last.is_some_and(|last| last.batch.closing);
            // After a restore, the next log continues one that was closed for that.
            if is_closed && !logs.peek().is_some_and(is_of) {
                continue;
            }
            used += known_usage(store, realm, id).await?.0;
        }
        self.usage_of(realm).set(used);
        Ok(())
    }

    pub(crate) fn usage_of(&self, realm: &RealmName) -> Arc<RealmUsage> {
        let mut usage = self.usage.lock();
        let of_realm = usage
            .entry(realm.clone())
            .or_insert_with(|| Arc::new(RealmUsage::new(realm.clone(), self.quotas)));
        of_realm.clone()
    }
}
