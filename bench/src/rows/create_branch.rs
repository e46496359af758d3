//! Creating a branch from one with 10,000 nodes, against two fsyncs of the same
//! file system: it appends to two logs.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use vdom_proto::v1::CreateBranchRequest;

use super::Bench;
use crate::Result;
use crate::report::{Comparison, Figure, Table, Target, median};
use crate::servers::{BRANCH, Client, Filling, Gateway, REPO};

const NODES: Filling = Filling { nodes: 10_000, changes: 10_000, value_bytes: 1_024 };
/// In a round.
const BRANCHES: u32 = 50;
/// What was promised beside the fsyncs.
const BESIDE_FSYNCS: Duration = Duration::from_millis(1);
const FSYNCS: usize = 2;

/// One table.
pub(super) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let gateway = Gateway::start(bench, "create-branch-gateway")?;
    let mut probe = File::create(bench.folder.join("create-branch-probe"))?;
    let mut created = Figure::new("creating a branch", "ms");
    let mut fsyncs = Figure::new("two fsyncs", "ms");
    let mut allowed = Figure::new("1 ms and two fsyncs", "ms");
    bench.runtime.block_on(async {
        let mut client = gateway.client().await?;
        NODES.write_in_sets(&mut client).await?;
        gateway.process.settle()?;
        for round in 0..bench.rounds {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for number in 0..BRANCHES {
                theirs.push(milliseconds(fsync_twice(&mut probe)?));
                let name = format!("branch-{round}-{number}");
                ours.push(milliseconds(create(&mut client, name).await?));
            }
            created.add(median(&ours));
            fsyncs.add(median(&theirs));
            allowed.add(median(&theirs) + milliseconds(BESIDE_FSYNCS));
        }
        Ok::<_, crate::Failure>(())
    })?;
    Ok(vec![Table {
        row: "create-branch",
        load: format!("from a branch with {} nodes", NODES.nodes),
        comparisons: vec![
            Comparison::of_figures(&created, &allowed, Some(Target::AtMost(1.0))),
            Comparison::of_figures(&created, &fsyncs, None),
        ],
        figures: vec![created, fsyncs],
        notes: vec![format!("a round: {BRANCHES} branches and as many pairs of fsyncs in turns")],
        ..Table::default()
    }])
}

async fn create(client: &mut Client, branch: String) -> Result<Duration> {
    let request = CreateBranchRequest {
        repo: REPO.to_owned(),
        branch,
        from_branch: BRANCH.to_owned(),
        ..CreateBranchRequest::default()
    };
    let start = Instant::now();
    let created = client.create_branch(request).await;
    let length = start.elapsed();
    created.map_err(|status| format!("a branch was not created: {status}"))?;
    Ok(length)
}

fn fsync_twice(probe: &mut File) -> Result<Duration> {
    let start = Instant::now();
    for _ in 0..FSYNCS {
        probe.write_all(&[b'x'; 1_024])?;
        probe.sync_data()?;
    }
    Ok(start.elapsed())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
