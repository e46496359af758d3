//! A commit with ever more files, imported.

use std::io::Write;

use super::imports::{self, Contents, write_commit};
use crate::Result;
use crate::report::Table;
use crate::rows::Bench;

const STEPS: [u64; 3] = [1_000, 10_000, 50_000];
const FILES_IN_A_FOLDER: u64 = 100;

/// One table.
pub(in crate::rows) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let table = Table {
        row: "import-files",
        load: "one commit with files of 1 KB".to_owned(),
        ..Table::default()
    };
    imports::measure(bench, table, "files", &STEPS, history)
}

fn history(out: &mut dyn Write, contents: &mut Contents, files: u64) -> std::io::Result<()> {
    write_commit(out, "main", 1)?;
    for file in 0..files {
        writeln!(out, "M 100644 inline folder-{}/file-{file}", file / FILES_IN_A_FOLDER)?;
        contents.write(out)?;
    }
    Ok(())
}
