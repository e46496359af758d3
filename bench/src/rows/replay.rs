//! The whole history of a branch, sent on one stream as fast as the gateway can.

use std::time::Duration;

use prost::Message;
use vdom_proto::v1::SubscribeRequest;
use vdom_proto::v1::change_event::Type;

use super::{Bench, progress};
use crate::Result;
use crate::load::replay::{self, Replayed};
use crate::report::{Comparison, Figure, Table};
use crate::servers::{BRANCH, Filling, Gateway, Glance, REPO};

const HISTORY: Filling = Filling { nodes: 10_000, changes: 250_000, value_bytes: 128 };
/// What was promised of a stream.
const EVENTS_PER_SECOND: f64 = 1_000_000.0;

/// A history of single writes and one of change sets, without diffs and with
/// them.
pub(super) fn run(bench: &Bench) -> Result<Vec<Table>> {
    progress(&format!("storing {} changes, twice", HISTORY.changes));
    let singly = Gateway::start(bench, "replay-writes")?;
    bench.runtime.block_on(async { HISTORY.write_singly(&singly.client().await?).await })?;
    let in_sets = Gateway::start(bench, "replay-sets")?;
    bench.runtime.block_on(async { HISTORY.write_in_sets(&mut in_sets.client().await?).await })?;
    let mut tables = Vec::new();
    for (gateway, written) in [(&singly, "single writes"), (&in_sets, "change sets of 1,000")] {
        gateway.process.settle()?;
        for include_diffs in [false, true] {
            let diffs = if include_diffs { "with diffs" } else { "without diffs" };
            let load = format!("{} changes, {written}, {diffs}", HISTORY.changes);
            tables.push(history(bench, gateway, include_diffs, load)?);
        }
    }
    Ok(tables)
}

fn history(bench: &Bench, gateway: &Gateway, include_diffs: bool, load: String) -> Result<Table> {
    let epoch = bench.runtime.block_on(gateway.epoch())?;
    let mut rate = Figure::new("events per second, one stream", "events/s");
    let mut server_cpu = Figure::new("server CPU per event", "µs");
    let mut generator_cpu = Figure::new("generator CPU per event", "µs");
    let mut server_busy = Figure::new("server busy", "%");
    let mut generator_busy = Figure::new("generator busy", "%");
    let mut event_bytes = Figure::new("size of an event", "bytes");
    for _ in 0..bench.rounds {
        let Replayed { length, server_cpu: server, generator_cpu: generator, bytes } =
            once(gateway, epoch, include_diffs)?;
        let of_length = |time: Duration| time.as_secs_f64() / length.as_secs_f64() * 100.0;
        let of_event = |time: Duration| time.as_secs_f64() * 1e6 / HISTORY.changes as f64;
        progress(&format!("{load}: {:.2} s", length.as_secs_f64()));
        rate.add(HISTORY.changes as f64 / length.as_secs_f64());
        server_cpu.add(of_event(server));
        generator_cpu.add(of_event(generator));
        server_busy.add(of_length(server));
        generator_busy.add(of_length(generator));
        event_bytes.add(bytes as f64 / HISTORY.changes as f64);
    }
    Ok(Table {
        row: "replay",
        load,
        comparisons: vec![Comparison::at_least(&rate, EVENTS_PER_SECOND)],
        figures: vec![rate, server_cpu, generator_cpu, server_busy, generator_busy, event_bytes],
        notes: vec!["every event is looked at: its revision must follow the one before".to_owned()],
        ..Table::default()
    })
}

fn once(gateway: &Gateway, epoch: u64, include_diffs: bool) -> Result<Replayed> {
    let request = SubscribeRequest {
        repo: REPO.to_owned(),
        branch: BRANCH.to_owned(),
        from_epoch: epoch,
        include_diffs,
        ..SubscribeRequest::default()
    };
    let mut revision = 0;
    let mut is_last = |message: &[u8]| {
        let event = Glance::decode(message)?;
        if event.kind() == Type::Progress {
            return Ok(false);
        }
        if event.revision != revision + 1 {
            return Err(format!("revision {} came after {revision}", event.revision).into());
        }
        revision = event.revision;
        Ok(revision == HISTORY.changes)
    };
    let request = request.encode_to_vec();
    replay::run(&gateway.process, gateway.address(), gateway.subscription(), &request, &mut is_last)
}
