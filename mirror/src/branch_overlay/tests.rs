//! Nodes that come, move and go.

use super::*;
use crate::fingerprint::{FileType, Fingerprint};
use crate::state::{AgreedFile, MirrorIdentity};

fn path(text: &str) -> LocalPath {
    LocalPath::new(text.as_bytes()).expect("a path")
}

fn id(number: u8) -> NodeId {
    NodeId([number; 16])
}

fn known(number: u8, path: &str, version: u64) -> KnownNode {
    KnownNode {
        id: id(number),
        path: path.to_owned(),
        version,
        clock: BTreeMap::new(),
        attributes: BTreeMap::new(),
    }
}

fn fingerprint() -> Fingerprint {
    Fingerprint { file_type: FileType::Plain, sha256: [0; 32], size_bytes: 1 }
}

fn file(number: u8, path: &str, version: u64) -> RemoteEntry {
    let node = known(number, path, version);
    RemoteEntry::File(Box::new(RemoteFile { node, fingerprint: fingerprint(), content: None }))
}

/// Nodes 1 and 2, agreed on at `a` and `b`.
fn state() -> MirrorState {
    let text = String::new;
    let mirrored = MirrorIdentity { realm: text(), repo: text(), branch: text(), prefix: text() };
    let mut state = MirrorState::new(mirrored);
    for (number, at) in [(1, "a"), (2, "b")] {
        let agreed =
            AgreedFile { node: known(number, at, 1), fingerprint: fingerprint(), stat: None };
        state.insert(path(at), agreed);
    }
    state
}

fn nodes(view: &BranchOverlay, state: &MirrorState) -> Vec<Option<NodeId>> {
    ["a", "b", "c"].map(|at| view.node(state, &path(at)).map(|node| node.id)).to_vec()
}

#[test]
fn a_node_that_moves_leaves_its_path() {
    let (state, mut view) = (state(), BranchOverlay::default());
    assert_eq!(nodes(&view, &state), [Some(id(1)), Some(id(2)), None]);
    assert_eq!(view.put(&state, &path("c"), file(1, "c", 2)), Some(path("a")));
    assert_eq!(nodes(&view, &state), [None, Some(id(2)), Some(id(1))]);
    assert_eq!(view.known_version(&state, id(1)), Some(2));
    assert_eq!(view.leave(&state, id(1), None), Some(path("c")));
    assert_eq!(nodes(&view, &state), [None, Some(id(2)), None]);
    assert_eq!(view.leave(&state, id(2), None), Some(path("b")));
    assert_eq!(view.paths(), [path("a"), path("b")].into(), "what was agreed on is gone");
}

#[test]
fn two_nodes_may_change_places() {
    let (state, mut view) = (state(), BranchOverlay::default());
    view.put(&state, &path("b"), file(1, "b", 2));
    assert_eq!(nodes(&view, &state), [None, Some(id(1)), None]);
    view.put(&state, &path("a"), file(2, "a", 2));
    assert_eq!(nodes(&view, &state), [Some(id(2)), Some(id(1)), None]);
}

#[test]
fn what_is_as_it_was_agreed_on_is_no_difference() {
    let (state, mut view) = (state(), BranchOverlay::default());
    view.put(&state, &path("a"), file(1, "a", 2));
    assert_eq!(view.paths().len(), 1);
    view.put(&state, &path("a"), file(1, "a", 1));
    assert!(view.paths().is_empty());
}

#[test]
fn a_document_is_no_file_and_goes_like_any_node() {
    let (state, mut view) = (state(), BranchOverlay::default());
    let document = RemoteEntry::Other { id: id(3), why: "a document".to_owned() };
    view.put(&state, &path("c"), document);
    assert_eq!((nodes(&view, &state)[2], view.known_version(&state, id(3))), (None, None));
    assert_eq!(view.leave(&state, id(3), None), Some(path("c")));
    assert!(view.paths().is_empty());
}
