//! Writes of 1 KB, each answered when it is durable, against etcd, a tonic echo
//! that stores nothing and, beside them, Redis: by 64 clients and by one; and by 64 clients to
//! 16 branches.

use super::{Bench, compare};
use crate::Result;
use crate::load::Shape;
use crate::report::{Comparison, Measured, Table, Target};
use crate::servers::{Gateway, Missing, Side, echo_of_writes, etcd, redis};

const MANY: Shape = Shape { connections: 64, streams: 1 };
const ONE: Shape = Shape { connections: 1, streams: 1 };

/// What was promised for many clients, against the echo and against etcd.
const THROUGHPUT_OF_ECHO: Target = Target::AtLeast(0.6);
const THROUGHPUT_OF_ETCD: Target = Target::AtLeast(1.2);
const THROUGHPUT_OF_ETCD_ON_BRANCHES: Target = Target::AtLeast(1.5);
const PROCESSOR_TIME_OF_ETCD: Target = Target::AtMost(0.5);
/// By a schedule, and for one client.
const LATENCY_OF_ETCD: Target = Target::AtMost(1.0);
const THROUGHPUT_OF_ETCD_ALONE: Target = Target::AtLeast(1.0);

const BRANCHES: usize = 16;

const ECHO: usize = 1;

const WHAT_IS_WRITTEN: &str = "one branch, 1,024 nodes in turns, each write with an operation id \
                               and a checked token; the peers: 1,024 keys in turns, no \
                               authentication";

/// Closed loop, open loop, and one client alone. A peer that is not installed is
/// named.
pub(super) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let gateway = Gateway::start(bench, "durable-write-gateway")?;
    let echo = echo_of_writes(&bench.echo, &bench.folder, &gateway.token)?;
    let mut sides = vec![gateway.writes(), echo];
    let mut missing = Vec::new();
    let has_etcd = invite(etcd(&bench.folder)?, &mut sides, &mut missing);
    invite(redis(&bench.folder)?, &mut sides, &mut missing);
    // Right after the echo, if it is there.
    let of_etcd = |peer, target| (has_etcd && peer == ECHO + 1).then_some(target);
    let table = |load, sides, comparisons| Table {
        row: "durable-write",
        load,
        sides,
        comparisons,
        missing: missing.clone(),
        ..Table::default()
    };

    let closed = compare::closed(bench, &mut sides, MANY)?;
    let comparisons = with_peers(&closed, |peer| {
        let throughput = match peer {
            ECHO => Some(THROUGHPUT_OF_ECHO),
            _ => of_etcd(peer, THROUGHPUT_OF_ETCD),
        };
        [
            Comparison::throughput(&closed, peer, throughput),
            Comparison::cpu(&closed, peer, of_etcd(peer, PROCESSOR_TIME_OF_ETCD)),
        ]
    });
    let load = format!("closed loop, {} clients with a connection each", MANY.connections);
    let mut many = table(load, closed.clone(), comparisons);
    many.notes.push(WHAT_IS_WRITTEN.to_owned());

    let (rate, open) = compare::open(bench, &mut sides, MANY, &closed)?;
    let comparisons = with_peers(&open, |peer| {
        [
            Comparison::p99(&open, peer, of_etcd(peer, LATENCY_OF_ETCD)),
            Comparison::cpu(&open, peer, None),
        ]
    });
    let load = format!("open loop, {rate:.0} calls/s, {} clients", MANY.connections);
    let scheduled = table(load, open, comparisons);

    let alone = compare::closed(bench, &mut sides, ONE)?;
    let comparisons = with_peers(&alone, |peer| {
        [
            Comparison::throughput(&alone, peer, of_etcd(peer, THROUGHPUT_OF_ETCD_ALONE)),
            Comparison::cpu(&alone, peer, None),
        ]
    });
    let one = table("closed loop, one client".to_owned(), alone, comparisons);

    let gateway = Gateway::start(bench, "durable-write-branches-gateway")?;
    let mut of_branches = vec![gateway.writes_to_branches(BRANCHES)];
    if has_etcd {
        of_branches.push(sides.remove(ECHO + 1));
    }
    let closed = compare::closed(bench, &mut of_branches, MANY)?;
    let comparisons = with_peers(&closed, |peer| {
        [
            Comparison::throughput(&closed, peer, Some(THROUGHPUT_OF_ETCD_ON_BRANCHES)),
            Comparison::cpu(&closed, peer, Some(PROCESSOR_TIME_OF_ETCD)),
        ]
    });
    let load = format!("closed loop, {} clients, {BRANCHES} branches in turns", MANY.connections);
    let mut branches = table(load, closed, comparisons);
    branches.notes.push("etcd has no branches: the same keys as before".to_owned());
    Ok(vec![many, scheduled, one, branches])
}

fn invite(
    peer: std::result::Result<Side, Missing>,
    sides: &mut Vec<Side>,
    missing: &mut Vec<String>,
) -> bool {
    let came = peer.is_ok();
    match peer {
        Ok(side) => sides.push(side),
        Err(absent) => missing.push(absent.to_string()),
    }
    came
}

fn with_peers(
    measured: &[Measured],
    compare: impl Fn(usize) -> [Comparison; 2],
) -> Vec<Comparison> {
    (1..measured.len()).flat_map(compare).collect()
}
