//! Streams that their reader drops, over one connection, and what other calls of the
//! connection notice.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use vdom_proto::v1::ReadSnapshotRequest;

use crate::Result;
use crate::report::{Curve, Table};
use crate::rows::{Bench, progress};
use crate::servers::{
    BRANCH, Client, Gateway, REPO, Sidecar, connect, whole_branch, write_request,
};

const STEPS: [u64; 3] = [100, 1_000, 5_000];
/// In several messages, so that some are on their way when the first one is there.
const CONTENT_BYTES: usize = 3 << 20;
/// Streams that are dropped between two calls.
const DROPPED_BETWEEN_CALLS: u64 = 10;
const CALL_MAX: Duration = Duration::from_secs(10);
const LARGE: &str = "large";
const SMALL: &str = "small";

/// One table.
pub(in crate::rows) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let gateway = Gateway::start(bench, "dropped-streams-gateway")?;
    let sidecar = Sidecar::start(bench, &gateway, "dropped-streams-sidecar")?;
    sidecar.fill_cache(bench)?;
    let mut curve = Curve::new("dropped streams");
    bench.runtime.block_on(async {
        let mut client = gateway.client().await?;
        for (path, bytes) in [(LARGE, CONTENT_BYTES), (SMALL, 1_024)] {
            let mut write = write_request(path.to_owned(), &vec![b'x'; bytes], 0);
            write.operation_id.clear();
            client.write_diff(write).await?;
        }
        let servers = [("gateway", gateway.address()), ("sidecar", sidecar.address)];
        for _ in 0..bench.rounds {
            for step in STEPS {
                for (name, address) in servers {
                    let dropped = drop_streams(address, &gateway.token, step).await?;
                    let mut add = |what: &str, unit, value| {
                        curve.add(step, (&format!("{name}: {what}"), unit), value);
                    };
                    add("each", "µs", dropped.each_us);
                    add("a call between: p50", "µs", dropped.quantile(0.5));
                    add("a call between: p99", "µs", dropped.quantile(0.99));
                    add("errors", "", dropped.errors as f64);
                }
                progress(&format!("{step} dropped streams"));
            }
        }
        Ok::<_, crate::Failure>(())
    })?;
    Ok(vec![Table {
        row: "dropped-streams",
        load: format!(
            "ReadSnapshotStream of {} MiB, dropped at its first message",
            CONTENT_BYTES >> 20
        ),
        curve: Some(curve),
        notes: vec![format!(
            "on one connection, with a watch; after every {DROPPED_BETWEEN_CALLS} streams a \
             ReadSnapshot of 1 KB; an error is a stream, a call or the watch that failed"
        )],
        ..Table::default()
    }])
}

struct Dropped {
    each_us: f64,
    /// Of the calls between, in nanoseconds.
    calls: Histogram<u64>,
    errors: u64,
}

impl Dropped {
    fn quantile(&self, part: f64) -> f64 {
        self.calls.value_at_quantile(part) as f64 / 1e3
    }
}

async fn drop_streams(address: SocketAddr, token: &str, count: u64) -> Result<Dropped> {
    let mut client = connect(address, token).await?;
    let mut watch = client.subscribe_changes(whole_branch()).await?.into_inner();
    watch.message().await?;
    let mut dropped = Dropped { each_us: 0.0, calls: Histogram::new(3)?, errors: 0 };
    let mut dropping = Duration::ZERO;
    for number in 1..=count {
        let start = Instant::now();
        let is_read = drop_one(&mut client).await;
        dropping += start.elapsed();
        dropped.errors += u64::from(!is_read);
        if number % DROPPED_BETWEEN_CALLS == 0 {
            let start = Instant::now();
            let called = tokio::time::timeout(CALL_MAX, client.read_snapshot(read(SMALL))).await;
            dropped.calls.record(start.elapsed().as_nanos().try_into()?)?;
            dropped.errors += u64::from(!matches!(called, Ok(Ok(_))));
        }
    }
    dropped.each_us = dropping.as_secs_f64() * 1e6 / count as f64;
    // It tells at least once a second how far the branch is.
    let told = tokio::time::timeout(CALL_MAX, watch.message()).await;
    dropped.errors += u64::from(!matches!(told, Ok(Ok(Some(_)))));
    Ok(dropped)
}

/// Whether a stream began; it is dropped then.
async fn drop_one(client: &mut Client) -> bool {
    match client.read_snapshot_stream(read(LARGE)).await {
        Ok(stream) => matches!(stream.into_inner().message().await, Ok(Some(_))),
        Err(_) => false,
    }
}

fn read(path: &str) -> ReadSnapshotRequest {
    ReadSnapshotRequest {
        repo: REPO.to_owned(),
        branch: BRANCH.to_owned(),
        path: path.to_owned(),
        ..ReadSnapshotRequest::default()
    }
}
