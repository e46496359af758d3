//! One content of 10 MB and of 100 MB, streamed and acknowledged, against writing
//! the same bytes to a file and fsyncing it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use vdom_proto::v1::write_diffs_chunk::Chunk;
use vdom_proto::v1::{WriteDiffsChunk, WriteDiffsRequest};

use super::{Bench, progress};
use crate::machine;
use crate::report::{Comparison, Figure, Table, Target};
use crate::servers::{BRANCH, DURABILITY, Gateway, Noise, REPO, put_without_content};
use crate::{Failure, Result};

const SIZES_MB: [usize; 2] = [10, 100];
const PIECE_BYTES: usize = 256 << 10;
/// What was promised against the file.
const TWICE: Target = Target::AtMost(2.0);
const GROWTH_MAX_MB: f64 = 16.0;

/// A table for each size.
pub(super) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let gateway = Gateway::start(bench, "large-write-gateway")?;
    let mut noise = Noise::new();
    // What the first write of a process sets up is not what is measured.
    put(&gateway, "first", &noise.bytes(PIECE_BYTES))?;
    SIZES_MB.into_iter().map(|size| of_size(bench, &gateway, &mut noise, size)).collect()
}

fn of_size(bench: &Bench, gateway: &Gateway, noise: &mut Noise, size: usize) -> Result<Table> {
    let mut file = Figure::new("a file, written and fsynced", "ms");
    let mut rest = Figure::new("REST PUT", "ms");
    let mut grpc = Figure::new("WriteDiffsStream", "ms");
    let mut rest_growth = Figure::new("memory growth, REST PUT", "MB");
    let mut grpc_growth = Figure::new("memory growth, WriteDiffsStream", "MB");
    for round in 0..bench.rounds {
        // Each is another content: the same would be kept once.
        let content = noise.bytes(size * 1_000_000);
        machine::sync()?;
        file.add(milliseconds(write_file(bench, &content)?));

        let content = noise.bytes(size * 1_000_000);
        let path = format!("put-{size}-{round}");
        let (length, growth) = grown(gateway, || put(gateway, &path, &content))?;
        rest.add(milliseconds(length));
        rest_growth.add(growth);

        let content = Bytes::from(noise.bytes(size * 1_000_000));
        let path = format!("stream-{size}-{round}");
        let stream = || bench.runtime.block_on(stream(gateway, path, content));
        let (length, growth) = grown(gateway, stream)?;
        grpc.add(milliseconds(length));
        grpc_growth.add(growth);
        progress(&format!("round {}: {size} MB", round + 1));
    }
    Ok(Table {
        row: "large-write",
        load: format!("{size} MB"),
        comparisons: vec![
            Comparison::of_figures(&rest, &file, Some(TWICE)),
            Comparison::of_figures(&grpc, &file, Some(TWICE)),
            Comparison::at_most(&rest_growth, GROWTH_MAX_MB),
            Comparison::at_most(&grpc_growth, GROWTH_MAX_MB),
        ],
        figures: vec![file, rest, grpc, rest_growth, grpc_growth],
        notes: vec![
            format!("vdom: {DURABILITY}; its chunks are fsynced before"),
            "memory growth: the largest resident memory during the write, less what was resident \
             before it"
                .to_owned(),
        ],
        ..Table::default()
    })
}

fn write_file(bench: &Bench, content: &[u8]) -> Result<Duration> {
    let path = bench.folder.join("large-write-file");
    let start = Instant::now();
    let mut file = File::create(&path)?;
    file.write_all(content)?;
    file.sync_all()?;
    let length = start.elapsed();
    std::fs::remove_file(path)?;
    Ok(length)
}

/// How much larger the gateway was meanwhile, in MB.
fn grown(gateway: &Gateway, write: impl FnOnce() -> Result<Duration>) -> Result<(Duration, f64)> {
    gateway.process.settle()?;
    machine::sync()?;
    gateway.process.forget_peak()?;
    let before = gateway.process.memory()?.resident;
    let length = write()?;
    let peak = gateway.process.memory()?.peak;
    Ok((length, peak.saturating_sub(before) as f64 / 1e6))
}

/// Writes a content by REST; how long it took.
pub(crate) fn put(gateway: &Gateway, path: &str, content: &[u8]) -> Result<Duration> {
    let start = Instant::now();
    let mut connection = TcpStream::connect(gateway.http)?;
    write!(
        connection,
        "PUT /v1/repos/{REPO}/branches/{BRANCH}/nodes/{path} HTTP/1.1\r\nhost: {}\r\n\
         authorization: Bearer {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        gateway.http,
        gateway.token,
        content.len()
    )?;
    connection.write_all(content)?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let length = start.elapsed();
    match answer.split(' ').nth(1) {
        Some("200" | "201") => Ok(length),
        _ => Err(format!("a PUT was refused: {answer}").into()),
    }
}

async fn stream(gateway: &Gateway, path: String, content: Bytes) -> Result<Duration> {
    let mut client = gateway.client().await?;
    let header = WriteDiffsRequest {
        repo: REPO.to_owned(),
        branch: BRANCH.to_owned(),
        ..WriteDiffsRequest::default()
    };
    let start = Instant::now();
    let pieces = (0..content.len())
        .step_by(PIECE_BYTES)
        .map(move |at| Chunk::Content(content.slice(at..(at + PIECE_BYTES).min(content.len()))));
    let chunks = [Chunk::Header(header), Chunk::Diff(put_without_content(path))];
    let chunks =
        chunks.into_iter().chain(pieces).map(|chunk| WriteDiffsChunk { chunk: Some(chunk) });
    let written = client.write_diffs_stream(tokio_stream::iter(chunks)).await;
    let length = start.elapsed();
    let written =
        written.map_err(|status| Failure::from(format!("a stream was refused: {status}")))?;
    if !written.into_inner().success {
        return Err("a stream met a conflict".into());
    }
    Ok(length)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
