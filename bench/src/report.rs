//! The report: medians and ratios over the rounds, as Markdown and as JSON.

mod comparison;
mod curve;
mod measured;

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use crate::machine::{GENERATOR_CORE, Machine, SERVER_CORE};
use crate::{Result, RunOptions};
use comparison::Rounded;
pub(crate) use comparison::{Comparison, Target};
pub(crate) use curve::Curve;
pub(crate) use measured::{Figure, Measured, MemoryUse};

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
    pub(crate) figures: Vec<Figure>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) memory: Vec<MemoryUse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) curve: Option<Curve>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) comparisons: Vec<Comparison>,
    /// What was not there to be measured, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
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
        self.rows.iter().try_for_each(|table| write!(formatter, "\n{table}"))?;
        writeln!(formatter, "\n### What was to be reached\n")?;
        writeln!(
            formatter,
            "| work | figure | measured | against | ratio | reach | reached |\n\
             |---|---|---:|---|---:|---|---|"
        )?;
        for table in &self.rows {
            for comparison in table.comparisons.iter().filter(|each| each.is_judged()) {
                writeln!(formatter, "| {}: {} | {comparison} |", table.row, table.load)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "### {}: {}\n", self.row, self.load)?;
        self.write_sides(formatter)?;
        self.write_figures(formatter)?;
        self.write_memory(formatter)?;
        if let Some(curve) = &self.curve {
            write!(formatter, "{curve}")?;
        }
        if !self.comparisons.is_empty() {
            writeln!(
                formatter,
                "\n| figure | measured | against | ratio | reach | reached |\n\
                 |---|---:|---|---:|---|---|"
            )?;
        }
        for comparison in &self.comparisons {
            writeln!(formatter, "| {comparison} |")?;
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

impl Table {
    fn write_sides(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        Ok(())
    }

    fn write_figures(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.figures.is_empty() {
            writeln!(formatter, "| measured | median | least | most |\n|---|---:|---:|---:|")?;
        }
        for Figure { name, unit, rounds } in &self.figures {
            let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
            let most = rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            writeln!(
                formatter,
                "| {name} | {} {unit} | {} | {} |",
                Rounded(median(rounds)),
                Rounded(least),
                Rounded(most)
            )?;
        }
        Ok(())
    }

    fn write_memory(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.memory.is_empty() {
            writeln!(formatter, "| process | RSS MB | PSS MB |\n|---|---:|---:|")?;
        }
        for process in &self.memory {
            let proportional = process.proportional_mb.map(|mb| format!("{mb:.1}"));
            writeln!(
                formatter,
                "| {} | {:.1} | {} |",
                process.name,
                process.resident_mb,
                proportional.as_deref().unwrap_or("not readable"),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
