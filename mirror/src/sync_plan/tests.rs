//! The decisions, one by one.

use super::*;
use crate::fingerprint::FileType;

const NODE: NodeId = NodeId([1; 16]);
const OTHER: NodeId = NodeId([2; 16]);

fn fingerprint(content: u8) -> Fingerprint {
    Fingerprint {
        file_type: FileType::Plain,
        sha256: [content; 32],
        size_bytes: u64::from(content),
    }
}

fn path(text: &str) -> LocalPath {
    LocalPath::new(text.as_bytes()).expect("a path")
}

/// The contents of base, disk and branch; 0: nothing. All of one node.
fn sides(base: u8, disk: u8, branch: u8) -> PathState {
    let version = |content| NodeVersion { node: NODE, fingerprint: fingerprint(content) };
    PathState {
        base: (base > 0).then(|| version(base)),
        local: (disk > 0).then(|| fingerprint(disk)),
        branch: (branch > 0).then(|| version(branch)),
        ..PathState::default()
    }
}

#[test]
fn every_combination_has_its_step() {
    let bring = |undoes_deletion| SyncStep::WriteLocal { undoes_deletion };
    let create = |undoes_deletion| SyncStep::CreateNode { undoes_deletion };
    for ((base, disk, branch), expected) in [
        ((0, 0, 0), SyncStep::Record),
        ((0, 1, 1), SyncStep::Record),
        ((1, 1, 1), SyncStep::Record),
        ((1, 2, 2), SyncStep::Record),
        ((1, 0, 0), SyncStep::Record),
        ((0, 1, 0), create(false)),
        ((0, 0, 1), bring(false)),
        ((0, 1, 2), SyncStep::Conflict),
        ((1, 2, 1), SyncStep::UpdateNode),
        ((1, 1, 2), bring(false)),
        ((1, 2, 3), SyncStep::UpdateNode),
        ((1, 0, 1), SyncStep::DeleteNode),
        ((1, 1, 0), SyncStep::RemoveLocal),
        ((1, 0, 2), bring(true)),
        ((1, 2, 0), create(true)),
    ] {
        assert_eq!(step(&sides(base, disk, branch)), expected, "{base} {disk} {branch}");
    }
}

#[test]
fn what_waits_for_a_person_waits_until_both_sides_are_the_same() {
    let held = |sides| PathState { is_held: true, ..sides };
    assert_eq!(step(&held(sides(1, 2, 3))), SyncStep::Wait);
    assert_eq!(step(&held(sides(1, 2, 0))), SyncStep::Wait);
    assert_eq!(step(&held(sides(1, 0, 3))), SyncStep::Wait);
    assert_eq!(step(&held(sides(1, 3, 3))), SyncStep::Record);
}

#[test]
fn a_refused_merge_and_another_node_are_conflicts() {
    let refused = PathState { is_refused: true, ..sides(1, 2, 3) };
    assert_eq!(step(&refused), SyncStep::Conflict);
    let replaced = |base, disk, branch| PathState {
        base: Some(NodeVersion { node: OTHER, fingerprint: fingerprint(base) }),
        ..sides(0, disk, branch)
    };
    assert_eq!(step(&replaced(1, 2, 3)), SyncStep::Conflict);
    assert_eq!(step(&replaced(1, 1, 3)), SyncStep::WriteLocal { undoes_deletion: false });
    assert_eq!(step(&replaced(1, 2, 1)), SyncStep::UpdateNode);
    let recreated = PathState { local: None, ..replaced(1, 0, 1) };
    assert_eq!(step(&recreated), SyncStep::WriteLocal { undoes_deletion: true });
}

#[test]
fn an_executable_bit_is_a_change() {
    let executable = Fingerprint { file_type: FileType::Executable, ..fingerprint(1) };
    assert_eq!(
        step(&PathState { local: Some(executable), ..sides(1, 1, 1) }),
        SyncStep::UpdateNode
    );
}

fn planned(files: &[(&str, PathState)]) -> Vec<(String, SyncStep)> {
    let files = files.iter().map(|(name, sides)| (path(name), *sides)).collect();
    plan(&files).into_iter().map(|(path, step)| (path.shown(), step)).collect()
}

#[test]
fn a_file_that_moved_keeps_its_node() {
    let moved = planned(&[("a", sides(1, 0, 1)), ("b", sides(0, 1, 0))]);
    assert_eq!(moved, [("b".to_owned(), SyncStep::RenameNode { from: path("a") })]);
    // Also where the branch has changed it meanwhile.
    let moved = planned(&[("a", sides(1, 0, 2)), ("b", sides(0, 1, 0))]);
    assert_eq!(moved, [("b".to_owned(), SyncStep::RenameNode { from: path("a") })]);
}

#[test]
fn of_several_with_the_same_content_those_of_the_same_name_belong_together() {
    let node = |number| {
        let mut gone = sides(1, 0, 1);
        let version = gone.base.map(|base| NodeVersion { node: NodeId([number; 16]), ..base });
        (gone.base, gone.branch) = (version, version);
        gone
    };
    let moved = planned(&[
        ("one/a", node(1)),
        ("one/b", node(2)),
        ("two/b", sides(0, 1, 0)),
        ("two/c", sides(0, 1, 0)),
    ]);
    let expected = [
        ("two/b".to_owned(), SyncStep::RenameNode { from: path("one/b") }),
        ("two/c".to_owned(), SyncStep::RenameNode { from: path("one/a") }),
    ];
    assert_eq!(moved, expected);
}

#[test]
fn nothing_is_taken_for_a_move_that_may_be_none() {
    let empty = |sides: PathState| {
        let empty = |version: NodeVersion| NodeVersion {
            fingerprint: Fingerprint { size_bytes: 0, ..version.fingerprint },
            ..version
        };
        PathState {
            base: sides.base.map(empty),
            local: sides.local.map(|fingerprint| Fingerprint { size_bytes: 0, ..fingerprint }),
            branch: sides.branch.map(empty),
            ..sides
        }
    };
    let steps = planned(&[("a", empty(sides(1, 0, 1))), ("b", empty(sides(0, 1, 0)))]);
    assert_eq!(steps[0].1, SyncStep::DeleteNode, "an empty file is like any other");
    let steps = planned(&[("a", sides(1, 0, 0)), ("b", sides(0, 1, 0))]);
    assert_eq!(steps[1].1, SyncStep::CreateNode { undoes_deletion: false }, "the node is gone");
    let steps = planned(&[("a", sides(1, 0, 1)), ("b", sides(0, 1, 2))]);
    assert_eq!(steps[1].1, SyncStep::Conflict, "the branch has another file there");
}
