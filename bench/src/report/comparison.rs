//! Ratios of ours to what they are held against, and whether they reach what was
//! promised.

use std::fmt;

use serde::Serialize;

use super::measured::{Figure, Measured};
use super::median;

/// What a ratio should be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_reached(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(least) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
        }
    }
}

/// Ours divided by a peer's, round by round, and the median of that; or divided
/// by what was promised.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    figure: String,
    unit: &'static str,
    measured: f64,
    against: String,
    reference: f64,
    pub(super) ratio: f64,
    pub(super) target: Option<Target>,
}

impl Comparison {
    /// Of calls per second.
    pub(crate) fn throughput(sides: &[Measured], peer: usize, target: Option<Target>) -> Self {
        Self::of_sides(("throughput", "/s"), sides, peer, target, |side| &side.calls_per_second)
    }

    /// Of server processor time per call.
    pub(crate) fn cpu(sides: &[Measured], peer: usize, target: Option<Target>) -> Self {
        Self::of_sides(("server CPU per call", "µs"), sides, peer, target, |side| {
            &side.server_cpu_us_per_call
        })
    }

    /// Of the median of latency.
    pub(crate) fn p50(sides: &[Measured], peer: usize, target: Option<Target>) -> Self {
        Self::of_sides(("p50", "µs"), sides, peer, target, |side| &side.p50_us)
    }

    /// Of the 99th percentile of latency.
    pub(crate) fn p99(sides: &[Measured], peer: usize, target: Option<Target>) -> Self {
        Self::of_sides(("p99", "µs"), sides, peer, target, |side| &side.p99_us)
    }

    /// Of one figure to another of the same rounds.
    pub(crate) fn of_figures(ours: &Figure, theirs: &Figure, target: Option<Target>) -> Self {
        let rounds = (&ours.rounds[..], &theirs.rounds[..]);
        Self::new((&ours.name, ours.unit), &theirs.name, rounds, target)
    }

    /// Of a figure to what it should be at most.
    pub(crate) fn at_most(ours: &Figure, promised: f64) -> Self {
        Self::promised(ours, promised, Target::AtMost(1.0))
    }

    /// Of a figure to what it should be at least.
    pub(crate) fn at_least(ours: &Figure, promised: f64) -> Self {
        Self::promised(ours, promised, Target::AtLeast(1.0))
    }

    fn promised(ours: &Figure, promised: f64, target: Target) -> Self {
        let promises = vec![promised; ours.rounds.len()];
        let rounds = (&ours.rounds[..], &promises[..]);
        Self::new((&ours.name, ours.unit), "promised", rounds, Some(target))
    }

    fn of_sides(
        figure: (&str, &'static str),
        sides: &[Measured],
        peer: usize,
        target: Option<Target>,
        values: fn(&Measured) -> &[f64],
    ) -> Self {
        let rounds = (values(&sides[0]), values(&sides[peer]));
        Self::new(figure, &sides[peer].name, rounds, target)
    }

    fn new(
        (figure, unit): (&str, &'static str),
        against: &str,
        (ours, theirs): (&[f64], &[f64]),
        target: Option<Target>,
    ) -> Self {
        let ratios: Vec<f64> =
            ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        Self {
            figure: figure.to_owned(),
            unit,
            measured: median(ours),
            against: against.to_owned(),
            reference: median(theirs),
            ratio: median(&ratios),
            target,
        }
    }

    /// Whether somebody was promised something.
    pub(super) fn is_judged(&self) -> bool {
        self.target.is_some()
    }
}

/// Cells: figure, measured, against what, ratio, target, reached.
impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { figure, unit, measured, against, reference, ratio, target } = self;
        let (measured, reference) = (Rounded(*measured), Rounded(*reference));
        write!(
            formatter,
            "{figure} | {measured} {unit} | {against}: {reference} {unit} | {ratio:.2} | "
        )?;
        let Some(target) = target else {
            return formatter.write_str(" | ");
        };
        let (sign, bound) = match target {
            Target::AtLeast(least) => ("≥", least),
            Target::AtMost(most) => ("≤", most),
        };
        let reached = if target.is_reached(*ratio) { "yes" } else { "no" };
        write!(formatter, "{sign} {bound} | {reached}")
    }
}

/// As many places as tell something.
pub(super) struct Rounded(pub(super) f64);

impl fmt::Display for Rounded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = match self.0.abs() {
            value if value >= 100.0 => 0,
            value if value >= 10.0 => 1,
            _ => 2,
        };
        write!(formatter, "{:.places$}", self.0)
    }
}
