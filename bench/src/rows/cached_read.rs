//! `ReadSnapshot` of a 1 KB node that the sidecar has in memory, against a bare
//! tonic echo of the same sizes.

use super::{Bench, compare};
use crate::Result;
use crate::load::Shape;
use crate::report::{Comparison, Table, Target};
use crate::servers::{Gateway, Sidecar, echo_of_reads};

const SHAPES: [Shape; 2] =
    [Shape { connections: 4, streams: 16 }, Shape { connections: 16, streams: 16 }];

/// What was promised for throughput and processor time.
const AT_LEAST_AS_FAST: f64 = 1.0;

/// Closed loop in two shapes, then open loop in the first.
pub(super) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let gateway = Gateway::start(bench, "cached-read-gateway")?;
    let sidecar = Sidecar::start(bench, &gateway, "cached-read-sidecar")?;
    let answer_bytes = sidecar.fill_cache(bench)?;
    let mut sides = [sidecar.reads(), echo_of_reads(&bench.echo, &bench.folder, &gateway.token)?];

    let gateway_before = gateway.cpu_time()?;
    let mut tables = Vec::new();
    let mut first_shape = None;
    for shape in SHAPES {
        let measured = compare::closed(bench, &mut sides, shape)?;
        tables.push(Table {
            row: "cached-read",
            load: format!(
                "closed loop, {} connections × {} streams",
                shape.connections, shape.streams
            ),
            comparisons: vec![
                Comparison::throughput(&measured, 1, Some(Target::AtLeast(AT_LEAST_AS_FAST))),
                Comparison::cpu(&measured, 1, None),
            ],
            sides: measured.clone(),
            notes: vec![format!("an answer of the sidecar is a message of {answer_bytes} bytes")],
            ..Table::default()
        });
        first_shape.get_or_insert(measured);
    }
    let closed = first_shape.unwrap_or_default();
    let (rate, measured) = compare::open(bench, &mut sides, SHAPES[0], &closed)?;
    tables.push(Table {
        row: "cached-read",
        load: format!("open loop, {rate:.0} calls/s, {} connections", SHAPES[0].connections),
        comparisons: vec![Comparison::p99(&measured, 1, None), Comparison::cpu(&measured, 1, None)],
        sides: measured,
        notes: vec![format!(
            "the gateway behind the sidecar used {:.2} s of processor time in the whole row",
            gateway.cpu_time()?.saturating_sub(gateway_before).as_secs_f64()
        )],
        ..Table::default()
    });
    Ok(tables)
}
