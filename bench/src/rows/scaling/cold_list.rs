//! `ListBranches` of every branch right after a start, against a range of as many keys of etcd
//! right after its start.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tonic::Status;
use vdom_proto::v1::{CreateBranchRequest, ListBranchesRequest};

use crate::Result;
use crate::report::{Curve, Table};
use crate::rows::{Bench, progress};
use crate::servers::{Client, Gateway, REPO, start_etcd};

const STEPS: [u64; 3] = [1_000, 10_000, 50_000];
const CREATORS: u64 = 256;
/// So large is a branch in an answer, about.
const VALUE_BYTES: usize = 64;

/// One table.
pub(in crate::rows) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let mut curve = Curve::new("branches");
    let mut table = Table {
        row: "cold-list",
        load: "every branch of a repo, once the process is ready again".to_owned(),
        ..Table::default()
    };
    let mut gateway = Gateway::start(bench, "cold-list-gateway")?;
    let mut etcd = match start_etcd(&bench.folder)? {
        Ok(etcd) => Some(etcd),
        Err(missing) => {
            table.missing.push(missing.to_string());
            None
        }
    };
    let mut there = 0;
    for step in STEPS {
        let start = Instant::now();
        bench.runtime.block_on(async { create(&gateway.client().await?, there..step).await })?;
        let each = start.elapsed().as_secs_f64() * 1e6 / (step - there) as f64;
        curve.add(step, ("creating one, 256 at once", "µs"), each);
        gateway.process.settle()?;
        if let Some(etcd) = &etcd {
            bench.runtime.block_on(etcd.put_many(step, VALUE_BYTES))?;
        }
        there = step;
        for _ in 0..bench.rounds {
            gateway.process.terminate()?;
            curve.add(step, ("ready", "ms"), milliseconds(gateway.start_again(bench)?));
            let list = async { list(&mut gateway.client().await?, step).await };
            let (length, pages) = bench.runtime.block_on(list)?;
            curve.add(step, ("cold list", "ms"), milliseconds(length));
            curve.add(step, ("pages", ""), pages as f64);
            let again = async { list_again(&gateway, step).await };
            curve.add(step, ("listed again", "ms"), milliseconds(bench.runtime.block_on(again)?));
            let resident = gateway.process.memory()?.resident as f64 / 1e6;
            curve.add(step, ("gateway's RSS", "MB"), resident);
            if let Some(etcd) = &mut etcd {
                let ready = etcd.start_again()?;
                curve.add(step, (&format!("{}: ready", etcd.name), "ms"), milliseconds(ready));
                let length = bench.runtime.block_on(etcd.range_all(step))?;
                let name = format!("{}: cold range", etcd.name);
                curve.add(step, (&name, "ms"), milliseconds(length));
            }
        }
        progress(&format!("{step} branches"));
    }
    table.curve = Some(curve);
    table.notes = vec![
        "both by pages of 10,000; the files are in the page cache of the system".to_owned(),
        "a start is timed from the start of the process until it says that it is ready".to_owned(),
    ];
    Ok(vec![table])
}

async fn create(client: &Client, numbers: std::ops::Range<u64>) -> Result<()> {
    let mut creators = JoinSet::new();
    for creator in 0..CREATORS {
        let (mut client, numbers) = (client.clone(), numbers.clone());
        creators.spawn(async move {
            for number in numbers.skip(creator as usize).step_by(CREATORS as usize) {
                let request = CreateBranchRequest {
                    repo: REPO.to_owned(),
                    branch: format!("branch-{number:06}"),
                    ..CreateBranchRequest::default()
                };
                client.create_branch(request).await?;
            }
            Ok::<_, Status>(())
        });
    }
    while let Some(created) = creators.join_next().await {
        created?.map_err(|status| format!("a branch was not created: {status}"))?;
    }
    Ok(())
}

async fn list_again(gateway: &Gateway, count: u64) -> Result<Duration> {
    Ok(list(&mut gateway.client().await?, count).await?.0)
}

/// How long it takes to list that many, and in how many pages.
async fn list(client: &mut Client, count: u64) -> Result<(Duration, u64)> {
    let start = Instant::now();
    let mut request = ListBranchesRequest { repo: REPO.to_owned(), ..Default::default() };
    let (mut listed, mut pages) = (0, 0);
    loop {
        let page = client.list_branches(request.clone()).await;
        let page = page.map_err(|status| format!("no branches are listed: {status}"))?;
        let page = page.into_inner();
        listed += page.branches.len() as u64;
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let length = start.elapsed();
    if listed == count {
        Ok((length, pages))
    } else {
        Err(format!("{listed} of {count} branches are listed").into())
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
