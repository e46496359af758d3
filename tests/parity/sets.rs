//! What is asked at every door about change sets, conflicts and branches.

use bytes::Bytes;

use super::answer::{Answer, Ask, At, Change, Resolve, Seen, Set, Write};
use super::script::{Row, file, invalid, node, read, refused, write, written};

/// Needs several pieces.
const LARGE_BYTES: usize = 1_500_000;
const LINES: &str = "one\ntwo\nthree\nfour\n";
const FIRST_LINE_CHANGED: &str = "ONE\ntwo\nthree\nfour\n";
const LAST_LINE_CHANGED: &str = "one\ntwo\nthree\nFOUR\n";
const BOTH_CHANGED: &str = "ONE\ntwo\nthree\nFOUR\n";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = written_as_one();
    rows.extend(undone());
    rows.extend(merged_and_resolved());
    rows.extend(branched());
    rows
}

fn row(what: &'static str, ask: Ask, answer: Answer) -> Row {
    Row { what, ask, answer, everywhere: true }
}

/// Up to revision 8.
fn written_as_one() -> Vec<Row> {
    let put = |path, content, seen| change(path, file(content), seen);
    let nothing = Seen::Nothing;
    vec![
        row(
            "a set",
            set(vec![put("a", "one", nothing), put("b", "two", nothing)]),
            all((1, 2), &[(0, 1, 1), (1, 1, 2)]),
        ),
        row("what it wrote", read("a", At::Latest), node(0, "a", (1, 2, 1), "one")),
        row(
            "a set with a conflict",
            set(vec![put("c", "x", nothing), put("a", "x", nothing)]),
            Answer::SetConflicts(vec![None, Some("path_exists".to_owned())]),
        ),
        row("what it did not write", read("c", At::Latest), refused("NotFound")),
        row(
            "a node named twice",
            set(vec![put("a", "x", Seen::Version(1)), put("a", "y", Seen::Version(1))]),
            invalid(),
        ),
        row(
            "a path taken twice",
            set(vec![put("d", "x", nothing), put("d", "y", nothing)]),
            invalid(),
        ),
        row(
            "a swap",
            set(vec![
                change("a", Change::Rename("b"), Seen::Version(1)),
                change("b", Change::Rename("a"), Seen::Version(1)),
            ]),
            all((3, 4), &[(0, 2, 3), (1, 2, 4)]),
        ),
        row("what was swapped", read("b", At::Latest), node(0, "b", (2, 4, 3), "one")),
        row("as it was before", read("b", At::Revision(2)), node(1, "b", (1, 2, 2), "two")),
        row(
            "a set of one, where it must be",
            Ask::Set(Set { expected: Some(4), ..of(vec![put("c", "three", nothing)]) }),
            all((5, 5), &[(2, 1, 5)]),
        ),
        row(
            "a set, where it is not",
            Ask::Set(Set { expected: Some(4), ..of(vec![put("d", "x", nothing)]) }),
            Answer::Conflict,
        ),
        row("an operation", operation("d", "once"), all((6, 7), &[(3, 1, 6), (4, 1, 7)])),
        row("the operation again", operation("d", "once"), all((6, 7), &[(3, 1, 6), (4, 1, 7)])),
        row("its id for another", operation("d", "more"), Answer::Conflict),
        row(
            "contents in pieces",
            set(vec![
                change("c", Change::Streamed(Bytes::from_static(b"pieces")), Seen::Version(1)),
                put("f", "small", nothing),
            ]),
            all((8, 9), &[(2, 2, 8), (5, 1, 9)]),
        ),
        Row {
            everywhere: false,
            ..row(
                "many nodes",
                Ask::ReadMany { paths: &["f", "a"] },
                Answer::Nodes(
                    [node(5, "f", (1, 9, 9), "small"), node(1, "a", (2, 9, 4), "two")]
                        .into_iter()
                        .map(|answer| match answer {
                            Answer::Node(node) => node,
                            other => panic!("no node: {other:?}"),
                        })
                        .collect(),
                ),
            )
        },
    ]
}

/// Up to revision 13.
fn undone() -> Vec<Row> {
    vec![
        row(
            "a revert",
            Ask::Revert { first: 8, last: 9 },
            all((10, 11), &[(2, 3, 10), (5, 2, 11)]),
        ),
        row("what came back", read("c", At::Latest), node(2, "c", (3, 11, 10), "three")),
        row("what is gone", read("f", At::Latest), refused("NotFound")),
        row("no range", Ask::Revert { first: 2, last: 1 }, invalid()),
        row(
            "what changed since",
            Ask::Revert { first: 1, last: 1 },
            Answer::SetConflicts(vec![Some("stale_clock".to_owned())]),
        ),
    ]
}

fn merged_and_resolved() -> Vec<Row> {
    let large = Change::Streamed(Bytes::from(vec![b'x'; LARGE_BYTES]));
    let large = Write { keep: true, ..change("m", large, Seen::Version(1)) };
    let kept = |content| {
        let write = Write { keep: true, ..change("m", file(content), Seen::Version(1)) };
        Ask::Write(write)
    };
    vec![
        row("lines", write("m", file(LINES), Seen::Nothing), written(6, 1, 12)),
        row(
            "one of them",
            write("m", file(FIRST_LINE_CHANGED), Seen::Version(1)),
            written(6, 2, 13),
        ),
        row(
            "another, merged",
            write("m", file(LAST_LINE_CHANGED), Seen::Merging(1)),
            written(6, 3, 14),
        ),
        row("both", read("m", At::Latest), node(6, "m", (3, 14, 14), BOTH_CHANGED)),
        row("the same line", write("m", file("uno\n"), Seen::Merging(1)), Answer::Conflict),
        row("no conflict was kept", Ask::Conflicts, Answer::Conflicts(Vec::new())),
        row("a conflict to keep", kept("mine"), Answer::Conflict),
        row("that conflict", Ask::Conflicts, conflict("m", "stale_clock")),
        row(
            "what it is about",
            Ask::Explain,
            Answer::Explanation {
                path: "m".to_owned(),
                unseen: vec![14, 13],
                merge: "conflicting".to_owned(),
                hunks: 1,
            },
        ),
        row("theirs", Ask::Resolve(Resolve::Theirs), written(6, 4, 15)),
        row("what was refused", read("m", At::Latest), node(6, "m", (4, 15, 15), "mine")),
        row("it is resolved", Ask::Conflicts, Answer::Conflicts(Vec::new())),
        row("another to keep", kept("lost"), Answer::Conflict),
        row("ours", Ask::Resolve(Resolve::Ours), Answer::Done),
        row("a third", kept("lost too"), Answer::Conflict),
        row("by hand", Ask::Resolve(Resolve::Manual("both")), written(6, 5, 16)),
        row("what a hand wrote", read("m", At::Latest), node(6, "m", (5, 16, 16), "both")),
        row("a large one to keep", Ask::Write(large), Answer::Conflict),
        row("that large one", Ask::Conflicts, conflict("m", "stale_clock")),
        row("the large one stays away", Ask::Resolve(Resolve::Ours), Answer::Done),
    ]
}

fn branched() -> Vec<Row> {
    let create = |name, at| Ask::CreateBranch { name, at };
    let branches = |names: &[(&str, u64)]| {
        let branches = names.iter().map(|(name, revision)| ((*name).to_owned(), *revision));
        Answer::Branches(branches.collect())
    };
    let topic = Answer::Branch {
        name: "topic".to_owned(),
        revision: 4,
        from: Some(("main".to_owned(), 4)),
    };
    vec![
        row("a branch", create("topic", 4), topic),
        row("the same branch", create("topic", 4), refused("AlreadyExists")),
        row("from the future", create("other", 99), refused("NotFound")),
        row("a bad name", create("a..b", 4), invalid()),
        row("the branches", Ask::Branches, branches(&[("main", 16), ("topic", 4)])),
        row("no longer", Ask::DeleteBranch { name: "topic" }, Answer::Done),
        row("not twice", Ask::DeleteBranch { name: "topic" }, refused("NotFound")),
        row("those left", Ask::Branches, branches(&[("main", 16)])),
    ]
}

fn change(path: &'static str, change: Change, seen: Seen) -> Write {
    Write { path, change, seen, keep: false, operation: None, elsewhere: None }
}

fn of(writes: Vec<Write>) -> Set {
    Set { writes, expected: None, operation: None }
}

fn set(writes: Vec<Write>) -> Ask {
    Ask::Set(of(writes))
}

/// Writes this at `path` and at `e`.
fn operation(path: &'static str, content: &'static str) -> Ask {
    let put = |path| change(path, file(content), Seen::Nothing);
    Ask::Set(Set { operation: Some(1), ..of(vec![put(path), put("e")]) })
}

fn all(revisions: (u64, u64), results: &[(usize, u64, u64)]) -> Answer {
    Answer::Set { revisions, results: results.to_vec() }
}

fn conflict(path: &str, reason: &str) -> Answer {
    Answer::Conflicts(vec![(path.to_owned(), reason.to_owned())])
}
