//! What operators see of the sidecar: readiness, and metrics of the cache and of
//! what keeps it true.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio_util::sync::CancellationToken;
use vdom_edge::observe::Metrics;
use vdom_edge::observe::admin::{Check, Readiness};

use crate::sidecar::Sidecar;
use crate::upstream::Connectivity;

/// Whether the sidecar can serve.
pub(crate) struct Health {
    sidecar: Sidecar,
    draining: CancellationToken,
}

impl Health {
    pub(crate) fn new(sidecar: Sidecar, draining: CancellationToken) -> Arc<Self> {
        Arc::new(Self { sidecar, draining })
    }
}

impl Readiness for Health {
    fn checks(&self) -> Vec<Check> {
        let connectivity = self.sidecar.upstream().connectivity();
        let caches = self.sidecar.upstream().identity().exists();
        let upstream = match connectivity {
            Connectivity::Never => "the gateway has not answered yet".to_owned(),
            Connectivity::There => "the gateway answers".to_owned(),
            // Still ready: what is cached is served, and says that it is stale.
            Connectivity::Away(for_how_long) => format!(
                "the gateway has been away for {} s: only what is cached is served",
                for_how_long.as_secs()
            ),
        };
        let cache = if caches {
            let followed = self.sidecar.branches().all().len();
            format!("{followed} branches are followed")
        } else {
            "nothing is cached: the sidecar has no identity of its own (upstream.token_file)"
                .to_owned()
        };
        vec![
            Check {
                name: "upstream",
                ready: connectivity != Connectivity::Never,
                detail: upstream,
            },
            Check { name: "cache", ready: true, detail: cache },
            Check::lifecycle(self.draining.is_cancelled()),
        ]
    }
}

/// Registers the sidecar's own metrics.
pub(crate) fn register(metrics: &Metrics, sidecar: Sidecar) {
    metrics.register(|registry| registry.register_collector(Box::new(Figures(sidecar))));
}

/// Figures that are taken when they are asked for.
struct Figures(Sidecar);

impl std::fmt::Debug for Figures {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let cache = self.0.cache().figures();
        let branches = self.0.branches().all();
        let ages = branches.iter().filter_map(|branch| branch.age());
        let lag = ages.max().unwrap_or_default().as_secs_f64();
        let is_there = u64::from(self.0.upstream().connectivity() == Connectivity::There);
        let counters = [
            ("sidecar_cache_hits", "Reads answered from memory", cache.hits),
            ("sidecar_cache_misses", "Reads that had to ask the gateway", cache.misses),
        ];
        let gauges = [
            ("sidecar_cache_entries", "What is known of nodes", cache.entries),
            ("sidecar_cache_bytes", "What that weighs", cache.bytes),
            ("sidecar_branches_followed", "Branches that are followed", branches.len() as u64),
            ("sidecar_upstream_reachable", "Whether the gateway answered last", is_there),
        ];
        for (name, help, value) in counters {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        for (name, help, value) in gauges {
            let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        let metric = ConstGauge::new(lag);
        let (name, help) =
            ("sidecar_follower_lag_seconds", "The longest that a followed head is unconfirmed");
        metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
    }
}
