//! A failing scenario, made short: without every step and every setting that it fails
//! without.

use crate::driver::run;
use crate::steps::{Scenario, Step};

/// How many scenarios are tried at most.
const TRIES_MAX: usize = 3_000;

/// The shortest scenario found that fails in the same way, and how.
pub fn shrink(scenario: &Scenario) -> (Scenario, String) {
    let mut shrinking = Shrinking { tries: 0, best: scenario.clone(), why: String::new() };
    if let Some((at, why)) = run(scenario).failure {
        shrinking.why = why;
        let steps = scenario.steps.iter().take(at + 1).cloned().collect();
        shrinking.try_out(Scenario { steps, ..scenario.clone() });
    }
    loop {
        let before = shrinking.best.clone();
        shrinking.without_steps();
        shrinking.simpler_steps();
        shrinking.simpler_settings();
        if shrinking.best == before || shrinking.tries >= TRIES_MAX {
            return (shrinking.best, shrinking.why);
        }
    }
}

/// A scenario as the lines of a test: `tests/regressions.rs` imports what they name.
pub fn as_test(scenario: &Scenario) -> String {
    let Scenario { seed, gateways, delay_ms, lost_views, lose_hints, quota_nodes, steps } =
        scenario;
    let steps: Vec<_> = steps.iter().map(|step| format!("        {step:?},\n")).collect();
    // Where a `Debug` form is no Rust, or says two things.
    let steps = steps.concat().replace("items: [", "items: vec![");
    let steps = steps.replace("resolution: Merge", "resolution: crate::steps::Resolution::Merge");
    format!(
        "holds(&Scenario {{\n    seed: {seed}, gateways: {gateways}, delay_ms: {delay_ms}, \
         lost_views: {lost_views}, lose_hints: {lose_hints}, quota_nodes: {quota_nodes},\n    \
         steps: vec![\n{steps}    ],\n}});\n"
    )
}

struct Shrinking {
    tries: usize,
    best: Scenario,
    why: String,
}

impl Shrinking {
    /// Takes over what still fails.
    fn try_out(&mut self, scenario: Scenario) -> bool {
        if self.tries >= TRIES_MAX || scenario == self.best {
            return false;
        }
        self.tries += 1;
        match run(&scenario).failure {
            Some((_, why)) if kind(&why) == kind(&self.why) => {
                self.best = scenario;
                self.why = why;
                true
            }
            _ => false,
        }
    }

    fn without_steps(&mut self) {
        let mut length = self.best.steps.len().div_ceil(2);
        while length > 0 {
            let mut at = 0;
            while at < self.best.steps.len() {
                let mut shorter = self.best.clone();
                let end = (at + length).min(shorter.steps.len());
                shorter.steps.drain(at..end);
                if !self.try_out(shorter) {
                    at += length;
                }
            }
            length /= 2;
        }
    }

    fn simpler_steps(&mut self) {
        for at in 0..self.best.steps.len() {
            let simpler = match &self.best.steps[at] {
                Step::Race(one, other) => {
                    vec![Step::Call(one.0, one.1.clone()), Step::Call(other.0, other.1.clone())]
                }
                Step::Crash { who, action, .. } => vec![Step::Call(*who, action.clone())],
                _ => Vec::new(),
            };
            for step in simpler {
                let mut scenario = self.best.clone();
                scenario.steps[at] = step;
                self.try_out(scenario);
            }
        }
    }

    fn simpler_settings(&mut self) {
        let best = self.best.clone();
        self.try_out(Scenario { delay_ms: 0, ..best });
        let best = self.best.clone();
        self.try_out(Scenario { lost_views: 0, ..best });
        let best = self.best.clone();
        self.try_out(Scenario { lose_hints: false, ..best });
        let best = self.best.clone();
        self.try_out(Scenario { quota_nodes: 0, ..best });
        for gateways in 1..self.best.gateways {
            let best = self.best.clone();
            self.try_out(Scenario { gateways, ..best });
        }
    }
}

/// What a failure begins with, so that another one is not taken for it.
fn kind(why: &str) -> String {
    why.chars().take_while(|letter| !letter.is_ascii_digit()).take(24).collect()
}
