//! A page of `GetHistory` as the messages of its changes grow: it stays below what a message
//! of gRPC may have.

use std::time::Instant;

use prost::Message;
use tokio::task::JoinSet;
use tonic::Status;
use vdom_proto::v1::GetHistoryRequest;

use crate::Result;
use crate::report::{Comparison, Curve, Figure, Table};
use crate::rows::Bench;
use crate::servers::{Client, Gateway, REPO, write_request};

const CHANGES: u64 = 1_000;
const WRITERS: u64 = 64;
/// The last is the longest message that a change may have.
const MESSAGE_BYTES: [u64; 4] = [0, 1 << 10, 16 << 10, 64 << 10];
/// What clients of gRPC take.
const PAGE_MAX_MB: f64 = 4.194_304;

/// One table.
pub(in crate::rows) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let gateway = Gateway::start(bench, "history-pages-gateway")?;
    let mut curve = Curve::new("bytes of a message");
    let mut largest_mb: f64 = 0.0;
    for bytes in MESSAGE_BYTES {
        let branch = format!("messages-of-{bytes}");
        bench.runtime.block_on(async {
            let mut client = gateway.client().await?;
            write(&client, &branch, bytes as usize).await?;
            for _ in 0..bench.rounds {
                let history = read(&mut client, &branch).await?;
                curve.add(bytes, ("changes in the first page", ""), history.first_changes as f64);
                curve.add(bytes, ("first page", "MB"), history.first_mb);
                curve.add(bytes, ("first page", "ms"), history.first_ms);
                curve.add(bytes, ("pages of all 1,000", ""), history.pages as f64);
                curve.add(bytes, ("all pages", "ms"), history.all_ms);
                largest_mb = largest_mb.max(history.largest_mb);
            }
            Ok::<_, crate::Failure>(())
        })?;
    }
    let largest = Figure::once("the largest page", "MB", largest_mb);
    Ok(vec![Table {
        row: "history-pages",
        load: format!("{CHANGES} changes of a branch, pages of {CHANGES} asked for"),
        comparisons: vec![Comparison::at_most(&largest, PAGE_MAX_MB)],
        curve: Some(curve),
        ..Table::default()
    }])
}

async fn write(client: &Client, branch: &str, message_bytes: usize) -> Result<()> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (mut client, branch) = (client.clone(), branch.to_owned());
        writers.spawn(async move {
            for number in (writer..CHANGES).step_by(WRITERS as usize) {
                let operation = u128::from(number) + 1;
                let mut write = write_request(format!("node-{writer}"), b"x", operation);
                write.branch.clone_from(&branch);
                write.message = "m".repeat(message_bytes);
                client.write_diff(write).await?;
            }
            Ok::<_, Status>(())
        });
    }
    while let Some(written) = writers.join_next().await {
        written?.map_err(|status| format!("a write was refused: {status}"))?;
    }
    Ok(())
}

#[derive(Default)]
struct History {
    first_changes: usize,
    first_mb: f64,
    first_ms: f64,
    largest_mb: f64,
    pages: u64,
    all_ms: f64,
}

async fn read(client: &mut Client, branch: &str) -> Result<History> {
    let mut history = History::default();
    let mut request = GetHistoryRequest {
        repo: REPO.to_owned(),
        branch: branch.to_owned(),
        limit: CHANGES as u32,
        ..GetHistoryRequest::default()
    };
    let start = Instant::now();
    let mut read = 0;
    loop {
        let page = client.get_history(request.clone()).await;
        let page = page.map_err(|status| format!("a page was refused: {status}"))?.into_inner();
        let mb = page.encoded_len() as f64 / 1e6;
        read += page.changes.len();
        history.pages += 1;
        history.largest_mb = history.largest_mb.max(mb);
        if history.pages == 1 {
            history.first_changes = page.changes.len();
            history.first_mb = mb;
            history.first_ms = start.elapsed().as_secs_f64() * 1e3;
        }
        if page.next_before_revision == 0 {
            break;
        }
        request.before_revision = page.next_before_revision;
    }
    history.all_ms = start.elapsed().as_secs_f64() * 1e3;
    if read as u64 == CHANGES {
        Ok(history)
    } else {
        Err(format!("{read} of {CHANGES} changes were read").into())
    }
}
