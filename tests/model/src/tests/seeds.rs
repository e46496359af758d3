//! Many seeds, on every core.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::driver::{BackendKind, run, run_over};
use crate::generate::scenario;
use crate::meetings::Meetings;
use crate::shrink::{as_test, shrink};
use crate::steps::{Scenario, Step};

/// How many are tried where `VDOM_MODEL_SEEDS` does not say.
const SEEDS: u64 = 20_000;
/// How many steps the scenario of a seed has.
const STEPS: usize = 60;
/// How many of them are played over the embedded store, too.
const EMBEDDED_SEEDS: u64 = 40;
/// So many seeds reach every meeting that is required.
const SEEDS_THAT_MEET_ALL: u64 = 10_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Not `eprintln!`, which the test runner keeps to itself.
fn say(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).expect("standard error");
}

#[test]
fn the_room_is_what_the_model_says() {
    let first = number("VDOM_MODEL_SEED").unwrap_or(0);
    let seeds = number("VDOM_MODEL_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let stop = AtomicBool::new(false);
    let meetings = Mutex::new(Meetings::default());
    let failures = Mutex::new(Vec::new());
    #[expect(clippy::disallowed_methods, reason = "it tells how fast it is")]
    let begun = std::time::Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut met = Meetings::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let report = run(&scenario(seed, STEPS));
                    met.add(&report.meetings);
                    if let Some(failure) = report.failure {
                        failures.lock().expect("no panic").push((seed, failure));
                        if number("VDOM_MODEL_GO_ON").is_none() {
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                }
                meetings.lock().expect("no panic").add(&met);
            });
        }
    });
    let tried = next.load(Ordering::Relaxed).min(first + seeds) - first;
    let seconds = begun.elapsed().as_secs_f64();
    let meetings = meetings.into_inner().expect("no panic");
    say(&format!("{meetings}{tried} seeds in {seconds:.1} s: {:.0}/s\n", tried as f64 / seconds));
    let mut failures = failures.into_inner().expect("no panic");
    failures.sort();
    let mut shown = String::new();
    let shrunk_max = number("VDOM_MODEL_SHRINK").unwrap_or(1) as usize;
    for (seed, (at, why)) in &failures {
        let why: String = why.chars().take(400).collect();
        writeln!(shown, "seed {seed}, step {at}: {why}").expect("text");
    }
    for (seed, _) in failures.iter().take(shrunk_max) {
        let (scenario, why) = shrink(&scenario(*seed, STEPS));
        let why: String = why.chars().take(3_000).collect();
        writeln!(shown, "\nseed {seed}, as a test:\n\n{}\n{why}", as_test(&scenario))
            .expect("text");
    }
    assert!(failures.is_empty(), "{} of {tried} seeds failed\n{shown}", failures.len());
    if first == 0 && tried >= SEEDS_THAT_MEET_ALL {
        assert_eq!(meetings.missing(), [], "these never met");
    }
}

#[test]
fn the_room_over_the_embedded_store_is_what_the_model_says() {
    let seeds = number("VDOM_MODEL_EMBEDDED_SEEDS").unwrap_or(EMBEDDED_SEEDS);
    let first = number("VDOM_MODEL_SEED").unwrap_or(0);
    for seed in first..first + seeds {
        let scenario = in_real_time(scenario(seed, STEPS));
        if let Some((at, why)) = run_over(BackendKind::Embedded, &scenario).failure {
            panic!("seed {seed}, step {at}: {why}");
        }
    }
}

/// What one gateway does without waiting for long.
fn in_real_time(scenario: Scenario) -> Scenario {
    let waits = |step: &Step| {
        let is_faulty = matches!(step, Step::LoseAnswers { .. });
        is_faulty || matches!(step, Step::Idle { .. } | Step::Subscribe { .. } | Step::Take { .. })
    };
    let steps = scenario.steps.into_iter().filter(|step| !waits(step)).collect();
    Scenario { gateways: 1, delay_ms: 0, lost_views: 0, lose_hints: false, steps, ..scenario }
}
