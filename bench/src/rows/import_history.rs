//! `vdom import --git` of a repository's whole history, against
//! `git fast-export | git fast-import` of it.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use super::Bench;
use crate::machine;
use crate::report::{Comparison, Figure, Table, Target};
use crate::servers::process::{output, timed};
use crate::servers::{Gateway, git};
use crate::{Failure, Result};

/// What was promised against git.
const THREE_TIMES: Target = Target::AtMost(3.0);

/// One table; every round imports into a new repo.
pub(super) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let mut table = Table {
        row: "import-history",
        load: "the whole history of a repository".to_owned(),
        ..Table::default()
    };
    let folder = bench.repository.display().to_string();
    let git = Path::new("git");
    let asked = output(git, &["-C", &folder, "rev-parse", "--absolute-git-dir"]);
    let Ok(repository) = asked else {
        table.missing.push(format!("{folder} is not in a repository of git: see --repository"));
        return Ok(vec![table]);
    };
    let commits = output(git, &["-C", &folder, "rev-list", "--all", "--count"])?;

    let gateway = Gateway::start(bench, "import-history-gateway")?;
    let mut ours = Figure::new("vdom import --git", "s");
    let mut gits = Figure::new("git fast-export into git fast-import", "s");
    for round in 0..bench.rounds {
        machine::sync()?;
        let mut import = gateway.command(bench, "import");
        import.args(["--git", &repository, "--repo", &format!("history-{round}")]);
        ours.add(timed(&mut import)?.0.as_secs_f64());
        let to = tempfile::tempdir_in(&bench.folder)?;
        gits.add(copy(Path::new(&repository), to.path())?);
    }
    table.comparisons = vec![Comparison::of_figures(&ours, &gits, Some(THREE_TIMES))];
    table.figures = vec![ours, gits];
    table.notes = vec![
        format!("{commits} commits"),
        "vdom: every commit is acknowledged after an fsync; git: one fsync of the pack at the end"
            .to_owned(),
        "the gateway has one core and the command the other, as have git's two processes"
            .to_owned(),
    ];
    Ok(vec![table])
}

/// Seconds for a new repository in an empty folder to have the same history.
pub(super) fn copy(from: &Path, to: &Path) -> Result<f64> {
    timed(git::command(to).args(["init", "--quiet", "--bare"]))?;
    machine::sync()?;
    let start = Instant::now();
    let mut export = git::command(from)
        .args(["-c", "safe.directory=*", "fast-export", "--all", "--signed-tags=strip"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stream = export.stdout.take().ok_or("git fast-export has no output")?;
    let imported = git::command(to).args(["fast-import", "--quiet"]).stdin(stream).status()?;
    let exported = export.wait()?;
    let length = start.elapsed();
    if !imported.success() || !exported.success() {
        return Err(Failure::from(format!("git: export {exported}, import {imported}")));
    }
    Ok(length.as_secs_f64())
}
