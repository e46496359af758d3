//! The verbs, one file each.

mod backup;
mod branch;
mod cat;
mod change;
mod compact;
mod completions;
mod conflicts;
mod diff;
mod export;
mod file_problems;
mod gateway;
mod import;
mod log;
mod ls;
mod man;
mod mirror;
mod mv;
mod put;
mod rebuild;
mod restore;
mod revert;
mod revision_spec;
mod rm;
mod serve;
mod sidecar;
mod status;
mod store;
mod token;
mod up;
mod verify;
mod watch;
mod write;

use std::io;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use crate::exit::{self, Exit, Failure};
use crate::output::{Output, OutputOptions};

/// One live, audited copy of code trees.
///
/// A branch is named REPO[@BRANCH]; without @BRANCH it is `main`. A path starts
/// at the root of the branch: `vdom cat site@main src/lib.rs`.
#[derive(Parser, Debug)]
#[command(name = "vdom", version, propagate_version = true, after_help = exit::HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Up(up::UpArguments),
    Gateway(gateway::GatewayArguments),
    Sidecar(sidecar::SidecarArguments),
    Token(token::TokenArguments),
    Import(import::ImportArguments),
    Export(export::ExportArguments),
    Mirror(mirror::MirrorArguments),
    Ls(ls::LsArguments),
    Cat(cat::CatArguments),
    Put(put::PutArguments),
    Rm(rm::RmArguments),
    Mv(mv::MvArguments),
    Watch(watch::WatchArguments),
    Log(log::LogArguments),
    Diff(diff::DiffArguments),
    Revert(revert::RevertArguments),
    Branch(branch::BranchArguments),
    Conflicts(conflicts::ConflictsArguments),
    Status(status::StatusArguments),
    Verify(verify::VerifyArguments),
    Backup(backup::BackupArguments),
    Restore(restore::RestoreArguments),
    Rebuild(rebuild::RebuildArguments),
    Compact(compact::CompactArguments),
    Completions(completions::CompletionsArguments),
    Man(man::ManArguments),
}

pub(crate) fn run(command: Command, output: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Up(arguments) => on_all_cores()?.block_on(up::run(arguments, output)),
        Command::Gateway(arguments) => on_all_cores()?.block_on(gateway::run(arguments)),
        Command::Sidecar(arguments) => on_all_cores()?.block_on(sidecar::run(arguments)),
        Command::Token(arguments) => token::run(arguments, output),
        Command::Import(arguments) => {
            on_all_cores()?.block_on(until_interrupted(import::run(arguments, output)))
        }
        Command::Export(arguments) => {
            on_all_cores()?.block_on(until_interrupted(export::run(arguments, output)))
        }
        Command::Mirror(arguments) => on_all_cores()?.block_on(mirror::run(arguments, output)),
        Command::Ls(arguments) => on_one_thread(ls::run(arguments, output)),
        Command::Cat(arguments) => on_one_thread(cat::run(arguments, output)),
        Command::Put(arguments) => on_one_thread(put::run(arguments, output)),
        Command::Rm(arguments) => on_one_thread(rm::run(arguments, output)),
        Command::Mv(arguments) => on_one_thread(mv::run(arguments, output)),
        Command::Watch(arguments) => one_thread()?.block_on(watch::run(arguments, output)),
        Command::Log(arguments) => on_one_thread(log::run(arguments, output)),
        Command::Diff(arguments) => on_one_thread(diff::run(arguments, output)),
        Command::Revert(arguments) => on_one_thread(revert::run(arguments, output)),
        Command::Branch(arguments) => on_one_thread(branch::run(arguments, output)),
        Command::Conflicts(arguments) => on_one_thread(conflicts::run(arguments, output)),
        Command::Completions(arguments) => completions::run(&arguments, output),
        Command::Man(arguments) => man::run(&arguments, output),
        Command::Verify(arguments) => {
            on_all_cores()?.block_on(until_interrupted(verify::run(arguments, output)))
        }
        Command::Backup(arguments) => {
            on_all_cores()?.block_on(until_interrupted(backup::run(arguments, output)))
        }
        Command::Restore(arguments) => {
            on_all_cores()?.block_on(until_interrupted(restore::run(arguments, output)))
        }
        Command::Rebuild(arguments) => {
            on_all_cores()?.block_on(until_interrupted(rebuild::run(arguments, output)))
        }
        Command::Compact(arguments) => {
            on_all_cores()?.block_on(until_interrupted(compact::run(arguments, output)))
        }
        Command::Status(arguments) => on_one_thread(status::run(arguments, output)),
    }
}

fn on_one_thread(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    one_thread()?.block_on(until_interrupted(command))
}

fn one_thread() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(|error| no_runtime(&error))
}

fn on_all_cores() -> Result<Runtime, Failure> {
    Builder::new_multi_thread().enable_all().build().map_err(|error| no_runtime(&error))
}

async fn until_interrupted(
    command: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::select! {
        outcome = command => outcome,
        heard = tokio::signal::ctrl_c() => match heard {
            Ok(()) => Err(Failure::silent(Exit::Interrupted)),
            Err(error) => Err(Failure::failed(format!("cannot listen for interrupts: {error}"))),
        },
    }
}

fn no_runtime(error: &io::Error) -> Failure {
    Failure::failed(format!("cannot start the runtime: {error}"))
}

#[cfg(test)]
mod tests;
