//! Counts what realms hold, where quotas ask for it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use vdom_core::{ErrorCode, RealmName, Result};
use vdom_security::{Duty, PermittedStore};
use vdom_store::{LogDescriptor, LogEntry, LogFilter, LogId};

use crate::branch::usage::{Quotas, RealmUsage, Usage};
use crate::error::from_store;
use crate::log_names::address_of;
use crate::records::decode_batch;
use crate::registry::BranchRegistry;
use crate::registry::open::known_usage;
use crate::writer::BranchHandle;

const COUNT_EVERY: Duration = Duration::from_secs(10);

/// Counts now and then what other gateways make of realms; runs until the registry is dropped.
pub(crate) async fn run(registry: Weak<BranchRegistry>) {
    let mut ticks = tokio::time::interval(COUNT_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(registry) = registry.upgrade() else { return };
        if let Err(error) = registry.count_all_usage().await {
            tracing::warn!(%error, "what realms hold cannot be counted: the last count stands");
        }
    }
}

/// A log that counts, and the end of it as the store has it.
struct CountedLog {
    descriptor: LogDescriptor,
    last: LogEntry,
}

impl BranchRegistry {
    /// Whether any realm is bounded.
    pub(crate) fn has_quotas(&self) -> bool {
        self.quotas != Quotas::default()
    }

    /// Counts what a realm holds, where that matters and was not done yet.
    pub(crate) async fn ensure_counted(&self, realm: &RealmName) -> Result<()> {
        if self.has_quotas() {
            let usage = self.usage_of(realm);
            usage.counted.get_or_try_init(|| Box::pin(self.count_usage(realm))).await?;
        }
        Ok(())
    }

    /// Counts anew what realms hold, where that matters.
    pub(crate) async fn count_all_usage(&self) -> Result<()> {
        if !self.has_quotas() {
            return Ok(());
        }
        let realms: Vec<_> = self.usage.lock().keys().cloned().collect();
        for realm in realms {
            self.count_usage(&realm).await?;
        }
        Ok(())
    }

    pub(crate) fn usage_of(&self, realm: &RealmName) -> Arc<RealmUsage> {
        let mut usage = self.usage.lock();
        let of_realm = usage
            .entry(realm.clone())
            .or_insert_with(|| Arc::new(RealmUsage::new(realm.clone(), self.quotas)));
        of_realm.clone()
    }

    async fn count_usage(&self, realm: &RealmName) -> Result<()> {
        let usage = self.usage_of(realm);
        let begun = usage.changes();
        let store = self.store.with(self.permits.of(Duty::CountUsage));
        let logs = store.logs(&LogFilter::of_realm(realm.as_str())).await;
        let logs = logs.map_err(|error| from_store(error, realm))?;
        let opened: HashMap<_, _> =
            self.opened().into_iter().map(|handle| (handle.branch.log, handle)).collect();
        let mut counted = HashMap::new();
        for incarnations in logs.chunk_by(|one, next| one.name == next.name) {
            for log in counted_logs(store, &opened, incarnations).await? {
                let id = log.descriptor.log_id();
                let of_log = match opened.get(&id) {
                    Some(handle) => handle.branch.usage_now(),
                    None => self.usage_of_log(store, &log).await?,
                };
                counted.insert(id, of_log);
            }
        }
        usage.take_count(&begun, &counted);
        Ok(())
    }

    /// How much a log counts that is not open here.
    async fn usage_of_log(&self, store: PermittedStore<'_>, log: &CountedLog) -> Result<Usage> {
        let CountedLog { descriptor, last } = log;
        let (address, id) = (address_of(descriptor)?, descriptor.log_id());
        let watermark = store.watermark(id).await.map_err(|error| from_store(error, &address))?;
        if watermark.number < last.number {
            match self.build_views(&address, descriptor.incarnation).await {
                Ok(_) => {}
                // One damaged branch does not close the realm.
                Err(error) if error.code == ErrorCode::DataLoss => {
                    tracing::error!(branch = %address, %error, "counted as far as its views go");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(known_usage(store, &address, id).await?.0)
    }
}

/// Those of a branch's logs that count, by what they are in ascending order: the newest where
/// it has not ended, and those that it goes on from after restores.
async fn counted_logs(
    store: PermittedStore<'_>,
    opened: &HashMap<LogId, Arc<BranchHandle>>,
    incarnations: &[LogDescriptor],
) -> Result<Vec<CountedLog>> {
    let mut logs: Vec<CountedLog> = Vec::new();
    for descriptor in incarnations.iter().rev() {
        let id = descriptor.log_id();
        let failed = |error| from_store(error, format_args!("log {id}"));
        let Some(last) = store.last(id).await.map_err(failed)? else { break };
        let is_closed =
            last.batch.closing || opened.get(&id).is_some_and(|it| it.branch.head().closed);
        if logs.is_empty() && is_closed {
            break;
        }
        logs.push(CountedLog { descriptor: descriptor.clone(), last });
        if descriptor.incarnation == 1 {
            break;
        }
        let first = store.read(id, 1, 1).await.map_err(failed)?;
        let first = first.first().map(decode_batch).transpose()?;
        if !first.is_some_and(|first| first.is_restored()) {
            break;
        }
    }
    Ok(logs)
}
