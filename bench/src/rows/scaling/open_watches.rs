//! What a call takes at a sidecar through which watches are open, against etcd with as many.

use std::net::SocketAddr;
use std::time::Duration;

use super::watchers::{Watched, Watchers};
use crate::Result;
use crate::load::{self, Calls, Lengths, LoadModel, Measurement, Shape};
use crate::report::{Curve, Table};
use crate::rows::{Bench, progress};
use crate::servers::process::ServerProcess;
use crate::servers::{Etcd, Gateway, Sidecar, VALUE_BYTES, etcd_ranges, start_etcd};

/// More of them than streams of one connection.
const STEPS: [usize; 5] = [0, 10, 100, 1_000, 2_000];
/// One caller, which waits for its answer: it does not keep the watchers from their core.
const SHAPE: Shape = Shape { connections: 1, streams: 1 };
const TURN_MAX: Duration = Duration::from_secs(2);

/// A table for watches that the sidecar serves by itself, and one for those that it has its
/// gateway serve.
pub(in crate::rows) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let gateway = Gateway::start(bench, "open-watches-gateway")?;
    let sidecar = Sidecar::start(bench, &gateway, "open-watches-sidecar")?;
    sidecar.fill_cache(bench)?;
    let own = beside(bench, &gateway, &sidecar, false)?;
    let forwarded = beside(bench, &gateway, &sidecar, true)?;
    let mut tables = [own, forwarded].map(|(load, curve)| Table {
        row: "open-watches",
        load,
        curve: Some(curve),
        notes: vec![
            "one caller, closed loop; the watches are spread over 10 connections, and each is told \
             at least once a second how far its branch is"
                .to_owned(),
            "a confirmed read (`max_age_ms` 0) goes to the gateway".to_owned(),
        ],
        ..Table::default()
    });
    drop((sidecar, gateway));
    match start_etcd(&bench.folder)? {
        Ok(etcd) => beside_etcd(bench, &etcd, &mut tables[0])?,
        Err(missing) => tables[0].missing.push(missing.to_string()),
    }
    Ok(tables.into())
}

fn beside(
    bench: &Bench,
    gateway: &Gateway,
    sidecar: &Sidecar,
    include_diffs: bool,
) -> Result<(String, Curve)> {
    let whose = if include_diffs { "watches with diffs, by its gateway" } else { "watches" };
    let mut curve = Curve::new("open watches");
    for round in 1..=bench.rounds {
        for count in STEPS {
            let (address, token) = (sidecar.address, gateway.token.clone());
            let watched = Watched::Branch { address, token, include_diffs };
            let watchers = Watchers::open(watched, count)?;
            for (name, mut calls) in [
                ("cached read", sidecar.cached_reads()),
                ("confirmed read", sidecar.confirmed_reads()),
            ] {
                let measurement = measure(bench, &sidecar.process, address, calls.as_mut())?;
                add(&mut curve, count, name, &measurement);
            }
            watchers.close()?;
            progress(&format!("round {round}: {count} {whose}"));
        }
    }
    Ok((format!("a sidecar with {whose}"), curve))
}

fn beside_etcd(bench: &Bench, etcd: &Etcd, table: &mut Table) -> Result<()> {
    bench.runtime.block_on(etcd.put_many(1, VALUE_BYTES))?;
    let curve = table.curve.get_or_insert(Curve::new("open watches"));
    for round in 1..=bench.rounds {
        for count in STEPS {
            let watchers = Watchers::open(Watched::Keys { address: etcd.address }, count)?;
            let mut calls = etcd_ranges(etcd.address);
            let measurement = measure(bench, &etcd.process, etcd.address, calls.as_mut())?;
            add(curve, count, &format!("{}, range", etcd.name), &measurement);
            watchers.close()?;
            progress(&format!("round {round}: {count} watches of etcd"));
        }
    }
    table.notes.push("etcd's watches have a stream each, and are told nothing".to_owned());
    Ok(())
}

fn measure(
    bench: &Bench,
    server: &ServerProcess,
    address: SocketAddr,
    calls: &mut dyn Calls,
) -> Result<Measurement> {
    let measured = bench.turn.min(TURN_MAX);
    let lengths = Lengths { warm_up: measured / 4, measured };
    let measurement = load::run(server, address, calls, SHAPE, LoadModel::Closed, lengths)?;
    if measurement.refused > 0 {
        return Err(format!("{} calls were refused", measurement.refused).into());
    }
    Ok(measurement)
}

fn add(curve: &mut Curve, watches: usize, name: &str, measurement: &Measurement) {
    for (quantile, part) in [("p50", 0.5), ("p99", 0.99)] {
        let micros = measurement.latency.value_at_quantile(part) as f64 / 1e3;
        curve.add(watches as u64, (&format!("{name}: {quantile}"), "µs"), micros);
    }
}
