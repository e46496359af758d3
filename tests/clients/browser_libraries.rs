//! The gRPC-Web libraries of others in Chromium: `@connectrpc/connect-web` and `grpc-web`.

use std::path::PathBuf;

use serde_json::json;
use tokio::process::Command;
use vdom_testkit::{skipped, workspace_root};

use super::fixture::{Fixture, succeeded};

const TEST: &str = "connect_web_and_grpc_web_call_and_watch";

#[tokio::test(flavor = "multi_thread")]
async fn connect_web_and_grpc_web_call_and_watch() {
    let folder = workspace_root().join("tests/browser");
    for needed in [folder.join("node_modules/grpc-web"), PathBuf::from("/usr/bin/chromium")] {
        if !needed.exists() {
            let reason = format!("{} is missing: run `make bootstrap`", needed.display());
            return skipped(TEST, &reason);
        }
    }
    let fixture = Fixture::start().await;
    let descriptors = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&descriptors, vdom_proto::FILE_DESCRIPTOR_SET).expect("written");
    let servers = fixture.doors().map(|door| {
        let admin = format!("http://{}", door.admin);
        json!({ "http": door.url(), "admin": admin, "repo": door.name })
    });
    let ran = Command::new("node")
        .arg("libraries.mjs")
        .current_dir(&folder)
        .env("VDOM_SERVERS", json!(servers).to_string())
        .env("VDOM_DESCRIPTORS", descriptors.path())
        .env("VDOM_TOKEN", fixture.writer())
        .kill_on_drop(true)
        .output()
        .await
        .expect("node runs");
    succeeded(&ran, TEST);
}
