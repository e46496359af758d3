//! What a call costs in counts, which other work on the machine cannot blur: instructions, heap
//! allocations, system calls, wake-ups and bytes that go into files, all of them the server's.

mod budget;
mod instrument;
mod strace_log;
mod workloads;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use self::budget::{Budget, Cost, Costs};
use self::instrument::{Counted, Instrument, Kind};
use self::strace_log::{SystemCalls, Window};
use self::workloads::{OF_GATEWAY, Workload};
use crate::Result;
use crate::report::median;
use crate::rows::{Bench, progress};
use crate::servers::process::ServerProcess;
use crate::servers::{Gateway, Sidecar};

const KINDS: [Kind; 3] = [Kind::Allocations, Kind::Strace, Kind::Callgrind];

/// Where counts are compared with what they were.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The profile of cargo that vdom was built with
    #[arg(long, value_name = "NAME", default_value = "dev")]
    profile: String,
    /// Fail where a count is more than 5 % above what stands in this file in two runs; system
    /// calls and wake-ups 30 %
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Write the counts into this file
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    write: Option<PathBuf>,
}

/// Counts everything, prints it, and compares or keeps it.
pub(crate) fn run(arguments: &Arguments, bench: &Bench) -> Result<()> {
    let mut costs = count_all(bench, 1)?;
    print(&costs)?;
    if let Some(path) = &arguments.write {
        let mut budget = if path.exists() { Budget::read(path)? } else { Budget::default() };
        budget.0.insert(arguments.profile.clone(), costs);
        return budget.write(path);
    }
    let Some(path) = &arguments.check else { return Ok(()) };
    let budget = Budget::read(path)?;
    let before = budget.0.get(&arguments.profile).cloned().unwrap_or_default();
    let mut grown = budget::grown(&before, &costs);
    if !grown.is_empty() {
        // A crowded machine may have done that: what has grown has grown twice.
        progress(&format!("counting once more:\n{}", grown.join("\n")));
        costs = budget::lower(costs, &count_all(bench, 2)?);
        grown = budget::grown(&before, &costs);
    }
    if grown.is_empty() {
        return Ok(());
    }
    Err(format!(
        "a call costs more than {} says; make it cheaper, or change that file in the same commit \
         (`make bench-counts`):\n{}",
        path.display(),
        grown.join("\n")
    )
    .into())
}

/// Everything, in folders of this run.
fn count_all(bench: &Bench, run: u32) -> Result<Costs> {
    let mut costs = Costs::new();
    for kind in KINDS {
        count_gateway(bench, kind, run, &mut costs)?;
        count_sidecar(bench, kind, run, &mut costs)?;
    }
    Ok(costs)
}

fn count_gateway(bench: &Bench, kind: Kind, run: u32, costs: &mut Costs) -> Result<()> {
    let name = format!("counted-gateway-{kind:?}-{run}");
    let mut instrument = Instrument::new(kind, &bench.folder.join(format!("{name}-counts")))?;
    let mut gateway = Gateway::start_under(bench, &name, &instrument.wrapper())?;
    let mut counted = Vec::new();
    let is_counted =
        |workload: &Workload| kind != Kind::Allocations || workload.is_of_small_messages();
    for workload in OF_GATEWAY.into_iter().filter(is_counted) {
        let server = (&gateway.process, gateway.address());
        counted.push((workload, count(bench, &mut instrument, server, &gateway, workload)?));
    }
    gateway.process.terminate()?;
    add(&instrument, counted, costs)
}

fn count_sidecar(bench: &Bench, kind: Kind, run: u32, costs: &mut Costs) -> Result<()> {
    let name = format!("counted-sidecar-{kind:?}-{run}");
    let mut instrument = Instrument::new(kind, &bench.folder.join(format!("{name}-counts")))?;
    let gateway = Gateway::start(bench, &format!("{name}-gateway"))?;
    let mut sidecar = Sidecar::start_under(bench, &gateway, &name, &instrument.wrapper())?;
    sidecar.fill_cache(bench)?;
    let workload = Workload::CachedRead;
    let server = (&sidecar.process, sidecar.address);
    let done = count(bench, &mut instrument, server, &gateway, workload)?;
    sidecar.process.terminate()?;
    add(&instrument, vec![(workload, done)], costs)
}

/// What was counted in each round of a workload, and when its calls were made and answered.
type Rounds = Vec<(Counted, Window)>;

/// Counts what a server, a gateway or a sidecar beside it, does for a workload.
fn count(
    bench: &Bench,
    instrument: &mut Instrument,
    (process, address): (&ServerProcess, SocketAddr),
    gateway: &Gateway,
    workload: Workload,
) -> Result<Rounds> {
    bench.runtime.block_on(async {
        let mut prepared = workloads::prepare(workload, bench, gateway, address).await?;
        process.settle()?;
        let mut rounds = Vec::new();
        for round in 0..workload.rounds(instrument.kind()) {
            let begun = instrument.begin(process)?;
            let answered = workloads::run(workload, &mut prepared, round, bench, gateway).await?;
            // What was put off is done before the next.
            process.settle()?;
            rounds.push((instrument.end(process, begun)?, answered));
        }
        progress(&format!("counted by {:?}: {}", instrument.kind(), workload.describe()));
        Ok(rounds)
    })
}

/// Notes what was counted, for each call: of the rounds the median, since how threads and packets
/// meet is another thing in each.
fn add(instrument: &Instrument, counted: Vec<(Workload, Rounds)>, costs: &mut Costs) -> Result<()> {
    for (workload, rounds) in counted {
        let cost = costs.entry(workload.name().to_owned()).or_default();
        let mut note = |what: &str, count: f64| {
            cost.insert(what.to_owned(), (count / workload.calls() as f64 * 100.0).round() / 100.0);
        };
        let (mut instructions, mut allocations, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        // Each with the part of it until its calls were answered.
        let mut windows = Vec::new();
        for (counted, answered) in rounds {
            match counted {
                Counted::Instructions(count) => instructions.push(count as f64),
                Counted::Allocations { count, bytes: allocated } => {
                    allocations.push(count as f64);
                    bytes.push(allocated as f64);
                }
                Counted::SystemCalls(whole) => windows.extend([whole, answered]),
            }
        }
        // Whatever else the threads meet with is added to the least.
        if let Some(least) = instructions.into_iter().reduce(f64::min) {
            note("instructions", least);
        }
        if !allocations.is_empty() {
            note("allocations", median(&allocations));
            note("allocated bytes", median(&bytes));
        }
        if windows.is_empty() {
            continue;
        }
        let calls = instrument.system_calls(&windows)?;
        let (whole, answered): (Vec<_>, Vec<_>) =
            calls.chunks_exact(2).map(|round| (&round[0], &round[1])).unzip();
        let of = |rounds: &[&SystemCalls], count: fn(&SystemCalls) -> u64| {
            median(&rounds.iter().map(|round| count(round) as f64).collect::<Vec<_>>())
        };
        if workload.is_of_small_messages() {
            note("system calls", of(&whole, SystemCalls::total));
            note("wake-ups", of(&whole, |round| round.wake_ups));
        }
        note("bytes written in all", of(&whole, |round| round.written));
        if workload.is_answered_at_once() {
            note("bytes written until answered", of(&answered, |round| round.written));
        }
    }
    Ok(())
}

fn print(costs: &Costs) -> Result<()> {
    let columns: BTreeSet<&str> = costs.values().flat_map(Cost::keys).map(String::as_str).collect();
    let columns: Vec<_> = columns.into_iter().collect();
    let mut out = std::io::stdout().lock();
    writeln!(out, "| a call | {} |", columns.join(" | "))?;
    writeln!(out, "|---|{}", "---:|".repeat(columns.len()))?;
    for workload in OF_GATEWAY.into_iter().chain([Workload::CachedRead]) {
        let Some(cost) = costs.get(workload.name()) else { continue };
        let cells =
            columns.iter().map(|what| cost.get(*what).map_or(String::new(), f64::to_string));
        writeln!(out, "| {} | {} |", workload.describe(), cells.collect::<Vec<_>>().join(" | "))?;
    }
    Ok(())
}
