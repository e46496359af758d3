//! Stores that cannot be opened.

use std::fs;
use std::path::Path;

use vdom_testkit::client::Client;
use vdom_testkit::gateway::{TestGateway, on_embedded};

use super::{FAILED, gateway, refused};
use crate::cli::text;

/// A store on which something was acknowledged, closed again.
async fn written_store(path: &Path) {
    let gateway = TestGateway::with(on_embedded(path.to_owned())).await;
    gateway.client().await.overwrite("a", b"kept").await.expect("written");
    gateway.gateway.drain().await.expect("drained");
}

async fn refused_at(what: &str, store: &Path, words: &[&str]) {
    let command = gateway(&["--dev", "--store-path", text(store)]);
    let ran = refused(what, command, FAILED, words).await;
    assert!(ran.stderr.contains(text(store)), "{what}: {}", ran.stderr);
}

#[tokio::test]
async fn a_store_that_another_process_has_open_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    let other = TestGateway::with(on_embedded(store.clone())).await;
    refused_at("in use", &store, &["already open", "process"]).await;
    // The other one is not disturbed.
    other.client().await.overwrite("a", b"x").await.expect("written");
}

#[tokio::test]
async fn a_newer_or_foreign_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    written_store(&store).await;
    let format = store.join("FORMAT");
    let ours = fs::read(&format).expect("read");
    for (content, words) in [
        ("vdom-store 4\n", &["format 4", "reads 3", "newer"][..]),
        ("vdom-store 4000000000\n", &["format 4000000000", "reads 3"]),
        ("another program's file\n", &["damaged", "FORMAT", "backup"]),
        ("", &["damaged", "FORMAT"]),
    ] {
        fs::write(&format, content).expect("written");
        refused_at(content, &store, words).await;
        assert_eq!(fs::read(&format).expect("read"), content.as_bytes());
    }
    fs::write(&format, ours).expect("written");
    let gateway = TestGateway::with(on_embedded(store)).await;
    let read = gateway.client().await.read("a").await.expect("read");
    assert_eq!(read.content, b"kept"[..]);
}

#[tokio::test]
async fn a_damaged_store_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    written_store(&store).await;
    let (log, elsewhere) = (store.join("log"), folder.path().join("elsewhere"));
    fs::rename(&log, &elsewhere).expect("moved");
    refused_at("its logs are gone", &store, &["log/MARK", "gone", "backup"]).await;
    fs::create_dir(&log).expect("created");
    fs::copy(elsewhere.join("MARK"), log.join("MARK")).expect("copied");
    refused_at("its segments are gone", &store, &["segments", "gone", "backup"]).await;
    fs::remove_file(store.join("FORMAT")).expect("removed");
    refused_at("its format is gone", &store, &["damaged", "FORMAT"]).await;
}

/// All that the engine holds is derived from the segments of logs and chunks.
#[tokio::test]
async fn a_store_that_lost_what_is_derived_derives_it_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    written_store(&store).await;
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 1000) as u8).collect();
    let gateway = TestGateway::with(on_embedded(store.clone())).await;
    gateway.client().await.upload("large", &large).await;
    gateway.gateway.drain().await.expect("drained");
    fs::rename(store.join("engine"), folder.path().join("elsewhere")).expect("moved");
    let gateway = TestGateway::with(on_embedded(store)).await;
    let mut client = gateway.client().await;
    assert!(client.download("large", 0).await == large, "the large content is another");
    assert_eq!(client.read("a").await.expect("read").content, b"kept"[..]);
    assert_eq!(client.overwrite("a", b"more").await.expect("written").revision, 3);
}

#[tokio::test]
async fn a_place_that_cannot_be_a_store_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "in the way").expect("written");
    refused_at("a file", &file, &["cannot create the store"]).await;
    refused_at("below a file", &file.join("store"), &["cannot create the store"]).await;
    assert_eq!(fs::read(&file).expect("read"), b"in the way");
}

#[tokio::test]
async fn a_store_serves_again_after_every_refusal() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    for round in 1..=3_u64 {
        let gateway = TestGateway::with(on_embedded(store.clone())).await;
        refused_at("in use", &store, &["already open"]).await;
        let mut client = Client::connect(&gateway.grpc_url(), None).await;
        let written = client.overwrite("a", b"x").await.expect("written");
        assert_eq!(written.revision, round);
        gateway.gateway.drain().await.expect("drained");
    }
}
