//! What operators see of the document room, beside the metrics of requests.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use vdom_edge::observe::Metrics;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// Appended.
    Accepted,
    /// Appended before; the first answer was given again.
    Repeated,
    /// It disagreed with what stands there.
    Conflicted,
    /// It could not be applied.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    outcome: Outcome,
}

/// Metrics of the document room. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DomMetrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    writes: Family<WriteLabels, Counter>,
    batch_changes: Histogram,
    append_seconds: Histogram,
    delivered_events: Counter,
    subscribers: Gauge,
    open_branches: Gauge,
    staged_bytes: Gauge,
    discarded_chunks: Counter,
    collected_chunks: Counter,
    view_lag_changes: Gauge,
}

impl DomMetrics {
    /// Metrics that nobody reads yet.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                writes: Family::default(),
                batch_changes: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
                append_seconds: Histogram::new(exponential_buckets(0.000_1, 2.5, 13)),
                delivered_events: Counter::default(),
                subscribers: Gauge::default(),
                open_branches: Gauge::default(),
                staged_bytes: Gauge::default(),
                discarded_chunks: Counter::default(),
                collected_chunks: Counter::default(),
                view_lag_changes: Gauge::default(),
            }),
        }
    }

    /// Shows them on the metrics page.
    pub fn register(&self, metrics: &Metrics) {
        let inner = &self.inner;
        metrics.register(|registry| {
            let dom = registry.sub_registry_with_prefix("dom");
            dom.register("writes", "Writes by what became of them", inner.writes.clone());
            dom.register("batch_changes", "Changes in a batch", inner.batch_changes.clone());
            dom.register(
                "append_seconds",
                "How long the store took to make a batch durable",
                inner.append_seconds.clone(),
            );
            dom.register(
                "delivered_events",
                "Changes delivered to subscribers",
                inner.delivered_events.clone(),
            );
            dom.register("subscribers", "Streams that watch a branch", inner.subscribers.clone());
            dom.register("open_branches", "Branches in memory", inner.open_branches.clone());
            dom.register(
                "staged_bytes",
                "Bytes that uploads have stored and that no batch names yet",
                inner.staged_bytes.clone(),
            );
            dom.register(
                "discarded_chunks",
                "Chunks of uploads that came to nothing, taken out of the store",
                inner.discarded_chunks.clone(),
            );
            dom.register(
                "collected_chunks",
                "Chunks that nothing named any more, taken out of the store",
                inner.collected_chunks.clone(),
            );
            dom.register(
                "view_lag_changes",
                "Changes that the views of the slowest branch lack",
                inner.view_lag_changes.clone(),
            );
        });
    }

    /// A write was evaluated.
    pub fn evaluated(&self, outcome: Outcome) {
        self.inner.writes.get_or_create(&WriteLabels { outcome }).inc();
    }

    /// A batch is durable.
    pub fn appended(&self, changes: usize, took: Duration) {
        self.inner.batch_changes.observe(changes as f64);
        self.inner.append_seconds.observe(took.as_secs_f64());
    }

    /// A subscriber got so many changes.
    pub fn delivered(&self, changes: u64) {
        self.inner.delivered_events.inc_by(changes);
    }

    /// A stream watches; it counts until the guard is dropped.
    pub fn subscribed(&self) -> Subscribed {
        self.inner.subscribers.inc();
        Subscribed(self.inner.subscribers.clone())
    }

    /// Uploads have so many bytes more in the store, or less.
    pub fn staged(&self, bytes: i64) {
        self.inner.staged_bytes.inc_by(bytes);
    }

    /// So many chunks of an upload that came to nothing were taken out.
    pub fn discarded(&self, chunks: u64) {
        self.inner.discarded_chunks.inc_by(chunks);
    }

    /// So many chunks that nothing named were taken out.
    pub fn collected(&self, chunks: u64) {
        self.inner.collected_chunks.inc_by(chunks);
    }

    /// What is in memory now.
    pub fn branches(&self, open: usize, view_lag_changes: u64) {
        self.inner.open_branches.set(i64::try_from(open).unwrap_or(i64::MAX));
        self.inner.view_lag_changes.set(i64::try_from(view_lag_changes).unwrap_or(i64::MAX));
    }
}

impl Default for DomMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// One stream that watches.
#[derive(Debug)]
pub struct Subscribed(Gauge);

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.0.dec();
    }
}
