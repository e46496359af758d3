//! Memory of a gateway and a sidecar that have nothing to do: fresh, and at rest
//! after a burst of cached reads.

use super::Bench;
use crate::Result;
use crate::load::{self, Lengths, LoadModel, Shape};
use crate::report::{Comparison, MemoryUse, Table};
use crate::servers::{Gateway, Sidecar};

const BURST: Shape = Shape { connections: 16, streams: 16 };
/// What was promised at rest.
const GATEWAY_MAX_MB: f64 = 25.0;
const SIDECAR_MAX_MB: f64 = 16.0;
const SIDECAR_AFTER_BURST_MAX_MB: f64 = 20.0;

/// Both processes, fresh and after a burst.
pub(super) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let gateway = Gateway::start(bench, "idle-memory-gateway")?;
    let sidecar = Sidecar::start(bench, &gateway, "idle-memory-sidecar")?;
    let mut memory = vec![
        MemoryUse::new("vdom gateway, fresh", gateway.memory_at_rest()?),
        MemoryUse::new("vdom sidecar, fresh", sidecar.memory_at_rest()?),
    ];

    sidecar.fill_cache(bench)?;
    let mut side = sidecar.reads();
    let lengths = Lengths { warm_up: bench.turn / 4, measured: bench.turn };
    let measurement = load::run(
        &side.process,
        side.address,
        side.calls.as_mut(),
        BURST,
        LoadModel::Closed,
        lengths,
    )?;
    memory.push(MemoryUse::new("vdom sidecar, at rest after a burst", side.process.memory()?));
    let promised = [GATEWAY_MAX_MB, SIDECAR_MAX_MB, SIDECAR_AFTER_BURST_MAX_MB];
    let judged = memory.iter().zip(promised);
    Ok(vec![Table {
        row: "idle-memory",
        load: "at rest".to_owned(),
        comparisons: judged
            .map(|(memory, mb)| Comparison::at_most(&memory.resident(), mb))
            .collect(),
        memory,
        notes: vec![format!(
            "the burst: cached reads over {} connections for {:.0} s, {:.0} calls/s",
            BURST.connections,
            bench.turn.as_secs_f64(),
            measurement.calls_per_second
        )],
        ..Table::default()
    }])
}
