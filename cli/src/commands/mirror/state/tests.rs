//! The state file.

use super::super::plan::Form;
use super::*;

fn mirrored(branch: &str) -> Mirrored {
    Mirrored {
        realm: String::new(),
        repo: "site".to_owned(),
        branch: branch.to_owned(),
        prefix: String::new(),
    }
}

fn path(text: &str) -> LocalPath {
    LocalPath::new(text.as_bytes()).expect("a path")
}

fn agreed(node: u8, look: Option<Look>) -> Agreed {
    let shape = Shape { form: Form::Plain, sha256: [7; 32], size_bytes: 1 };
    let node = Known {
        id: NodeId([node; 16]),
        path: "a".to_owned(),
        version: 3,
        clock: [("me".to_owned(), 3)].into(),
        attributes: Attributes::new(),
    };
    Agreed { node, shape, look }
}

fn look(changed_ns: i64) -> Look {
    let json = serde_json::json!({
        "form": "plain", "size_bytes": 1, "inode": 1, "modified_ns": 1, "changed_ns": changed_ns,
    });
    serde_json::from_value(json).expect("a look")
}

#[test]
fn what_is_saved_is_there_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("state.json");
    let mut state = State::load(&file, mirrored("main")).expect("none yet");
    assert_eq!((state.len(), state.revision), (0, 0));
    (state.epoch, state.revision) = (5, 9);
    state.insert(path("a"), agreed(1, Some(look(10))));
    let disputed = Disputed { node: agreed(2, None).node, shape: agreed(2, None).shape };
    state.disputes.insert(path("b"), disputed.clone());
    let later = 10 + Look::TICK_NS + 1;
    state.save(&file, later).expect("saved");
    let again = State::load(&file, mirrored("main")).expect("loaded");
    assert_eq!((again.epoch, again.revision), (5, 9));
    assert_eq!(again.get(&path("a")), state.get(&path("a")));
    assert_eq!(again.path_of(NodeId([1; 16])), Some(&path("a")));
    assert_eq!(again.disputes.get(&path("b")), Some(&disputed));

    // Changed within the same tick of the clock, it might look the same.
    state.save(&file, 10).expect("saved");
    let again = State::load(&file, mirrored("main")).expect("loaded");
    assert_eq!(again.get(&path("a")).and_then(|agreed| agreed.look), None);
}

#[test]
fn another_branch_and_a_garbled_file_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("state.json");
    State::new(mirrored("main")).save(&file, 0).expect("saved");
    let refused = State::load(&file, mirrored("other")).expect_err("another branch");
    assert_eq!(refused.exit, Exit::Conflict);
    assert!(refused.message.contains("site@main"), "{refused}");
    std::fs::write(&file, "{").expect("written");
    let refused = State::load(&file, mirrored("main")).expect_err("garbled");
    assert!(refused.message.contains("state.json"), "{refused}");
}

#[test]
fn a_node_is_at_one_path() {
    let mut state = State::new(mirrored("main"));
    state.insert(path("a"), agreed(1, None));
    state.insert(path("b"), agreed(1, None));
    assert_eq!((state.len(), state.get(&path("a"))), (1, None));
    state.insert(path("b"), agreed(2, None));
    assert_eq!(state.path_of(NodeId([1; 16])), None);
    state.retain(|_| false);
    assert_eq!((state.len(), state.path_of(NodeId([2; 16]))), (0, None));
}
