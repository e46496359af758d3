//! `ReadSnapshot` of a 1 KB node, the latest, at the gateway itself, against a
//! bare tonic echo of the same sizes.

use super::{Bench, compare};
use crate::Result;
use crate::load::Shape;
use crate::report::{Comparison, Table, Target};
use crate::servers::{Gateway, echo_of_reads};

const SHAPE: Shape = Shape { connections: 16, streams: 16 };

/// What was promised against the echo.
const PROCESSOR_TIME: Target = Target::AtMost(0.7);

/// Closed loop, then open loop.
pub(super) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let gateway = Gateway::start(bench, "gateway-read-gateway")?;
    let echo = echo_of_reads(&bench.echo, &bench.folder, &gateway.token)?;
    let mut sides = [gateway.reads(bench)?, echo];

    let closed = compare::closed(bench, &mut sides, SHAPE)?;
    let (rate, open) = compare::open(bench, &mut sides, SHAPE, &closed)?;
    Ok(vec![
        Table {
            row: "gateway-read",
            load: format!(
                "closed loop, {} connections × {} streams",
                SHAPE.connections, SHAPE.streams
            ),
            comparisons: vec![
                Comparison::cpu(&closed, 1, Some(PROCESSOR_TIME)),
                Comparison::throughput(&closed, 1, None),
            ],
            sides: closed,
            ..Table::default()
        },
        Table {
            row: "gateway-read",
            load: format!("open loop, {rate:.0} calls/s, {} connections", SHAPE.connections),
            comparisons: vec![Comparison::p99(&open, 1, None), Comparison::cpu(&open, 1, None)],
            sides: open,
            ..Table::default()
        },
    ])
}
