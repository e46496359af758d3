//! The metrics that every door has, and a place for others.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use vdom_core::{Error, Result};

use super::process::ProcessMetrics;

/// From a cached read in memory to a write across a slow network, in seconds.
const LATENCY_BUCKETS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// The metrics of one process. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Arc<RequestMetrics>,
}

impl Metrics {
    /// The standard metrics, with `program` and `version` as build information.
    pub fn new(program: &str, version: &str) -> Self {
        let mut registry = Registry::with_prefix("vdom");
        let build = [("program", program.to_owned()), ("version", version.to_owned())];
        registry.register("build", "Which program this is", Info::new(build.to_vec()));
        registry.register_collector(Box::new(ProcessMetrics::default()));
        let requests = Arc::new(RequestMetrics::register(&mut registry));
        Self { registry: Arc::new(Mutex::new(registry)), requests }
    }

    /// Registers further metrics; their names get the prefix `vdom_`.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock());
    }

    /// Where requests and connections are counted.
    pub fn requests(&self) -> Arc<RequestMetrics> {
        Arc::clone(&self.requests)
    }

    /// All metrics in the text format of `OpenMetrics`.
    pub fn render(&self) -> Result<String> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock()).map_err(Error::internal)?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Requests by route, code and time, and open connections. Cheap to update from any thread.
#[derive(Debug)]
pub struct RequestMetrics {
    requests: Family<RequestLabels, Counter>,
    latency: LatencyFamily,
    in_flight: Gauge,
    connections: Counter,
    connections_open: Gauge,
}

type LatencyFamily = Family<CallLabels, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    call: &'static str,
    code: Cow<'static, str>,
    transport: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    transport: &'static str,
}

impl RequestMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            latency: LatencyFamily::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            in_flight: Gauge::default(),
            connections: Counter::default(),
            connections_open: Gauge::default(),
        };
        registry.register("requests", "Requests answered", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "From the head of a request to the last byte of its answer",
            Unit::Seconds,
            metrics.latency.clone(),
        );
        registry.register("requests_in_flight", "Unanswered requests", metrics.in_flight.clone());
        registry.register("connections", "Connections accepted", metrics.connections.clone());
        registry.register(
            "connections_open",
            "Connections open now",
            metrics.connections_open.clone(),
        );
        metrics
    }

    /// Counts a request in, as one in flight.
    pub fn started(&self) {
        self.in_flight.inc();
    }

    /// A request has ended. `call` and `transport` come from closed lists.
    pub fn finished(
        &self,
        call: &'static str,
        code: impl Into<Cow<'static, str>>,
        transport: &'static str,
        latency: Duration,
    ) {
        self.in_flight.dec();
        self.requests.get_or_create(&RequestLabels { call, code: code.into(), transport }).inc();
        self.latency.get_or_create(&CallLabels { call, transport }).observe(latency.as_secs_f64());
    }

    /// Counts a connection in, as one that is open.
    pub fn connected(&self) {
        self.connections.inc();
        self.connections_open.inc();
    }

    /// Counts a connection out; once for each [`Self::connected`].
    pub fn disconnected(&self) {
        self.connections_open.dec();
    }
}

#[cfg(test)]
mod tests;
