//! Whoever writes through a sidecar reads it back there, at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vdom_testkit::client::Client;
use vdom_testkit::gateway::TestGateway;
use vdom_testkit::sidecar::TestSidecar;

const WRITERS: u64 = 8;
const WRITES: u64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn every_writer_reads_its_own_write_and_no_reader_goes_back() {
    let gateway = TestGateway::start().await;
    let sidecar = TestSidecar::start(&gateway.grpc_url()).await;
    // The newest number that any reader of the shared node has seen.
    let newest = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| tokio::spawn(write_and_read(sidecar.url(), number, Arc::clone(&newest))))
        .collect();
    for writer in writers {
        writer.await.expect("every read was new enough");
    }
    sidecar.sidecar.drain().await;
    gateway.gateway.drain().await.expect("drained");
}

async fn write_and_read(url: String, number: u64, newest: Arc<AtomicU64>) {
    let mut client = Client::connect(&url, None).await;
    let own = format!("own-{number}");
    for count in 0..WRITES {
        let content = count.to_string();
        let written = client.overwrite(&own, content.as_bytes()).await.expect("written");
        let read = client.read(&own).await.expect("read");
        assert_eq!(read.content, content.as_bytes(), "own write {count} of {number}");
        assert!(read.revision >= written.revision, "{} of {}", read.revision, written.revision);

        let written = client.overwrite("shared", content.as_bytes()).await.expect("written");
        newest.fetch_max(written.revision, Ordering::SeqCst);
        let least = newest.load(Ordering::SeqCst);
        let read = client.read("shared").await.expect("read");
        assert!(read.changed_revision >= least, "{} of {least}", read.changed_revision);
    }
}
