//! The report: medians and ratios over the rounds, as Markdown and as JSON.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use crate::load::Turn;
use crate::machine::{GENERATOR_CORE, Machine, SERVER_CORE};
use crate::servers::process::Memory;
use crate::{Result, RunOptions};

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// When it began, in UTC.
    date: String,
    machine: Machine,
    rounds: u32,
    seconds: u64,
    /// Whether vdom logged every call.
    access_log: bool,
    pub(crate) rows: Vec<Table>,
}

/// One load and how each side carried it. The first side is ours.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Table {
    pub(crate) row: &'static str,
    pub(crate) load: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sides: Vec<Measured>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) memory: Vec<MemoryUse>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) comparisons: Vec<Comparison>,
    /// Peers that were not there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// One side: a value for each round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    name: String,
    durability: &'static str,
    pub(crate) calls_per_second: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
    p999_us: Vec<f64>,
    server_cpu_us_per_call: Vec<f64>,
    /// Parts of one core.
    server_busy: Vec<f64>,
    generator_busy: Vec<f64>,
    /// Cores; the kernel's own work included.
    others_busy: Vec<f64>,
    refused: u64,
}

impl Measured {
    /// No round yet.
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

    /// One more round.
    pub(crate) fn add(&mut self, turn: &Turn) {
        let quantile = |part| turn.latency.value_at_quantile(part) as f64 / 1e3;
        self.calls_per_second.push(turn.calls_per_second);
        self.p50_us.push(quantile(0.5));
        self.p99_us.push(quantile(0.99));
        self.p999_us.push(quantile(0.999));
        self.server_cpu_us_per_call.push(turn.server_cpu_per_call.as_secs_f64() * 1e6);
        self.server_busy.push(turn.server_busy);
        self.generator_busy.push(turn.generator_busy);
        self.others_busy.push(turn.others_busy);
        self.refused += turn.refused;
    }
}

/// Memory of a process at rest.
#[derive(Debug, Serialize)]
pub(crate) struct MemoryUse {
    name: String,
    resident_mb: f64,
    /// Where the kernel tells it.
    proportional_mb: Option<f64>,
    target: Option<Target>,
}

impl MemoryUse {
    /// In megabytes of 1,000,000 bytes.
    pub(crate) fn new(name: &str, memory: Memory, target: Option<Target>) -> Self {
        Self {
            name: name.to_owned(),
            resident_mb: memory.resident as f64 / 1e6,
            proportional_mb: memory.proportional.map(|bytes| bytes as f64 / 1e6),
            target,
        }
    }
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

/// Ours divided by a peer's, round by round; the median of that.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    figure: &'static str,
    peer: String,
    ratio: f64,
    target: Option<Target>,
}

impl Comparison {
    /// Of calls per second.
    pub(crate) fn throughput(sides: &[Measured], peer: usize, target: Option<Target>) -> Self {
        Self::new("throughput", sides, peer, target, |side| &side.calls_per_second)
    }

    /// Of server processor time per call.
    pub(crate) fn cpu(sides: &[Measured], peer: usize, target: Option<Target>) -> Self {
        Self::new("server CPU per call", sides, peer, target, |side| &side.server_cpu_us_per_call)
    }

    /// Of the 99th percentile of latency.
    pub(crate) fn p99(sides: &[Measured], peer: usize, target: Option<Target>) -> Self {
        Self::new("p99", sides, peer, target, |side| &side.p99_us)
    }

    fn new(
        figure: &'static str,
        sides: &[Measured],
        peer: usize,
        target: Option<Target>,
        values: fn(&Measured) -> &[f64],
    ) -> Self {
        let (ours, theirs) = (values(&sides[0]), values(&sides[peer]));
        let ratios: Vec<f64> =
            ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        Self { figure, peer: sides[peer].name.clone(), ratio: median(&ratios), target }
    }
}

/// The middle one, or the mean of the two in the middle; 0 of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.get(sorted.len() / 2), sorted.len().is_multiple_of(2)) {
        (None, _) => 0.0,
        (Some(upper), true) => f64::midpoint(sorted[sorted.len() / 2 - 1], *upper),
        (Some(middle), false) => *middle,
    }
}

impl Report {
    /// Without rows yet.
    pub(crate) fn new(machine: Machine, options: &RunOptions) -> Self {
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let RunOptions { rounds, seconds, access_log, .. } = *options;
        Self { date, machine, rounds, seconds, access_log, rows: Vec::new() }
    }

    /// As JSON.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        fs::write(path, json)
            .map_err(|error| format!("cannot write the report to {}: {error}", path.display()))?;
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cores, processor, kernel, file_system, fdatasync_us } = &self.machine;
        writeln!(
            formatter,
            "{}: {} rounds of {} s each side. {cores} cores ({processor}), Linux {kernel}; data \
             on {file_system}, fdatasync of 1 KB {fdatasync_us} µs (median). Servers on core \
             {SERVER_CORE}, generator on core {GENERATOR_CORE}. Access log \
             of vdom: {}.",
            self.date,
            self.rounds,
            self.seconds,
            if self.access_log { "on" } else { "off" }
        )?;
        self.rows.iter().try_for_each(|table| write!(formatter, "\n{table}"))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "### {}: {}\n", self.row, self.load)?;
        if !self.sides.is_empty() {
            writeln!(
                formatter,
                "| side | calls/s | p50 µs | p99 µs | p99.9 µs | server CPU µs/call | server busy \
                 | generator busy | others busy | refused |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
            )?;
        }
        for side in &self.sides {
            writeln!(
                formatter,
                "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.0} % | {:.0} % | {:.0} % | {} |",
                side.name,
                median(&side.calls_per_second),
                median(&side.p50_us),
                median(&side.p99_us),
                median(&side.p999_us),
                median(&side.server_cpu_us_per_call),
                median(&side.server_busy) * 100.0,
                median(&side.generator_busy) * 100.0,
                median(&side.others_busy) * 100.0,
                side.refused,
            )?;
        }
        if !self.memory.is_empty() {
            writeln!(
                formatter,
                "| process | RSS MB | PSS MB | target | met |\n|---|---:|---:|---|---|"
            )?;
        }
        for process in &self.memory {
            let proportional = process.proportional_mb.map(|mb| format!("{mb:.1}"));
            writeln!(
                formatter,
                "| {} | {:.1} | {} | {} |",
                process.name,
                process.resident_mb,
                proportional.as_deref().unwrap_or("not readable"),
                Judged(process.target, process.resident_mb)
            )?;
        }
        if !self.comparisons.is_empty() {
            writeln!(formatter, "\n| vdom / peer | ratio | target | met |\n|---|---:|---|---|")?;
        }
        for comparison in &self.comparisons {
            writeln!(
                formatter,
                "| {} / {} | {:.2} | {} |",
                comparison.figure,
                comparison.peer,
                comparison.ratio,
                Judged(comparison.target, comparison.ratio)
            )?;
        }
        let durability =
            self.sides.iter().map(|side| format!("{}: {}", side.name, side.durability));
        let lines: Vec<String> = self
            .missing
            .iter()
            .cloned()
            .chain(self.notes.iter().cloned())
            .chain(durability)
            .collect();
        if !lines.is_empty() {
            writeln!(formatter)?;
        }
        lines.iter().try_for_each(|line| writeln!(formatter, "- {line}"))
    }
}

/// A target and whether a value meets it, as two cells.
struct Judged(Option<Target>, f64);

impl fmt::Display for Judged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(target, value) = self;
        match target {
            None => formatter.write_str(" | "),
            Some(target) => {
                let (sign, bound) = match target {
                    Target::AtLeast(least) => ("≥", least),
                    Target::AtMost(most) => ("≤", most),
                };
                let met = if target.is_met(*value) { "yes" } else { "no" };
                write!(formatter, "{sign} {bound} | {met}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
