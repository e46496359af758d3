//! Clients in other languages, which know nothing but the published contract.

mod browser_libraries;
mod curl;
mod dropped_streams;
mod fixture;
mod h2load;
mod httpx;
mod reflection;

use std::path::Path;
use std::process::Output;

use vdom_testkit::client::Client;
use vdom_testkit::clients::{Python, python};
use vdom_testkit::gateway::TestGateway;
use vdom_testkit::keys::Keys;
use vdom_testkit::sidecar::TestSidecar;
use vdom_testkit::skipped;

async fn run(python: &Python, arguments: &[&str]) -> Output {
    python.script("client.py").args(arguments).output().await.expect("python runs")
}

fn refused(output: &Output, words: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for word in words {
        assert!(errors.contains(word), "{word:?} is not in: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_writes_and_is_told_what_it_may_not() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => {
            return skipped("python_writes_and_is_told_what_it_may_not", &reason);
        }
    };
    let keys = Keys::generate();
    let gateway = TestGateway::with_tokens(&keys).await;
    let target = gateway.addresses.grpc.to_string();
    let (writer, reader) = (keys.token("anna", "dom.write"), keys.token("bob", "dom.read"));
    let write = ["write", "--target", &target, "--repo", "repo", "a/b", "grüße"];
    let written = run(&python, &[&write[..], &["--token", &writer]].concat()).await;
    assert!(written.status.success(), "{written:?}");
    let answer: serde_json::Value = serde_json::from_slice(&written.stdout).expect("JSON");
    assert_eq!((&answer["revision"], &answer["version"]), (&1.into(), &1.into()));

    let denied = run(&python, &[&write[..], &["--token", &reader]].concat()).await;
    refused(&denied, &["PERMISSION_DENIED", "dom.write"]);
    refused(&run(&python, &write).await, &["UNAUTHENTICATED", "no token"]);
    let mut client = Client::connect(&gateway.grpc_url(), Some(&reader)).await;
    assert_eq!(client.read("a/b").await.expect("read").content, "grüße".as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_back_what_is_there_and_finds_what_differs() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => {
            return skipped("python_reads_back_what_is_there_and_finds_what_differs", &reason);
        }
    };
    let gateway = TestGateway::start().await;
    let sidecar = TestSidecar::start(&gateway.grpc_url()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut client = gateway.client().await;
    let large = vec![0xff; 2_000_000];
    for (path, content) in [("a", &b"1"[..]), ("b/c", b""), ("b/\u{e9}", &large)] {
        client.overwrite(path, content).await.expect("written");
        let file = folder.path().join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("created");
        std::fs::write(file, content).expect("written");
    }
    let verify = async |folder: &Path| {
        let socket = sidecar.socket();
        let folder = folder.to_str().expect("UTF-8");
        let socket = socket.to_str().expect("UTF-8");
        run(&python, &["verify", "--unix", socket, "--repo", "repo", "--dir", folder]).await
    };
    let verified = verify(folder.path()).await;
    assert!(verified.status.success(), "{verified:?}");
    assert_eq!(verified.stdout, b"{\"files\": 3, \"bytes\": 2000001}\n");

    std::fs::write(folder.path().join("a"), "2").expect("written");
    refused(&verify(folder.path()).await, &["a: ", "other bytes"]);
    std::fs::write(folder.path().join("d"), "").expect("written");
    refused(&verify(folder.path()).await, &["1 files are not in the tree, such as d"]);
}
