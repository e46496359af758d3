//! `vdom man`: the manual pages.

use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_mangen::Man;

use super::Cli;
use crate::exit::Failure;
use crate::output::Output;

/// Print the manual page, or write one for every verb into a directory
///
/// `vdom man | man -l -` shows it.
#[derive(clap::Args, Debug)]
pub(crate) struct ManArguments {
    /// Directory for `vdom.1`, `vdom-import.1` and so on; it is made where there is none
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(crate) fn run(arguments: &ManArguments, output: &mut Output) -> Result<(), Failure> {
    let Some(directory) = &arguments.directory else {
        let mut page = Vec::new();
        Man::new(Cli::command()).render(&mut page)?;
        return Ok(output.bytes(&page)?);
    };
    write_all(directory).map_err(|error| {
        Failure::failed(format!("cannot write manual pages to {}: {error}", directory.display()))
    })?;
    output.note(&format!("manual pages are in {}", directory.display()))?;
    Ok(())
}

fn write_all(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command(), directory)
}
