//! 1,000 subscribers of one branch over 10 connections, while someone writes at a
//! modest rate, against as many watchers of etcd.

use super::{Bench, compare};
use crate::Result;
use crate::load::fan_out::FanOut;
use crate::report::{Comparison, Table, Target};
use crate::servers::{Gateway, VALUE_BYTES, WRITES_TOLD_APART, watched_etcd};

const LOAD: FanOut = FanOut {
    connections: 10,
    subscribers: 100,
    writes_per_second: 20.0,
    writes_told_apart: WRITES_TOLD_APART,
};

/// What was promised against etcd.
const PROCESSOR_TIME: Target = Target::AtMost(0.2);
const TO_VISIBLE: Target = Target::AtMost(0.5);
/// The same where etcd's watchers share streams.
const PROCESSOR_TIME_OF_SHARED: Target = Target::AtMost(1.0);

/// One table: a call of it is the delivery of one event to one subscriber.
pub(super) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let gateway = Gateway::start(bench, "fan-out-gateway")?;
    let mut sides = vec![gateway.watched(bench, LOAD.subscribers)?];
    let mut missing = Vec::new();
    match watched_etcd(&bench.folder, LOAD.subscribers)? {
        Ok(etcd) => sides.extend(etcd),
        Err(absent) => missing.push(absent.to_string()),
    }
    let measured = compare::watched(bench, &mut sides, LOAD)?;
    let with_peer = |peer| {
        // What shares streams has less to do.
        let promised = |target| (peer == 1).then_some(target);
        let of_shared = Some(PROCESSOR_TIME_OF_SHARED);
        [
            Comparison::cpu(&measured, peer, promised(PROCESSOR_TIME).or(of_shared)),
            Comparison::p50(&measured, peer, None),
            Comparison::p99(&measured, peer, promised(TO_VISIBLE)),
        ]
    };
    Ok(vec![Table {
        row: "fan-out",
        load: format!(
            "{} subscribers over {} connections, {} writes/s",
            LOAD.connections * LOAD.subscribers,
            LOAD.connections,
            LOAD.writes_per_second
        ),
        comparisons: (1..measured.len()).flat_map(with_peer).collect(),
        sides: measured,
        missing,
        notes: vec![
            format!(
                "a call is a delivery: one event with its value of {VALUE_BYTES} bytes at one \
                 subscriber, timed from when the schedule wanted its write sent; the processor \
                 time of the write is part of it"
            ),
            "a subscriber of vdom has a stream of its own".to_owned(),
        ],
        ..Table::default()
    }])
}
