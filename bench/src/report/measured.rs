//! What was measured, a value for each round.

use serde::Serialize;

use crate::load::Measurement;
use crate::servers::process::Memory;

/// One side of a load of calls.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(super) name: String,
    pub(super) durability: &'static str,
    pub(crate) calls_per_second: Vec<f64>,
    pub(super) p50_us: Vec<f64>,
    pub(super) p99_us: Vec<f64>,
    pub(super) p999_us: Vec<f64>,
    pub(super) server_cpu_us_per_call: Vec<f64>,
    /// Parts of one core.
    pub(super) server_busy: Vec<f64>,
    pub(super) generator_busy: Vec<f64>,
    /// Cores; the kernel's own work included.
    pub(super) others_busy: Vec<f64>,
    pub(super) refused: u64,
}

impl Measured {
    pub(crate) fn new(name: &str, durability: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            durability,
            calls_per_second: Vec::new(),
            p50_us: Vec::new(),
            p99_us: Vec::new(),
            p999_us: Vec::new(),
            server_cpu_us_per_call: Vec::new(),
            server_busy: Vec::new(),
            generator_busy: Vec::new(),
            others_busy: Vec::new(),
            refused: 0,
        }
    }

    pub(crate) fn add(&mut self, measurement: &Measurement) {
        let quantile = |part| measurement.latency.value_at_quantile(part) as f64 / 1e3;
        self.calls_per_second.push(measurement.calls_per_second);
        self.p50_us.push(quantile(0.5));
        self.p99_us.push(quantile(0.99));
        self.p999_us.push(quantile(0.999));
        self.server_cpu_us_per_call.push(measurement.server_cpu_per_call.as_secs_f64() * 1e6);
        self.server_busy.push(measurement.server_busy);
        self.generator_busy.push(measurement.generator_busy);
        self.others_busy.push(measurement.others_busy);
        self.refused += measurement.refused;
    }
}

/// One number.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(super) name: String,
    pub(super) unit: &'static str,
    pub(super) rounds: Vec<f64>,
}

impl Figure {
    pub(crate) fn new(name: &str, unit: &'static str) -> Self {
        Self { name: name.to_owned(), unit, rounds: Vec::new() }
    }

    pub(crate) fn once(name: &str, unit: &'static str, value: f64) -> Self {
        Self { name: name.to_owned(), unit, rounds: vec![value] }
    }

    pub(crate) fn add(&mut self, value: f64) {
        self.rounds.push(value);
    }
}

/// Memory of a process.
#[derive(Debug, Serialize)]
pub(crate) struct MemoryUse {
    pub(super) name: String,
    pub(super) resident_mb: f64,
    /// Where the kernel tells it.
    pub(super) proportional_mb: Option<f64>,
}

impl MemoryUse {
    /// In megabytes of 1,000,000 bytes.
    pub(crate) fn new(name: &str, memory: Memory) -> Self {
        Self {
            name: name.to_owned(),
            resident_mb: memory.resident as f64 / 1e6,
            proportional_mb: memory.proportional.map(|bytes| bytes as f64 / 1e6),
        }
    }

    /// What is resident, as a figure.
    pub(crate) fn resident(&self) -> Figure {
        Figure::once(&self.name, "MB", self.resident_mb)
    }
}
