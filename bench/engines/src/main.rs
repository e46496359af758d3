//! Measures embedded engines on the store's records: `cargo run --release -- [DIR]`.
//!
//! Every phase runs in a process of its own, so that its memory is its own. A group
//! is what one fsync commits: for each of its logs a batch of one 1 KB change, with
//! its operation and revision rows; the view rows of the change follow without fsync.

mod engine;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use engine::{Engine, Fjall, Redb, Row, Space};

const PHASE: Duration = Duration::from_secs(8);
const NODES: u64 = 100_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [engine, phase, logs, dir] => {
            let logs = logs.parse().expect("a number of logs");
            match engine.as_str() {
                "fjall" => run::<Fjall>(phase, logs, Path::new(dir)),
                _ => run::<Redb>(phase, logs, Path::new(dir)),
            }
        }
        [] => all(&std::env::temp_dir()),
        [dir, ..] => all(Path::new(dir)),
    }
}

/// All phases, the engines in turns, in a directory on the disk to be measured.
fn all(parent: &Path) {
    println!("| engine | phase | logs | result |\n|---|---|---|---|");
    for round in 0..2 {
        for logs in ["1", "64"] {
            for engine in ["fjall", "redb"] {
                let dir = parent.join(format!("engines-{engine}-{logs}-{round}"));
                for phase in ["append", "read", "idle"] {
                    let program = std::env::current_exe().expect("the path of this program");
                    let status = Command::new(program)
                        .args([engine, phase, logs])
                        .arg(&dir)
                        .status()
                        .expect("the phase starts");
                    assert!(status.success(), "{engine} {phase} failed");
                }
                std::fs::remove_dir_all(&dir).expect("the directory can be removed");
            }
        }
    }
}

fn run<E: Engine>(phase: &str, logs: u64, dir: &Path) {
    let started = Instant::now();
    let mut engine = E::open(dir);
    let opened = started.elapsed();
    let result = match phase {
        "append" => append(&mut engine, logs),
        "read" => read(&mut engine),
        _ => format!("opened in {opened:.1?}, {:.1} MB resident", resident_mb()),
    };
    println!("| {} | {phase} | {logs} | {result} |", E::NAME);
}

fn append<E: Engine>(engine: &mut E, logs: u64) -> String {
    let started = Instant::now();
    let (mut groups, mut waited) = (0_u64, Vec::new());
    while started.elapsed() < PHASE {
        groups += 1;
        let rows: Vec<Row> = (0..logs).flat_map(|log| batch_rows(log, groups)).collect();
        let committing = Instant::now();
        engine.commit(rows, true);
        waited.push(committing.elapsed());
        engine.commit((0..logs).flat_map(|log| view_rows(log, groups)).collect(), false);
    }
    let batches = groups * logs;
    waited.sort();
    let rate = batches as f64 / started.elapsed().as_secs_f64();
    let (median, tail) = (waited[waited.len() / 2], waited[waited.len() * 99 / 100]);
    format!(
        "{rate:.0} batches/s, commit {median:.1?} median, {tail:.1?} p99, {:.1} MB resident",
        resident_mb()
    )
}

fn read<E: Engine>(engine: &mut E) -> String {
    // Rows as a gateway finds them after a restart.
    for first in (0..NODES).step_by(1000) {
        engine.commit((first..first + 1000).map(node_row).collect(), false);
    }
    engine.commit(vec![node_row(0)], true);
    let (started, mut reads, mut node) = (Instant::now(), 0_u64, 1_u64);
    while started.elapsed() < PHASE / 4 {
        for _ in 0..1000 {
            node = node.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = node_key((node >> 33) % NODES);
            assert!(engine.get(Space::Views, &key).is_some());
        }
        reads += 1000;
    }
    let rate = reads as f64 / started.elapsed().as_secs_f64();
    format!("{rate:.0} point reads/s, {:.1} MB resident", resident_mb())
}

fn batch_rows(log: u64, number: u64) -> Vec<Row> {
    let log = log_id(log);
    let count = number.to_be_bytes();
    let operation = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
    vec![
        (Space::Logs, [&log[..], &count].concat(), contents(number, 1200)),
        (Space::Index, [b"o", &log[..], &operation, &operation].concat(), count.to_vec()),
        (Space::Index, [b"r", &log[..], &count].concat(), count.to_vec()),
    ]
}

fn view_rows(log: u64, number: u64) -> Vec<Row> {
    let node = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % NODES;
    let log_id = log_id(log);
    let history = [&node_key(node)[..], &log_id, &number.to_be_bytes()].concat();
    vec![
        (Space::Views, node_key(node ^ log), contents(number, 1100)),
        (Space::Views, history, contents(number, 1100)),
        (Space::Views, [b"w", &log_id[..]].concat(), number.to_be_bytes().to_vec()),
    ]
}

fn node_row(node: u64) -> Row {
    (Space::Views, node_key(node), contents(node, 1100))
}

fn node_key(node: u64) -> Vec<u8> {
    [&log_id(0)[..], &node.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes(), &[0; 8]].concat()
}

fn log_id(log: u64) -> [u8; 32] {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(log + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    id
}

/// Bytes that compress about as well as source text.
fn contents(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let word = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("let value_{} = ", (*state >> 33) % 1000)
    };
    let mut text = String::new();
    while text.len() < length {
        text.push_str(&word(&mut state));
    }
    text.truncate(length);
    text.into_bytes()
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    let kb: f64 = line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("kB");
    kb / 1024.0
}
