//! A repository with ever more merges, imported: five commits a merge, of which two are on a
//! side that has no name.

use std::io::Write;

use super::imports::{self, Contents, write_commit};
use crate::Result;
use crate::report::Table;
use crate::rows::Bench;

const STEPS: [u64; 3] = [40, 400, 4_000];
const FILES: u64 = 100;

/// One table.
pub(in crate::rows) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let table = Table {
        row: "import-merges",
        load: format!(
            "merges, each of a side of two commits into two of main; {FILES} files of 1 KB, one \
             written anew by each commit"
        ),
        ..Table::default()
    };
    imports::measure(bench, table, "merges", &STEPS, history)
}

fn history(out: &mut dyn Write, contents: &mut Contents, merges: u64) -> std::io::Result<()> {
    write_commit(out, "main", 1)?;
    for file in 0..FILES {
        writeln!(out, "M 100644 inline file-{file}")?;
        contents.write(out)?;
    }
    let mut base = 1;
    for _ in 0..merges {
        let (main, side) = ([base + 1, base + 2], [base + 3, base + 4]);
        let merge = base + 5;
        for ([first, second], on) in [(main, "main"), (side, "side")] {
            for (mark, parent) in [(first, base), (second, first)] {
                write_commit(out, on, mark)?;
                writeln!(out, "from :{parent}")?;
                write_file(out, contents, mark)?;
            }
        }
        write_commit(out, "main", merge)?;
        writeln!(out, "from :{}\nmerge :{}", main[1], side[1])?;
        write_file(out, contents, merge)?;
        base = merge;
    }
    writeln!(out, "reset refs/heads/side\nfrom 0000000000000000000000000000000000000000\n")
}

fn write_file(out: &mut dyn Write, contents: &mut Contents, mark: u64) -> std::io::Result<()> {
    writeln!(out, "M 100644 inline file-{}", mark % FILES)?;
    contents.write(out)
}
