//! Starting on a store with 1,000,000 changes, and what a gateway holds in memory:
//! at rest on such a store, and with 100,000 nodes in its cache.

use std::time::Instant;

use super::{Bench, progress};
use crate::Result;
use crate::report::{Comparison, Figure, MemoryUse, Table};
use crate::servers::{Filling, Gateway, VALUE_BYTES};

const HISTORY: Filling = Filling { nodes: 100_000, changes: 1_000_000, value_bytes: 100 };
const CACHED: Filling = Filling { nodes: 100_000, changes: 100_000, value_bytes: VALUE_BYTES };

const READY_MAX_SECONDS: f64 = 2.0;
const IDLE_MAX_MB: f64 = 40.0;
const CACHED_MAX_MB: f64 = 300.0;

/// One table for the start, one for memory.
pub(super) fn run(bench: &Bench) -> Result<Vec<Table>> {
    progress(&format!("storing {} changes", HISTORY.changes));
    let mut gateway = Gateway::start(bench, "start-gateway")?;
    bench.runtime.block_on(async { HISTORY.write_in_sets(&mut gateway.client().await?).await })?;
    gateway.process.settle()?;
    let mut after_crash = Figure::new("ready after a kill", "s");
    let mut after_end = Figure::new("ready after SIGTERM", "s");
    let mut first_read = Figure::new("the first read after a kill, once it was ready", "s");
    let mut memory = Vec::new();
    for round in 0..bench.rounds {
        gateway.process.kill()?;
        after_crash.add(gateway.start_again(bench)?.as_secs_f64());
        first_read.add(one_read(bench, &gateway)?);
        gateway.process.terminate()?;
        after_end.add(gateway.start_again(bench)?.as_secs_f64());
        if round == 0 {
            let at_rest = gateway.memory_at_rest()?;
            memory.push(MemoryUse::new("gateway on 1,000,000 changes, at rest", at_rest));
        }
        // The next start is one on a branch that was in use.
        bench.runtime.block_on(async {
            Filling { changes: 1_000, ..HISTORY }.read(&gateway.client().await?).await
        })?;
    }
    drop(gateway);

    let gateway = Gateway::start(bench, "cache-gateway")?;
    bench.runtime.block_on(async {
        let mut client = gateway.client().await?;
        CACHED.write_in_sets(&mut client).await?;
        CACHED.read(&client).await
    })?;
    let cached = gateway.memory_at_rest()?;
    memory.push(MemoryUse::new("gateway with 100,000 nodes of 1 KB, all read", cached));
    let promised = [IDLE_MAX_MB, CACHED_MAX_MB];
    let judged = memory.iter().zip(promised);
    Ok(vec![
        Table {
            row: "start",
            load: format!("{} changes of {} nodes stored", HISTORY.changes, HISTORY.nodes),
            comparisons: vec![
                Comparison::at_most(&after_crash, READY_MAX_SECONDS),
                Comparison::at_most(&after_end, READY_MAX_SECONDS),
            ],
            figures: vec![after_crash, first_read, after_end],
            notes: vec!["from the start of the process until `/health/ready` says so".to_owned()],
            ..Table::default()
        },
        Table {
            row: "start",
            load: "memory".to_owned(),
            comparisons: judged
                .map(|(memory, mb)| Comparison::at_most(&memory.resident(), mb))
                .collect(),
            memory,
            ..Table::default()
        },
    ])
}

/// Seconds until a node was read, the opening of its branch included.
fn one_read(bench: &Bench, gateway: &Gateway) -> Result<f64> {
    bench.runtime.block_on(async {
        let client = gateway.client().await?;
        let start = Instant::now();
        Filling { changes: 1, ..HISTORY }.read(&client).await?;
        Ok(start.elapsed().as_secs_f64())
    })
}
