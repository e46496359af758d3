//! The decisions, one by one.

use super::*;

const NODE: NodeId = NodeId([1; 16]);
const OTHER: NodeId = NodeId([2; 16]);

fn shape(content: u8) -> Shape {
    Shape { form: Form::Plain, sha256: [content; 32], size_bytes: u64::from(content) }
}

fn path(text: &str) -> LocalPath {
    LocalPath::new(text.as_bytes()).expect("a path")
}

/// The contents of base, disk and branch; 0: nothing. All of one node.
fn sides(base: u8, disk: u8, branch: u8) -> Sides {
    let version = |content| Version { node: NODE, shape: shape(content) };
    Sides {
        base: (base > 0).then(|| version(base)),
        disk: (disk > 0).then(|| shape(disk)),
        branch: (branch > 0).then(|| version(branch)),
        ..Sides::default()
    }
}

#[test]
fn every_combination_has_its_step() {
    let bring = |undoes_deletion| Step::Bring { undoes_deletion };
    let create = |undoes_deletion| Step::Create { undoes_deletion };
    for ((base, disk, branch), expected) in [
        ((0, 0, 0), Step::Agree),
        ((0, 1, 1), Step::Agree),
        ((1, 1, 1), Step::Agree),
        ((1, 2, 2), Step::Agree),
        ((1, 0, 0), Step::Agree),
        ((0, 1, 0), create(false)),
        ((0, 0, 1), bring(false)),
        ((0, 1, 2), Step::Disagree),
        ((1, 2, 1), Step::Change),
        ((1, 1, 2), bring(false)),
        ((1, 2, 3), Step::Change),
        ((1, 0, 1), Step::Delete),
        ((1, 1, 0), Step::Remove),
        ((1, 0, 2), bring(true)),
        ((1, 2, 0), create(true)),
    ] {
        assert_eq!(step(&sides(base, disk, branch)), expected, "{base} {disk} {branch}");
    }
}

#[test]
fn what_waits_for_a_person_waits_until_both_sides_are_the_same() {
    let held = |sides| Sides { is_held: true, ..sides };
    assert_eq!(step(&held(sides(1, 2, 3))), Step::Hold);
    assert_eq!(step(&held(sides(1, 2, 0))), Step::Hold);
    assert_eq!(step(&held(sides(1, 0, 3))), Step::Hold);
    assert_eq!(step(&held(sides(1, 3, 3))), Step::Agree);
}

#[test]
fn a_refused_merge_and_another_node_are_conflicts() {
    let refused = Sides { is_refused: true, ..sides(1, 2, 3) };
    assert_eq!(step(&refused), Step::Disagree);
    let replaced = |base, disk, branch| Sides {
        base: Some(Version { node: OTHER, shape: shape(base) }),
        ..sides(0, disk, branch)
    };
    assert_eq!(step(&replaced(1, 2, 3)), Step::Disagree);
    assert_eq!(step(&replaced(1, 1, 3)), Step::Bring { undoes_deletion: false });
    assert_eq!(step(&replaced(1, 2, 1)), Step::Change);
    let recreated = Sides { disk: None, ..replaced(1, 0, 1) };
    assert_eq!(step(&recreated), Step::Bring { undoes_deletion: true });
}

#[test]
fn an_executable_bit_is_a_change() {
    let executable = Shape { form: Form::Executable, ..shape(1) };
    assert_eq!(step(&Sides { disk: Some(executable), ..sides(1, 1, 1) }), Step::Change);
}

fn planned(files: &[(&str, Sides)]) -> Vec<(String, Step)> {
    let files = files.iter().map(|(name, sides)| (path(name), *sides)).collect();
    plan(&files).into_iter().map(|(path, step)| (path.shown(), step)).collect()
}

#[test]
fn a_file_that_moved_keeps_its_node() {
    let moved = planned(&[("a", sides(1, 0, 1)), ("b", sides(0, 1, 0))]);
    assert_eq!(moved, [("b".to_owned(), Step::Rename { from: path("a") })]);
    // Also where the branch has changed it meanwhile.
    let moved = planned(&[("a", sides(1, 0, 2)), ("b", sides(0, 1, 0))]);
    assert_eq!(moved, [("b".to_owned(), Step::Rename { from: path("a") })]);
}

#[test]
fn of_several_with_the_same_content_those_of_the_same_name_belong_together() {
    let node = |number| {
        let mut gone = sides(1, 0, 1);
        let version = gone.base.map(|base| Version { node: NodeId([number; 16]), ..base });
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
        ("two/b".to_owned(), Step::Rename { from: path("one/b") }),
        ("two/c".to_owned(), Step::Rename { from: path("one/a") }),
    ];
    assert_eq!(moved, expected);
}

#[test]
fn nothing_is_taken_for_a_move_that_may_be_none() {
    let empty = |sides: Sides| {
        let empty = |version: Version| Version {
            shape: Shape { size_bytes: 0, ..version.shape },
            ..version
        };
        Sides {
            base: sides.base.map(empty),
            disk: sides.disk.map(|shape| Shape { size_bytes: 0, ..shape }),
            branch: sides.branch.map(empty),
            ..sides
        }
    };
    let steps = planned(&[("a", empty(sides(1, 0, 1))), ("b", empty(sides(0, 1, 0)))]);
    assert_eq!(steps[0].1, Step::Delete, "an empty file is like any other");
    let steps = planned(&[("a", sides(1, 0, 0)), ("b", sides(0, 1, 0))]);
    assert_eq!(steps[1].1, Step::Create { undoes_deletion: false }, "the node is gone");
    let steps = planned(&[("a", sides(1, 0, 1)), ("b", sides(0, 1, 2))]);
    assert_eq!(steps[1].1, Step::Disagree, "the branch has another file there");
}
