//! Many requests at once from h2load, none of which may fail.

use std::fs;
use std::path::Path;

use tokio::process::Command;
use vdom_testkit::clients::program;
use vdom_testkit::http::{HttpClient, Place};
use vdom_testkit::skipped;

use super::fixture::{Fixture, succeeded};

const REQUESTS: usize = 2_000;

/// Runs it, and checks that every request was answered with a status of 200 or so.
async fn load(h2load: &Path, token: &str, arguments: &[&str]) {
    let requests = REQUESTS.to_string();
    let ran = Command::new(h2load)
        .args(["-n", &requests, "-c", "20", "-m", "10", "--connection-inactivity-timeout=20"])
        .args(["-H", &format!("authorization: Bearer {token}")])
        .args(arguments)
        .output()
        .await
        .expect("h2load runs");
    let said = succeeded(&ran, &arguments.join(" "));
    for line in [
        format!(
            "requests: {REQUESTS} total, {REQUESTS} started, {REQUESTS} done, {REQUESTS} \
             succeeded, 0 failed, 0 errored, 0 timeout"
        ),
        format!("status codes: {REQUESTS} 2xx, 0 3xx, 0 4xx, 0 5xx"),
    ] {
        assert!(said.contains(&line), "{line:?} is not in: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h2load_has_every_request_answered() {
    let h2load = match program("h2load") {
        Ok(h2load) => h2load,
        Err(reason) => return skipped("h2load_has_every_request_answered", &reason),
    };
    let fixture = Fixture::start().await;
    let token = fixture.writer();
    let folder = tempfile::tempdir().expect("a folder");
    let content = folder.path().join("content");
    fs::write(&content, vec![b'x'; 1_024]).expect("written");
    let content = content.to_str().expect("UTF-8");
    for door in fixture.doors() {
        let url = door.node_url(door.name, "node");
        load(&h2load, &token, &["-d", content, "-H", ":method: PUT", &url]).await;
        load(&h2load, &token, &[&url]).await;
        load(&h2load, &token, &["--h1", &url]).await;

        let client = HttpClient::new(Place::Tcp(door.http), Some(&token));
        let branch = format!("/v1/repos/{}/branches/main", door.name);
        let read = client.get(&format!("{branch}/nodes/node")).await;
        assert_eq!((read.status.as_u16(), read.body.len()), (200, 1_024), "{}", door.name);
        let revisions = client.get(&branch).await.json()["revision"].clone();
        assert_eq!(revisions, REQUESTS, "{}: each write is one change", door.name);
    }
}
