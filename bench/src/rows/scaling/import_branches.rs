//! A repository with ever more branches, imported: each has a commit of its own on a commit
//! that all of them share.

use std::io::Write;

use super::imports::{self, Contents, write_commit};
use crate::Result;
use crate::report::Table;
use crate::rows::Bench;

const STEPS: [u64; 3] = [100, 1_000, 10_000];
const SHARED_FILES: u64 = 100;

/// One table.
pub(in crate::rows) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let table = Table {
        row: "import-branches",
        load: format!("branches with a commit each, on one of {SHARED_FILES} files of 1 KB"),
        ..Table::default()
    };
    imports::measure(bench, table, "branches", &STEPS, history)
}

fn history(out: &mut dyn Write, contents: &mut Contents, branches: u64) -> std::io::Result<()> {
    write_commit(out, "main", 1)?;
    for file in 0..SHARED_FILES {
        writeln!(out, "M 100644 inline file-{file}")?;
        contents.write(out)?;
    }
    for branch in 0..branches {
        write_commit(out, &format!("branch-{branch}"), branch + 2)?;
        writeln!(out, "from :1\nM 100644 inline file-{}", branch % SHARED_FILES)?;
        contents.write(out)?;
    }
    Ok(())
}
