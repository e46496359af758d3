//! Writes of 1 KB by 64 clients, each answered when it is durable, against etcd
//! and, beside them, Redis.

use super::{Bench, compare};
use crate::Result;
use crate::load::Shape;
use crate::report::{Comparison, Table, Target};
use crate::servers::{Gateway, Missing, etcd, redis};

const CLIENTS: Shape = Shape { connections: 64, streams: 1 };

/// What was promised against etcd.
const THROUGHPUT: Target = Target::AtLeast(1.2);
const PROCESSOR_TIME: Target = Target::AtMost(0.5);

/// Closed loop, then open loop. A peer that is not installed is named.
pub(super) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let mut sides = vec![Gateway::start(bench, "durable-write-gateway")?.writes()];
    let mut missing: Vec<Missing> = Vec::new();
    let etcd_at = match etcd(&bench.folder)? {
        Ok(side) => {
            sides.push(side);
            Some(sides.len() - 1)
        }
        Err(absent) => {
            missing.push(absent);
            None
        }
    };
    match redis(&bench.folder)? {
        Ok(side) => sides.push(side),
        Err(absent) => missing.push(absent),
    }
    let peers = 1..sides.len();
    let target = |peer, target| (Some(peer) == etcd_at).then_some(target);

    let closed = compare::closed(bench, &mut sides, CLIENTS)?;
    let closed_loop = Table {
        row: "durable-write",
        load: format!("closed loop, {} clients with a connection each", CLIENTS.connections),
        comparisons: peers
            .clone()
            .flat_map(|peer| {
                [
                    Comparison::throughput(&closed, peer, target(peer, THROUGHPUT)),
                    Comparison::cpu(&closed, peer, target(peer, PROCESSOR_TIME)),
                ]
            })
            .collect(),
        missing: missing.iter().map(ToString::to_string).collect(),
        notes: vec![
            "one branch, 1,024 nodes in turns, each write with an operation id; the peers: 1,024 \
             keys in turns, no authentication"
                .to_owned(),
        ],
        sides: closed.clone(),
        memory: Vec::new(),
    };

    let (rate, measured) = compare::open(bench, &mut sides, CLIENTS, &closed)?;
    let open_loop = Table {
        row: "durable-write",
        load: format!("open loop, {rate:.0} calls/s, {} clients", CLIENTS.connections),
        comparisons: peers
            .flat_map(|peer| {
                [Comparison::p99(&measured, peer, None), Comparison::cpu(&measured, peer, None)]
            })
            .collect(),
        missing: missing.iter().map(ToString::to_string).collect(),
        sides: measured,
        ..Table::default()
    };
    Ok(vec![closed_loop, open_loop])
}
