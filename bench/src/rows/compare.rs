//! Turns for each side, round by round: whatever disturbs the machine disturbs
//! all of them.

use crate::Result;
use crate::load::fan_out::{self, FanOut};
use crate::load::{self, Lengths, LoadModel, Measurement, Shape};
use crate::report::{Measured, median};
use crate::rows::{Bench, progress};
use crate::servers::{Side, WatchedSide};

/// Warming up, as a part of what is measured.
const WARM_UP_PART: u32 = 4;
/// Of the slower side's closed-loop throughput, at a fixed rate.
const OPEN_LOOP_PART: f64 = 0.5;

/// Every side as fast as it answers.
pub(super) fn closed(bench: &Bench, sides: &mut [Side], shape: Shape) -> Result<Vec<Measured>> {
    rounds(bench, sides, shape, LoadModel::Closed)
}

/// Every side at the same fixed rate: half of what the slowest can do. Returns
/// the rate.
pub(super) fn open(
    bench: &Bench,
    sides: &mut [Side],
    shape: Shape,
    closed: &[Measured],
) -> Result<(f64, Vec<Measured>)> {
    let speeds = closed.iter().map(|side| median(&side.calls_per_second));
    let rate = (speeds.fold(f64::INFINITY, f64::min) * OPEN_LOOP_PART).max(1.0);
    Ok((rate, rounds(bench, sides, shape, LoadModel::Open(rate))?))
}

/// Every side in turns, with its subscribers.
pub(super) fn watched(
    bench: &Bench,
    sides: &mut [WatchedSide],
    load: FanOut,
) -> Result<Vec<Measured>> {
    let lengths = Lengths { warm_up: bench.turn / WARM_UP_PART, measured: bench.turn };
    let mut measured: Vec<Measured> =
        sides.iter().map(|side| Measured::new(&side.name, side.durability)).collect();
    for round in 1..=bench.rounds {
        for (side, measured) in sides.iter_mut().zip(&mut measured) {
            let WatchedSide { process, address, watches, writes, .. } = side;
            let writes = writes.as_mut();
            let measurement = fan_out::run(process, *address, &**watches, writes, load, lengths)?;
            progress_of(round, &side.name, &measurement);
            measured.add(&measurement);
        }
    }
    Ok(measured)
}

fn rounds(
    bench: &Bench,
    sides: &mut [Side],
    shape: Shape,
    model: LoadModel,
) -> Result<Vec<Measured>> {
    let lengths = Lengths { warm_up: bench.turn / WARM_UP_PART, measured: bench.turn };
    let mut measured: Vec<Measured> =
        sides.iter().map(|side| Measured::new(&side.name, side.durability)).collect();
    for round in 1..=bench.rounds {
        for (side, measured) in sides.iter_mut().zip(&mut measured) {
            let calls = side.calls.as_mut();
            let measurement = load::run(&side.process, side.address, calls, shape, model, lengths)?;
            progress_of(round, &side.name, &measurement);
            measured.add(&measurement);
        }
    }
    Ok(measured)
}

fn progress_of(round: u32, name: &str, measurement: &Measurement) {
    progress(&format!(
        "round {round}: {name}: {:.0} calls/s, {:.1} µs of processor per call",
        measurement.calls_per_second,
        measurement.server_cpu_per_call.as_secs_f64() * 1e6,
    ));
}
