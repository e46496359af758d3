//! A sync that fails: the store stops for good, and opens again with all it acknowledged.
//!
//! The process is a real one; what it is linked with fails one `fsync` or `fdatasync`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tonic::Code;
use vdom_store::{Store, StoreErrorKind};
use vdom_testkit::client::{Client, operation_id};
use vdom_testkit::http::{HttpClient, Place};
use vdom_testkit::process::ServerProcess;
use vdom_testkit::{eventually, skipped};

use super::workload::{self, Acknowledged, Contents, Fault, Random};

const CHILD_DIRECTORY: &str = "VDOM_TEST_STORE_DIRECTORY";
const FAILS_AT: &str = "VDOM_TEST_SYNC_FAILS_AT";
const FAILS_WHEN: &str = "VDOM_TEST_SYNC_FAILS_WHEN";
const FAILED: &str = "VDOM_TEST_SYNC_FAILED";
const MEMTABLE_BYTES: u64 = 24 << 10;

/// How often the child goes on; each time is some syncs.
const STEPS: usize = 100;

/// Making a store takes fewer syncs than this. The engine takes no notice of some of
/// them, where there is nothing to lose yet.
const EARLY_SYNCS: u64 = 100;

/// The library to preload, in a folder of its own, or why there is none.
fn library() -> Result<(TempDir, PathBuf), String> {
    let folder = workload::scratch();
    let library = folder.path().join("fails.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("storage/failed_sync/fails.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .args([&library, &source])
        .output()
        .map_err(|error| format!("cc: {error}"))?;
    if !compiled.status.success() {
        return Err(format!("cc: {}", String::from_utf8_lossy(&compiled.stderr)));
    }
    Ok((folder, library))
}

#[test]
fn whichever_sync_fails_nothing_acknowledged_is_lost() {
    let (_folder, library) = match library() {
        Ok(library) => library,
        Err(reason) => {
            return skipped("whichever_sync_fails_nothing_acknowledged_is_lost", &reason);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let contents = Contents::new();
    let mut random = Random(1);
    let early = (1..EARLY_SYNCS).step_by(4);
    let later: Vec<_> = (0..30).map(|_| EARLY_SYNCS + random.below(600)).collect();
    let mut stopped = 0;
    for number in early.chain(later) {
        let folder = workload::scratch();
        let (store, failed) = (folder.path().join("store"), folder.path().join("failed"));
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("storage::failed_sync::writes_until_a_sync_fails")
            .env("LD_PRELOAD", &library)
            .env(CHILD_DIRECTORY, &store)
            .env(FAILS_AT, number.to_string())
            .env(FAILED, &failed)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "sync {number}: {said}");
        let mut acknowledged = Acknowledged::default();
        let mut has_stopped = false;
        for report in said.lines().filter_map(|line| line.split_once("reports: ")) {
            acknowledged.note(report.1);
            has_stopped |= report.1 == "stopped";
        }
        let must_stop = number >= EARLY_SYNCS && failed.exists();
        assert!(has_stopped || !must_stop, "sync {number} failed and nothing was said");
        stopped += u32::from(has_stopped);
        let outcome = runtime.block_on(async {
            let store = workload::open(&store, MEMTABLE_BYTES)?;
            let found = contents.check(&store, &acknowledged).await?;
            contents.go_on(&store, &found).await?;
            Ok::<_, Fault>(store.close().await?)
        });
        outcome.unwrap_or_else(|fault| panic!("after sync {number} failed: {fault:?}"));
    }
    assert!(stopped > 40, "only {stopped} syncs failed");
}

#[tokio::test]
#[ignore = "a process of its own, started by another test"]
async fn writes_until_a_sync_fails() {
    let path = PathBuf::from(std::env::var(CHILD_DIRECTORY).unwrap());
    let store = match workload::open(&path, MEMTABLE_BYTES) {
        Ok(store) => store,
        Err(error) => {
            assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
            assert!(error.message.contains(&path.display().to_string()), "{error}");
            return println!("reports: stopped");
        }
    };
    let contents = Contents::new();
    let mut done = Acknowledged::default();
    for _ in 0..STEPS {
        match contents.go_on(&store, &done).await {
            Ok(acknowledged) => done = acknowledged,
            Err(Fault::Refused(_)) => break,
            Err(Fault::Wrong(what)) => panic!("{what}"),
        }
        for (log, number) in done.batches.iter().enumerate() {
            println!("reports: append {log} {number}");
        }
        println!("reports: chunk {}", done.chunks.last().unwrap());
    }
    let Err(error) = store.ready().await else { return store.close().await.unwrap() };
    // All syncs succeed again; the store does not try.
    for _ in 0..2 {
        let Err(Fault::Refused(refusal)) = contents.go_on(&store, &done).await else {
            panic!("a store that has stopped took a write");
        };
        assert_eq!(refusal.kind, StoreErrorKind::Stopped, "{refusal}");
        assert_eq!(refusal.message, error.message);
        assert!(refusal.message.contains("has stopped because a write failed"), "{refusal}");
        assert!(refusal.message.contains("restart"), "{refusal}");
    }
    println!("reports: stopped");
    store.close().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_disk_fails_says_so_until_it_is_started_again() {
    let (folder, library) = match library() {
        Ok(library) => library,
        Err(reason) => {
            let test = "a_server_whose_disk_fails_says_so_until_it_is_started_again";
            return skipped(test, &reason);
        }
    };
    let (data, when) = (folder.path().join("data"), folder.path().join("when"));
    let mut command = ServerProcess::up_command(&data, &["--dev", "--log", "off"]);
    command.env("LD_PRELOAD", &library).env(FAILS_WHEN, &when);
    let server = ServerProcess::start_command(command).await;
    let mut client = connect(&server).await;
    for number in 1..=3_u8 {
        let request = client.put_request(&format!("n{number}"), &[number]);
        assert!(client.write(request).await.expect("written").success);
    }

    std::fs::write(&when, "").unwrap();
    let mut fourth = client.put_request("n4", &[4]);
    fourth.operation_id = operation_id(4);
    let refusal = client.write(fourth.clone()).await.expect_err("not durable");
    assert!(!when.exists(), "a sync has failed");
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal}");
    // The disk is well again, as far as anybody can tell.
    for path in ["n4", "n5"] {
        let refusal = client.write(client.put_request(path, b"x")).await.expect_err("stopped");
        assert_eq!(refusal.code(), Code::Unavailable, "{refusal}");
        assert!(refusal.message().contains("the store has stopped"), "{refusal}");
    }
    assert!(client.read("n4").await.is_err(), "what is not durable is not served");
    if let Ok(served) = client.read("n1").await {
        assert_eq!(served.content, [1].as_slice());
    }
    let admin = server.text("gateway.admin").parse().expect("an address");
    let admin = HttpClient::new(Place::Tcp(admin), None);
    eventually("readiness says why", async || {
        let ready = admin.get("/health/ready").await;
        let said = ready.json().to_string();
        ready.status == 503 && said.contains("has stopped because a write failed")
    })
    .await;
    server.kill().await;

    let server = ServerProcess::up(&data, &["--dev", "--log", "off"]).await;
    let mut client = connect(&server).await;
    let answer = client.write(fourth).await.expect("written now, or before");
    assert_eq!((answer.success, answer.revision), (true, 4));
    for number in 1..=4_u8 {
        let read = client.read(&format!("n{number}")).await.expect("readable");
        assert_eq!((read.content.as_ref(), read.version), ([number].as_slice(), 1));
    }
    let fifth = client.write(client.put_request("n5", &[5])).await.expect("written");
    assert_eq!(fifth.revision, 5);
}

async fn connect(server: &ServerProcess) -> Client {
    Client::connect(&format!("http://{}", server.text("gateway.grpc")), None).await
}
