//! The state file.

use super::*;
use crate::fingerprint::FileType;

fn mirrored(branch: &str) -> MirrorIdentity {
    MirrorIdentity {
        realm: String::new(),
        repo: "site".to_owned(),
        branch: branch.to_owned(),
        prefix: String::new(),
    }
}

fn path(text: &str) -> LocalPath {
    LocalPath::new(text.as_bytes()).expect("a path")
}

fn agreed(node: u8, stat: Option<FileStat>) -> AgreedFile {
    let fingerprint = Fingerprint { file_type: FileType::Plain, sha256: [7; 32], size_bytes: 1 };
    let node = KnownNode {
        id: NodeId([node; 16]),
        path: "a".to_owned(),
        version: 3,
        clock: [("me".to_owned(), 3)].into(),
        attributes: Attributes::new(),
    };
    AgreedFile { node, fingerprint, stat }
}

fn stat(changed_ns: i64) -> FileStat {
    let json = serde_json::json!({
        "form": "plain", "size_bytes": 1, "inode": 1, "modified_ns": 1, "changed_ns": changed_ns,
    });
    serde_json::from_value(json).expect("a stat")
}

#[test]
fn what_is_saved_is_there_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("state.json");
    let mut state = MirrorState::load(&file, mirrored("main")).expect("none yet");
    assert_eq!((state.len(), state.revision), (0, 0));
    (state.epoch, state.revision) = (5, 9);
    state.insert(path("a"), agreed(1, Some(stat(10))));
    let conflict =
        Conflict { node: agreed(2, None).node, fingerprint: agreed(2, None).fingerprint };
    state.conflicts.insert(path("b"), conflict.clone());
    let later = 10 + FileStat::TICK_NS + 1;
    state.save(&file, later).expect("saved");
    let again = MirrorState::load(&file, mirrored("main")).expect("loaded");
    assert_eq!((again.epoch, again.revision), (5, 9));
    assert_eq!(again.get(&path("a")), state.get(&path("a")));
    assert_eq!(again.path_of(NodeId([1; 16])), Some(&path("a")));
    assert_eq!(again.conflicts.get(&path("b")), Some(&conflict));

    // Changed within the same tick of the clock, it might look the same.
    state.save(&file, 10).expect("saved");
    let again = MirrorState::load(&file, mirrored("main")).expect("loaded");
    assert_eq!(again.get(&path("a")).and_then(|agreed| agreed.stat), None);
}

#[test]
fn another_branch_and_a_garbled_file_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("state.json");
    MirrorState::new(mirrored("main")).save(&file, 0).expect("saved");
    let refused = MirrorState::load(&file, mirrored("other")).expect_err("another branch");
    assert_eq!(refused.kind(), Some(ErrorKind::Conflict));
    assert!(refused.to_string().contains("site@main"), "{refused}");
    std::fs::write(&file, "{").expect("written");
    let refused = MirrorState::load(&file, mirrored("main")).expect_err("garbled");
    assert!(refused.to_string().contains("state.json"), "{refused}");
}

#[test]
fn a_node_is_at_one_path() {
    let mut state = MirrorState::new(mirrored("main"));
    state.insert(path("a"), agreed(1, None));
    state.insert(path("b"), agreed(1, None));
    assert_eq!((state.len(), state.get(&path("a"))), (1, None));
    state.insert(path("b"), agreed(2, None));
    assert_eq!(state.path_of(NodeId([1; 16])), None);
    state.retain(|_| false);
    assert_eq!((state.len(), state.path_of(NodeId([2; 16]))), (0, None));
}

#[test]
fn a_file_of_format_1_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("state.json");
    let node = |id: &str| {
        serde_json::json!({
            "id": id.repeat(16), "path": "a", "version": 3, "clock": {"me": 3},
            "shape": {"form": "executable", "sha256": "07".repeat(32), "size_bytes": 1},
        })
    };
    let (mut agreed, mut dispute) = (node("01"), node("02"));
    agreed["local"] = "a".into();
    agreed["look"] = serde_json::json!({
        "form": "plain", "size_bytes": 1, "inode": 1, "modified_ns": 1, "changed_ns": 1,
    });
    dispute["local"] = "b".into();
    let stored = serde_json::json!({
        "format": 1, "realm": "", "repo": "site", "branch": "main", "prefix": "",
        "epoch": 5, "revision": 9, "saved_at_ns": i64::MAX,
        "files": [agreed], "disputes": [dispute],
    });
    std::fs::write(&file, stored.to_string()).expect("written");
    let state = MirrorState::load(&file, mirrored("main")).expect("loaded");
    let agreed = state.get(&path("a")).expect("agreed on");
    assert_eq!(agreed.fingerprint.sha256, [7; 32]);
    assert!(agreed.stat.is_some());
    assert_eq!(state.conflicts[&path("b")].node.id, NodeId([2; 16]));

    state.save(&file, i64::MAX).expect("saved");
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("readable")).expect("JSON");
    assert_eq!(written, stored);
}
