//! The machine: which core does what, and what a result was measured on.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Result;

/// Every server runs here.
pub(crate) const SERVER_CORE: usize = 0;
/// The load generator runs here.
pub(crate) const GENERATOR_CORE: usize = 1;

/// In which `/proc` counts processor time, on every Linux.
pub(crate) const TICKS_PER_SECOND: u64 = 100;

const PROBES: usize = 200;

/// What a result was measured on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) kernel: String,
    /// Of the folder with the servers' data.
    pub(crate) file_system: String,
    /// Median of an `fdatasync` after 1 KB was appended there.
    pub(crate) fdatasync_us: u64,
}

/// Keeps this process to its core. Without a second core, or without `taskset`,
/// it stays where it is.
pub(crate) fn pin_generator() {
    let process = std::process::id().to_string();
    let core = GENERATOR_CORE.to_string();
    let pinned = Command::new("taskset").args(["-cp", &core, &process]).output();
    let problem = match pinned {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    // A note: the result says how busy each side was.
    let _closed = writeln!(std::io::stderr(), "not pinned to core {core}: {problem}");
}

/// A program that may run on the servers' core and the generator's.
pub(crate) fn on_every_core(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &format!("{SERVER_CORE},{GENERATOR_CORE}"), program]);
    command
}

/// Writes out what waits to be written, so that nobody pays for another's turn.
pub(crate) fn sync() -> Result<()> {
    let status = Command::new("sync").status()?;
    if status.success() { Ok(()) } else { Err(format!("sync failed: {status}").into()) }
}

/// Processor time of the whole machine so far.
pub(crate) fn cpu_time() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let all = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let ticks: Vec<u64> =
        all.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
    let [user, nice, system, _idle, _waiting, interrupts, soft_interrupts, ..] = ticks[..] else {
        return Err("/proc/stat does not tell the time of all processors".into());
    };
    let busy = user + nice + system + interrupts + soft_interrupts;
    Ok(Duration::from_millis(busy * 1_000 / TICKS_PER_SECOND))
}

/// Describes the machine and the disk under `folder`.
pub(crate) fn describe(folder: &Path) -> Result<Machine> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let value = |line: &str| line.split_once(':').map(|(_, value)| value.trim().to_owned());
    let processor = cpus.lines().find(|line| line.starts_with("model name")).and_then(value);
    Ok(Machine {
        cores: cpus.lines().filter(|line| line.starts_with("processor")).count(),
        processor: processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        file_system: file_system(folder)?,
        fdatasync_us: fdatasync(folder)?.as_micros().try_into()?,
    })
}

fn file_system(folder: &Path) -> Result<String> {
    let output = Command::new("stat").args(["-f", "-c", "%T"]).arg(folder).output()?;
    let name = String::from_utf8(output.stdout)?.trim().to_owned();
    if name == "tmpfs" {
        return Err(format!(
            "{} is in memory, where nothing is durable: name a folder on a disk with --data",
            folder.display()
        )
        .into());
    }
    Ok(name)
}

fn fdatasync(folder: &Path) -> Result<Duration> {
    let path = folder.join("probe");
    let mut file = File::create(&path)?;
    let mut times = Vec::with_capacity(PROBES);
    for _ in 0..PROBES {
        let start = Instant::now();
        file.write_all(&[b'x'; 1_024])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    fs::remove_file(path)?;
    times.sort_unstable();
    Ok(times[PROBES / 2])
}
