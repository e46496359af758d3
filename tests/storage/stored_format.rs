//! A store that an earlier release wrote opens, and has what stood in it.
//!
//! `stored_format/format-1.tar.gz` is such a store and `format-1.json` what it holds.
//! They are never written again for the same format: what this release writes is for the
//! next one. `make format-fixture` writes the pair of a new format.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use vdom_core::Hash;
use vdom_core::dom::change::sha256;
use vdom_proto::v1;
use vdom_testkit::client::{Client, operation_id};
use vdom_testkit::gateway::{TestGateway, on_embedded};
use vdom_testkit::process::command;
use vdom_testkit::workspace_root;

const FORMAT: u32 = 3;
const BRANCHES: [&str; 2] = ["main", "next"];
/// The oldest revision of `main` that its compaction left.
const OLDEST: u64 = 10;

fn folder() -> PathBuf {
    workspace_root().join("tests/storage/stored_format")
}

fn unpack(format: u32, to: &Path) {
    let archive = folder().join(format!("format-{format}.tar.gz"));
    let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(to).status();
    assert!(status.expect("tar runs").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_an_earlier_release_opens_with_all_that_it_held() {
    for format in 1..=FORMAT {
        let place = tempfile::tempdir().expect("a folder");
        unpack(format, place.path());
        let store = place.path().join("store");
        let expected = std::fs::read(folder().join(format!("format-{format}.json")));
        let expected: Value = serde_json::from_slice(&expected.expect("readable")).expect("JSON");
        run(&store, &["verify"]).await;
        assert_eq!(content(&store).await, expected, "format {format}");
        run(&store, &["rebuild"]).await;
        assert_eq!(content(&store).await, expected, "format {format}, rebuilt");
        // It is a store as any other.
        let gateway = TestGateway::with(on_embedded(store.clone())).await;
        let mut client = gateway.client().await;
        let written = client.overwrite("later", b"written by this release").await;
        assert!(written.expect("written").success);
        client.upload("later/large", &vec![7; 2_000_000]).await;
        gateway.gateway.drain().await.expect("drained");
        run(&store, &["verify"]).await;
        let gateway = TestGateway::with(on_embedded(store.clone())).await;
        let tree = tree(&mut gateway.client().await, 0).await;
        for path in ["later", "later/large"] {
            assert!(!tree[path].is_null(), "format {format} lost {path}");
        }
        gateway.gateway.drain().await.expect("drained");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the pair of a new format: `make format-fixture`"]
async fn write_the_store_of_a_format() {
    let place = tempfile::tempdir().expect("a folder");
    let store = place.path().join("store");
    let gateway = TestGateway::with(on_embedded(store.clone())).await;
    write_before_compaction(gateway.client().await).await;
    gateway.gateway.drain().await.expect("drained");
    run(&store, &["compact", "--keep-changes", "4"]).await;
    let gateway = TestGateway::with(on_embedded(store.clone())).await;
    write_after_compaction(gateway.client().await).await;
    gateway.gateway.drain().await.expect("drained");
    let held = serde_json::to_vec_pretty(&content(&store).await).expect("JSON");
    std::fs::write(folder().join(format!("format-{FORMAT}.json")), held).expect("written");
    let archive = folder().join(format!("format-{FORMAT}.tar.gz"));
    let tar = Command::new("tar")
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-czf"])
        .arg(archive)
        .arg("-C")
        .arg(place.path())
        .arg("store")
        .status();
    assert!(tar.expect("tar runs").success());
}

async fn write_before_compaction(mut client: Client) {
    let first = client.overwrite("a", b"one").await.expect("written");
    for number in 2..=8_u64 {
        let mut request = client.put_request("a", format!("{number}").as_bytes());
        request.on_conflict = v1::OnConflict::Overwrite.into();
        request.operation_id = operation_id(number);
        client.write(request).await.expect("written");
    }
    let large: Vec<u8> = (0..2_500_000_u32).map(|at| (at / 50_000) as u8).collect();
    client.overwrite("lib/small", b"small").await.expect("written");
    client.upload("lib/large", &large).await;
    let mut stale = client.put_request("a", b"stale");
    stale.node_id = first.node_id.clone();
    stale.vector_clock = first.vector_clock.clone();
    stale.keep_conflict = true;
    assert!(!client.write(stale).await.expect("judged").success);
    let request = v1::CreateBranchRequest {
        repo: "repo".into(),
        branch: "next".into(),
        from_branch: "main".into(),
        ..Default::default()
    };
    client.raw.create_branch(request).await.expect("created");
    let members = ["set/a", "set/b", "set/c"].map(|path| client.put_request(path, path.as_bytes()));
    assert!(client.write_set(members.into()).await.expect("written").success);
    let mut gone = client.put_request("lib/small", b"");
    gone.diff_bson = vdom_core::Diff::delete();
    gone.on_conflict = v1::OnConflict::Overwrite.into();
    client.write(gone).await.expect("deleted");
    let mut next = client.clone();
    "next".clone_into(&mut next.branch);
    next.overwrite("lib/small", b"of next").await.expect("written");
}

async fn write_after_compaction(mut client: Client) {
    let mut renamed = client.put_request("a", b"");
    let to = vdom_core::NodePath::parse("renamed").expect("a path");
    renamed.diff_bson = vdom_core::Diff::rename(&to, None);
    renamed.on_conflict = v1::OnConflict::Overwrite.into();
    client.write(renamed).await.expect("renamed");
    client.overwrite("set/a", b"after").await.expect("written");
}

/// What a store holds: every node of every branch, now and at the oldest revision, the
/// open conflicts, and the head in the chain.
async fn content(store: &Path) -> Value {
    let gateway = TestGateway::with(on_embedded(store.to_path_buf())).await;
    let mut client = gateway.client().await;
    let mut branches = BTreeMap::new();
    for branch in BRANCHES {
        branch.clone_into(&mut client.branch);
        let latest = tree(&mut client, 0).await;
        let oldest = tree(&mut client, OLDEST).await;
        let request = v1::ListConflictsRequest {
            repo: "repo".into(),
            branch: branch.into(),
            ..Default::default()
        };
        let conflicts = client.raw.list_conflicts(request).await.expect("a page").into_inner();
        branches.insert(
            branch,
            json!({
                "latest": latest,
                "oldest": oldest,
                "conflicts": conflicts.conflicts.len(),
            }),
        );
    }
    let request = v1::ListBranchesRequest { repo: "repo".into(), ..Default::default() };
    let heads = client.raw.list_branches(request).await.expect("a list").into_inner();
    for branch in heads.branches {
        let head = json!({ "revision": branch.revision, "hash": Hash::from_slice(&branch.head_hash).expect("32 bytes").to_string() });
        branches.get_mut(branch.name.as_str()).expect("known")["head"] = head;
    }
    gateway.gateway.drain().await.expect("drained");
    json!(branches)
}

async fn tree(client: &mut Client, revision: u64) -> Value {
    let request = v1::ReadTreeRequest {
        repo: client.repo.clone(),
        branch: client.branch.clone(),
        revision,
        ..Default::default()
    };
    let mut entries = client.raw.read_tree(request).await.expect("a tree").into_inner();
    let mut nodes = BTreeMap::new();
    while let Some(entry) = entries.message().await.expect("an entry") {
        let content = client.download(&entry.path, revision).await;
        let hash = sha256(&content).to_string();
        nodes.insert(entry.path, json!({ "version": entry.version, "sha256": hash }));
    }
    json!(nodes)
}

async fn run(store: &Path, arguments: &[&str]) {
    let mut command = command(arguments);
    let output = command.arg("--store-path").arg(store).output().await.expect("it runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
}
