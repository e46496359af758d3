//! `vdom import` of a directory with thousands of files, against `git add` and
//! `git commit` of the same one.

use std::path::Path;
use std::process::Command;

use super::{Bench, progress};
use crate::Result;
use crate::machine;
use crate::report::{Comparison, Figure, Table, Target};
use crate::servers::process::timed;
use crate::servers::{DURABILITY, Gateway, git};

/// What was promised against git as it comes.
const NO_SLOWER: Target = Target::AtMost(1.0);

/// One table; every round imports into a new repo.
pub(super) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let mut table = Table {
        row: "import-tree",
        load: "a directory of vendored sources".to_owned(),
        ..Table::default()
    };
    let Some(tree) = &bench.tree else {
        table.missing.push(
            "no directory to import: `make bootstrap` makes one, or name one with --tree"
                .to_owned(),
        );
        return Ok(vec![table]);
    };
    let gateway = Gateway::start(bench, "import-tree-gateway")?;
    let mut ours = Figure::new("vdom import", "s");
    let mut gits = Figure::new("git add -A && git commit", "s");
    let mut durable_gits = Figure::new("the same, objects fsynced", "s");
    let mut said = String::new();
    for round in 0..bench.rounds {
        machine::sync()?;
        let mut import = gateway.command(bench, "import");
        import.arg(tree).args(["--repo", &format!("tree-{round}")]);
        let (length, summary) = timed(&mut import)?;
        ours.add(length.as_secs_f64());
        progress(&format!("round {}: {summary}", round + 1));
        said = summary;
        gits.add(commit(bench, tree, &[])?);
        durable_gits.add(commit(bench, tree, &git::FSYNC_EVERYTHING)?);
    }
    table.comparisons = vec![
        Comparison::of_figures(&ours, &gits, Some(NO_SLOWER)),
        Comparison::of_figures(&ours, &durable_gits, None),
    ];
    table.figures = vec![ours, gits, durable_gits];
    table.notes = vec![
        format!("what was imported: {said}"),
        format!("vdom, for every file: {DURABILITY}"),
        "git as it comes fsyncs no loose object; `core.fsync=all` in its batch mode fsyncs them \
         together"
            .to_owned(),
        "the gateway has one core and the command the other; git may use both".to_owned(),
    ];
    Ok(vec![table])
}

/// Seconds for a new repository to have everything committed.
fn commit(bench: &Bench, tree: &Path, settings: &[&str]) -> Result<f64> {
    let repository = tempfile::tempdir_in(&bench.folder)?;
    let git = |arguments: &[&str]| -> Command {
        let mut git = git::command(repository.path());
        git.arg("--work-tree").arg(tree).args(settings).args(arguments).current_dir(tree);
        git
    };
    timed(&mut git(&["init", "--quiet"]))?;
    machine::sync()?;
    let (added, _) = timed(&mut git(&["add", "-A"]))?;
    let (committed, _) = timed(&mut git(&["commit", "--quiet", "-m", "everything"]))?;
    Ok((added + committed).as_secs_f64())
}
