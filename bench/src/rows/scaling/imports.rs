//! `vdom import --git` of repositories that were made for it, against `git fast-export` into
//! `git fast-import` of the same one.

use std::fs;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use crate::machine;
use crate::report::{Curve, Table};
use crate::rows::import_history::copy;
use crate::rows::{Bench, progress};
use crate::servers::process::timed;
use crate::servers::{DURABILITY, Gateway, Noise, git};
use crate::{Failure, Result};

const FILE_BYTES: usize = 1_024;

/// A step: what it is named, and the stream of `git fast-import` that makes its repository.
pub(super) type MakeHistory = fn(&mut dyn Write, &mut Contents, u64) -> std::io::Result<()>;

/// Each step with a repository and a gateway of its own.
pub(super) fn measure(
    bench: &Bench,
    mut table: Table,
    grows: &'static str,
    steps: &[u64],
    make: MakeHistory,
) -> Result<Vec<Table>> {
    let mut curve = Curve::new(grows);
    for &step in steps {
        let repository = bench.folder.join(format!("{}-{step}.git", table.row));
        let contents_bytes = make_repository(&repository, step, make)?;
        let source_bytes = contents_bytes + stored(&repository.join("objects"))?.all;
        let mut gateway = Gateway::start(bench, &format!("{}-{step}", table.row))?;
        for round in 0..bench.rounds {
            machine::sync()?;
            gateway.process.settle()?;
            let before = stored(&gateway.store())?;
            gateway.process.forget_peak()?;
            let mut import = gateway.command(bench, "import");
            import.arg("--git").arg(&repository).args(["--repo", &format!("round-{round}")]);
            let (length, _) = timed(&mut import)?;
            curve.add(step, ("vdom import --git", "s"), length.as_secs_f64());
            let peak = gateway.process.memory()?.peak as f64 / 1e6;
            curve.add(step, ("gateway's peak RSS", "MB"), peak);
            // What it puts off is part of what it stores.
            gateway.process.settle()?;
            let after = stored(&gateway.store())?;
            let of_source = |bytes: u64| bytes as f64 / source_bytes as f64;
            let growth = after.all.saturating_sub(before.all);
            curve.add(step, ("stored / source", ""), of_source(growth));
            let (after, before) = (after.all - after.journals, before.all - before.journals);
            let growth = after.saturating_sub(before);
            curve.add(step, ("without journals", ""), of_source(growth));

            let to = tempfile::tempdir_in(&bench.folder)?;
            curve.add(
                step,
                ("git fast-export into fast-import", "s"),
                copy(&repository, to.path())?,
            );
            let kept = stored(&to.path().join("objects"))?.all;
            curve.add(step, ("git: stored / source", ""), of_source(kept));
            progress(&format!("round {}: {step} {grows}", round + 1));
        }
        gateway.process.kill()?;
        fs::remove_dir_all(gateway.store())?;
        fs::remove_dir_all(&repository)?;
    }
    table.curve = Some(curve);
    table.notes = vec![
        format!("vdom: {DURABILITY}; git: one fsync of the pack at the end"),
        "source: git's packs and the bytes of all files' contents, each version once; stored: how \
         much its directory grew, once it was at rest; a journal goes when all of it is in tables"
            .to_owned(),
        "the gateway has one core and the command the other, as have git's two processes"
            .to_owned(),
    ];
    Ok(vec![table])
}

/// Contents of files: text that compresses to about half, and never the same again.
pub(super) struct Contents {
    noise: Noise,
    written: u64,
}

impl Contents {
    /// A `data` command of the next one.
    pub(super) fn write(&mut self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut text = String::with_capacity(FILE_BYTES);
        for byte in self.noise.bytes(FILE_BYTES / 2) {
            text.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
            text.push(char::from(b"ghijklmnopqrstu\n"[usize::from(byte & 15)]));
        }
        self.written += text.len() as u64;
        writeln!(out, "data {}\n{text}", text.len())
    }
}

/// The head of a commit of nobody's.
pub(super) fn write_commit(out: &mut dyn Write, branch: &str, mark: u64) -> std::io::Result<()> {
    writeln!(
        out,
        "commit refs/heads/{branch}\nmark :{mark}\ncommitter bench <bench@localhost> {} +0000\n\
         data 8\na commit",
        1_700_000_000 + mark
    )
}

/// How many bytes of contents it has.
fn make_repository(repository: &Path, step: u64, make: MakeHistory) -> Result<u64> {
    timed(git::command(repository).args(["init", "--quiet", "--bare", "--initial-branch=main"]))?;
    let mut import = git::command(repository)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let input = import.stdin.take().ok_or("git fast-import has no input")?;
    let mut input = BufWriter::new(input);
    let mut contents = Contents { noise: Noise::new(), written: 0 };
    make(&mut input, &mut contents, step)?;
    input.flush()?;
    drop(input);
    let ended = import.wait()?;
    if ended.success() {
        Ok(contents.written)
    } else {
        Err(Failure::from(format!("git fast-import: {ended}")))
    }
}

/// Bytes on the disk.
#[derive(Default)]
struct Stored {
    all: u64,
    /// Of it, where the store's engine keeps what it has not sorted yet.
    journals: u64,
}

/// Of all files below a folder.
fn stored(folder: &Path) -> Result<Stored> {
    let mut stored = Stored::default();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // It was deleted meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            if metadata.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let bytes = metadata.blocks() * 512;
            stored.all += bytes;
            if entry.path().extension().is_some_and(|extension| extension == "jnl") {
                stored.journals += bytes;
            }
        }
    }
    Ok(stored)
}
