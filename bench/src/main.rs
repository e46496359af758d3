//! Black-box load generator: runs vdom and its peers in one run, in turns, and
//! reports ratios. See `docs/benchmarks.md`.

#![allow(clippy::disallowed_methods, reason = "it measures time")]

mod counts;
mod echo;
mod load;
mod machine;
mod report;
mod rows;
mod servers;

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use report::Report;
use rows::{Bench, Row};

/// What went wrong, for the person who runs the benchmark.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;
/// An outcome or what went wrong.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Runs vdom and its peers in one run and compares them.
#[derive(Parser, Debug)]
#[command(name = "vdom-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    options: RunOptions,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Every row
    All,
    /// The rows that show how work grows: watches, branches, messages, streams, files
    Scaling,
    /// What a call costs: instructions, allocations, system calls, bytes on the disk
    Counts(counts::Arguments),
    #[command(flatten)]
    Row(Row),
    /// Serve the bare tonic echo
    Echo(echo::Arguments),
}

/// How to run.
#[derive(Args, Debug)]
#[command(next_help_heading = "How to run")]
pub(crate) struct RunOptions {
    /// How many turns each side gets
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long a turn is measured; a quarter of it warms up before
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// The `vdom` command [default: beside this program]
    #[arg(long, global = true, value_name = "PATH")]
    vdom: Option<PathBuf>,
    /// Let vdom log every call, as it does unless told otherwise; its peers do
    /// not
    #[arg(long, global = true)]
    access_log: bool,
    /// Where the servers keep their data, on the disk to be measured [default:
    /// beside this program]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The directory that is imported [default: the vendored sources of the
    /// tests]
    #[arg(long, global = true, env = "VDOM_VENDOR", value_name = "DIR")]
    tree: Option<PathBuf>,
    /// The repository of git whose history is imported
    #[arg(long, global = true, default_value = ".", value_name = "DIR")]
    repository: PathBuf,
    /// Where the report goes, as JSON [default: benchmarks.json beside this
    /// program]
    #[arg(long, global = true, value_name = "PATH")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Cli { command, options } = Cli::parse();
    let done = match command {
        Command::Echo(arguments) => echo::run(&arguments),
        Command::All => run(&options, &Row::ALL),
        Command::Scaling => run(&options, &Row::SCALING),
        Command::Counts(arguments) => with_bench(&options, |bench| counts::run(&arguments, bench)),
        Command::Row(row) => run(&options, &[row]),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell where standard error is closed.
            let _closed = writeln!(io::stderr(), "vdom-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &RunOptions, rows: &[Row]) -> Result<()> {
    let output = match &options.output {
        Some(output) => output.clone(),
        None => beside()?.join("benchmarks.json"),
    };
    with_bench(options, |bench| {
        let mut report = Report::new(machine::describe(&bench.folder)?, options);
        for row in rows {
            report.rows.extend(row.run(bench)?);
            // What is measured stays, whatever becomes of the next row.
            report.write(&output)?;
        }
        let mut out = io::stdout().lock();
        write!(out, "{report}")?;
        writeln!(out, "\nThe report as JSON: {}", output.display())?;
        Ok(())
    })
}

/// With all that a run has at hand, and a folder that is removed at its end.
fn with_bench(options: &RunOptions, run: impl FnOnce(&Bench) -> Result<()>) -> Result<()> {
    let beside = beside()?;
    let data = options.data.clone().unwrap_or_else(|| beside.clone());
    let folder = tempfile::Builder::new()
        .prefix("vdom-bench-")
        .tempdir_in(&data)
        .map_err(|error| format!("cannot make a folder in {}: {error}", data.display()))?;
    let bench = Bench {
        vdom: options.vdom.clone().unwrap_or_else(|| beside.join("vdom")),
        echo: std::env::current_exe()?,
        folder: folder.path().to_owned(),
        access_log: options.access_log,
        tree: options.tree.clone(),
        repository: options.repository.clone(),
        rounds: options.rounds,
        turn: Duration::from_secs(options.seconds),
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
    };
    machine::pin_generator();
    run(&bench)
}

/// The folder of this program.
fn beside() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.parent().ok_or("this program has no folder")?.to_owned())
}
