//! Medians, ratios and the text of a report.

use hdrhistogram::Histogram;
use std::time::Duration;

use super::*;
use crate::load::Measurement;
use crate::servers::process::Memory;

fn side(name: &str, rounds: &[f64]) -> Measured {
    let mut side = Measured::new(name, "fsync");
    for calls_per_second in rounds {
        let mut latency = Histogram::new(3).expect("a histogram");
        latency.record(2_000_000).expect("in range");
        side.add(&Measurement {
            calls_per_second: *calls_per_second,
            latency,
            server_cpu_per_call: Duration::from_micros(30),
            server_busy: 1.0,
            generator_busy: 0.5,
            others_busy: 0.0,
            refused: 0,
        });
    }
    side
}

#[test]
fn the_median_of_an_even_number_is_between_two() {
    assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
    assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    assert!(median(&[]).abs() < 1e-9);
}

#[test]
fn a_ratio_compares_sides_within_each_round() {
    // The machine was slow in the last two rounds, for both sides.
    let sides = [side("vdom", &[200.0, 20.0, 10.0]), side("peer", &[100.0, 10.0, 5.0])];
    let comparison = Comparison::throughput(&sides, 1, Some(Target::AtLeast(2.5)));
    assert!((comparison.ratio - 2.0).abs() < 1e-9);
    let table = Table {
        row: "a-row",
        load: "closed loop".to_owned(),
        sides: sides.to_vec(),
        comparisons: vec![comparison],
        missing: vec!["Redis is not installed: Debian package redis-server".to_owned()],
        ..Table::default()
    };
    let text = table.to_string();
    assert!(
        text.contains("| throughput | 20.0 /s | peer: 10.0 /s | 2.00 | ≥ 2.5 | no |"),
        "{text}"
    );
    assert!(text.contains("| vdom | 20 | 2001 | 2001 |"), "{text}");
    assert!(text.contains("- Redis is not installed"), "{text}");
    assert!(text.contains("- peer: fsync"), "{text}");
}

#[test]
fn memory_is_judged_by_what_was_promised() {
    let memory = Memory { resident: 20_500_000, proportional: None, peak: 20_500_000 };
    let sidecar = MemoryUse::new("sidecar", memory);
    let table = Table {
        comparisons: vec![Comparison::at_most(&sidecar.resident(), 20.0)],
        memory: vec![sidecar],
        ..Table::default()
    };
    let text = table.to_string();
    assert!(text.contains("| sidecar | 20.5 | not readable |"), "{text}");
    assert!(text.contains("| sidecar | 20.5 MB | promised: 20.0 MB | 1.02 | ≤ 1 | no |"), "{text}");
}

#[test]
fn figures_are_compared_round_by_round() {
    let (mut ours, mut theirs) = (Figure::new("import", "s"), Figure::new("git", "s"));
    for (of_ours, of_theirs) in [(1.0, 2.0), (6.0, 4.0), (3.0, 6.0)] {
        ours.add(of_ours);
        theirs.add(of_theirs);
    }
    let comparison = Comparison::of_figures(&ours, &theirs, Some(Target::AtMost(1.0)));
    assert_eq!(comparison.to_string(), "import | 3.00 s | git: 4.00 s | 0.50 | ≤ 1 | yes");
}

#[test]
fn a_curve_has_a_row_for_each_step_in_order() {
    let mut curve = Curve::new("watches");
    for (step, micros) in [(1_000, 30.0), (0, 9.0), (1_000, 50.0)] {
        curve.add(step, ("p50", "µs"), micros);
    }
    curve.add(0, ("p50", "ms"), 0.009);
    curve.add(1_000, ("errors", ""), 0.0);
    let table = Table { curve: Some(curve), ..Table::default() }.to_string();
    let rows = "| watches | p50, µs | p50, ms | errors |\n|---:|---:|---:|---:|\n\
                | 0 | 9.00 | 0.01 | |\n| 1000 | 40.0 | | 0 |\n";
    assert!(table.contains(rows), "{table}");
}
