//! `vdom completions`: what a shell needs to complete commands.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use crate::exit::Failure;
use crate::output::Output;

/// Print what a shell needs to complete commands
///
/// For example `vdom completions bash > ~/.local/share/bash-completion/completions/vdom`
#[derive(clap::Args, Debug)]
pub(crate) struct CompletionsArguments {
    /// For which shell
    shell: Shell,
}

pub(crate) fn run(arguments: &CompletionsArguments, output: &mut Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "vdom", &mut script);
    Ok(output.bytes(&script)?)
}
