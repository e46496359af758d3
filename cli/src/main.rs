//! The `vdom` command: serves trees, and works with them from a shell.

#![allow(clippy::disallowed_methods, reason = "a program for people has the clock of its machine")]
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "doc comments of arguments are help texts, where REPO[@BRANCH] is no link"
)]

#[cfg(feature = "count-allocations")]
mod allocation_count;
mod commands;
mod data;
mod exit;
mod extended_json;
mod humanize;
mod names;
mod output;
mod progress;
mod readiness;
mod server;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Cli;
use crate::output::Output;

fn main() -> ExitCode {
    // Before anything may open a TLS connection; only a second call can fail.
    let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    #[cfg(feature = "count-allocations")]
    allocation_count::serve();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error, std::env::args_os().skip(1)).into(),
    };
    let mut output = Output::to_standard_streams(&cli.output);
    let outcome = commands::run(cli.command, &mut output);
    output.finish(outcome).into()
}
