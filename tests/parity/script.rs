//! What is asked at every door, in order, and what is answered.

use bytes::Bytes;
use vdom_core::NodeKind;
use vdom_core::document::DocumentBuilder;

use super::answer::{Answer, Ask, At, Change, ChangeLine, Elsewhere, Node, Seen, TreeNode, Write};

/// A question and its answer.
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) ask: Ask,
    pub(super) answer: Answer,
    /// False where a door may have no words for the question.
    pub(super) everywhere: bool,
}

const AUTHOR: &str = "anonymous";
/// Needs several chunks and pieces.
const LARGE_BYTES: usize = 5_000_000;

pub(super) fn rows() -> Vec<Row> {
    let row = |what, ask, answer| Row { what, ask, answer, everywhere: true };
    let only_grpc = |what, ask, answer| Row { what, ask, answer, everywhere: false };
    let meta = number_document("a", 1);
    let large: Bytes = (0..LARGE_BYTES).map(|at| (at % 251) as u8).collect();
    let too_large = too_large_document();
    vec![
        row("a repo that is not there", read("a", At::Latest), refused("NotFound")),
        row("a first write", write("a", file("one"), Seen::Nothing), written(0, 1, 1)),
        row("another node", write("b", file("two"), Seen::Nothing), written(1, 1, 2)),
        row("a path that exists", write("a", file("x"), Seen::Nothing), Answer::Conflict),
        row("an edit", write("a", file("three"), Seen::Version(1)), written(0, 2, 3)),
        row("a stale edit", write("a", file("x"), Seen::Version(1)), Answer::Conflict),
        row("an edit of the future", write("a", file("x"), Seen::Version(9)), Answer::Conflict),
        row("an overwrite", write("a", file("four"), Seen::Any), written(0, 3, 4)),
        row("the latest", read("a", At::Latest), node(0, "a", (3, 4, 4), "four")),
        row("as it was", read("a", At::Revision(1)), node(0, "a", (1, 1, 1), "one")),
        row("as it still was", read("a", At::Revision(2)), node(0, "a", (1, 2, 1), "one")),
        row("before it was", read("b", At::Revision(1)), refused("NotFound")),
        row("at least so new", read("a", At::NotBefore(4)), node(0, "a", (3, 4, 4), "four")),
        row("newer than there is", read("a", At::NotBefore(99)), refused("Unavailable")),
        row("in the future", read("a", At::Revision(99)), refused("NotFound")),
        only_grpc("by its id", Ask::ReadById { node: 1 }, node(1, "b", (1, 4, 2), "two")),
        row("a text edit", write("a", Change::Prepend("> "), Seen::Version(3)), written(0, 4, 5)),
        row("the edited text", read("a", At::Latest), node(0, "a", (4, 5, 5), "> four")),
        row("a rename", write("b", Change::Rename("c/d"), Seen::Version(1)), written(1, 2, 6)),
        row("where it was", read("b", At::Latest), refused("NotFound")),
        row("when it was there", read("b", At::Revision(5)), node(1, "b", (1, 5, 2), "two")),
        row("where it is", read("c/d", At::Latest), node(1, "c/d", (2, 6, 6), "two")),
        row(
            "a rename onto a node",
            write("c/d", Change::Rename("a"), Seen::Version(2)),
            Answer::Conflict,
        ),
        row("a tree", tree("", At::Latest), nodes(6, &[(0, "a", 4, 6), (1, "c/d", 2, 3)])),
        row("a subtree", tree("c", At::Latest), nodes(6, &[(1, "c/d", 2, 3)])),
        row(
            "a tree as it was",
            tree("", At::Revision(2)),
            nodes(2, &[(0, "a", 1, 3), (1, "b", 1, 3)]),
        ),
        row("a tree of nothing", tree("c", At::Revision(2)), nodes(None, &[])),
        row("a deletion", write("c/d", Change::Delete, Seen::Version(2)), written(1, 3, 7)),
        row("what is deleted", read("c/d", At::Latest), refused("NotFound")),
        row("a deletion of nothing", write("c/d", Change::Delete, Seen::Any), refused("NotFound")),
        row("the tree without it", tree("", At::Latest), nodes(7, &[(0, "a", 4, 6)])),
        row("a path again", write("b", file("new"), Seen::Nothing), written(2, 1, 8)),
        row("an operation", operation("o", "once", 1), written(3, 1, 9)),
        row("the operation again", operation("o", "once", 1), written(3, 1, 9)),
        row("as new as the operation", read("o", At::After(1)), node(3, "o", (1, 9, 9), "once")),
        row("its id for another", operation("o", "more", 1), Answer::Conflict),
        row("a document", write("m", Change::Document(meta.clone()), Seen::Any), written(4, 1, 10)),
        row("the document", read("m", At::Latest), meta_node((1, 10, 10), &meta)),
        row("a patch", write("m", Change::ReplaceA(2), Seen::Version(1)), written(4, 2, 11)),
        row(
            "the patched document",
            read("m", At::Latest),
            meta_node((2, 11, 11), &number_document("a", 2)),
        ),
        row("text in a document", write("m", Change::Prepend("x"), Seen::Any), invalid()),
        row(
            "too large a document",
            write("m", Change::Document(too_large), Seen::Any),
            refused("TooLarge"),
        ),
        row(
            "a large file",
            write("large", Change::Streamed(large.clone()), Seen::Nothing),
            written(5, 1, 12),
        ),
        row("the large file", read("large", At::Latest), large_node(large)),
        row(
            "the branch's history",
            Ask::History { path: None },
            Answer::Changes(changes().into_iter().rev().collect()),
        ),
        row("the same, watched", Ask::Changes { count: 12 }, Answer::Changes(changes())),
        row(
            "a node's history",
            Ask::History { path: Some("a") },
            Answer::Changes(vec![
                line(5, "update", "a", 4),
                line(4, "update", "a", 3),
                line(3, "update", "a", 2),
                line(1, "create", "a", 1),
            ]),
        ),
        row("nothing's history", Ask::History { path: Some("zz") }, refused("NotFound")),
        row("a path out of the tree", write("a/../../b", file("x"), Seen::Any), invalid()),
        row("a path with NUL", write("a\0b", file("x"), Seen::Any), invalid()),
        row("a bad repo", elsewhere(Elsewhere::Repo("a b")), invalid()),
        row("a bad branch", elsewhere(Elsewhere::Branch("a..b")), invalid()),
        row("a bad realm", elsewhere(Elsewhere::Realm("a b")), invalid()),
        row("an unknown realm", elsewhere(Elsewhere::Realm("nowhere")), refused("NotFound")),
        row("the branches", Ask::Branches, Answer::Branches(vec![("main".to_owned(), 12)])),
    ]
}

/// Everything that is accepted, in order.
fn changes() -> Vec<ChangeLine> {
    vec![
        line(1, "create", "a", 1),
        line(2, "create", "b", 1),
        line(3, "update", "a", 2),
        line(4, "update", "a", 3),
        line(5, "update", "a", 4),
        ChangeLine { old_path: "b".to_owned(), ..line(6, "rename", "c/d", 2) },
        line(7, "delete", "c/d", 3),
        line(8, "create", "b", 1),
        line(9, "create", "o", 1),
        line(10, "create", "m", 1),
        line(11, "update", "m", 2),
        line(12, "create", "large", 1),
    ]
}

pub(super) fn file(content: &'static str) -> Change {
    Change::File(Bytes::from_static(content.as_bytes()))
}

pub(super) fn write(path: &'static str, change: Change, seen: Seen) -> Ask {
    Ask::Write(Write { path, change, seen, keep: false, operation: None, elsewhere: None })
}

fn operation(path: &'static str, content: &'static str, operation: u64) -> Ask {
    let (change, seen) = (file(content), Seen::Any);
    Ask::Write(Write {
        path,
        change,
        seen,
        keep: false,
        operation: Some(operation),
        elsewhere: None,
    })
}

fn elsewhere(place: Elsewhere) -> Ask {
    let (change, seen) = (file("x"), Seen::Any);
    Ask::Write(Write {
        path: "a",
        change,
        seen,
        keep: false,
        operation: None,
        elsewhere: Some(place),
    })
}

pub(super) fn read(path: &'static str, at: At) -> Ask {
    Ask::Read { path, at }
}

fn tree(prefix: &'static str, at: At) -> Ask {
    Ask::Tree { prefix, at }
}

pub(super) fn written(node: usize, version: u64, revision: u64) -> Answer {
    Answer::Written { node, version, revision }
}

pub(super) fn refused(code: &str) -> Answer {
    Answer::Refused(code.to_owned())
}

pub(super) fn invalid() -> Answer {
    refused("InvalidArgument")
}

/// A FILE; the numbers are its version, the answer's revision, and the one at
/// which the node last changed.
pub(super) fn node(
    number: usize,
    path: &str,
    numbers: (u64, u64, u64),
    content: &'static str,
) -> Answer {
    let (version, revision, changed_revision) = numbers;
    Answer::Node(Node {
        number,
        path: path.to_owned(),
        kind: NodeKind::File,
        version,
        revision,
        changed_revision,
        author: AUTHOR.to_owned(),
        content: Bytes::from_static(content.as_bytes()),
    })
}

fn meta_node(numbers: (u64, u64, u64), document: &Bytes) -> Answer {
    let Answer::Node(file) = node(4, "m", numbers, "") else { unreachable!() };
    Answer::Node(Node { kind: NodeKind::Meta, content: document.clone(), ..file })
}

fn large_node(content: Bytes) -> Answer {
    let Answer::Node(file) = node(5, "large", (1, 12, 12), "") else { unreachable!() };
    Answer::Node(Node { content, ..file })
}

/// Files, each as (number, path, version, size).
fn nodes(revision: impl Into<Option<u64>>, files: &[(usize, &str, u64, u64)]) -> Answer {
    let nodes = files.iter().map(|(number, path, version, size_bytes)| TreeNode {
        number: *number,
        path: (*path).to_owned(),
        kind: NodeKind::File,
        version: *version,
        size_bytes: *size_bytes,
    });
    Answer::Tree { revision: revision.into(), nodes: nodes.collect() }
}

fn line(revision: u64, change: &str, path: &str, version: u64) -> ChangeLine {
    ChangeLine {
        revision,
        change: change.to_owned(),
        path: path.to_owned(),
        old_path: String::new(),
        version,
        author: AUTHOR.to_owned(),
    }
}

/// `{<key>: <number>}`, and values that must survive a patch as they are.
fn number_document(key: &str, number: i32) -> Bytes {
    let mut document = DocumentBuilder::new();
    document.append_i64("long", 1).append_f64("half", 0.5).append_i32(key, number);
    document.append_bytes("bytes", b"\0\xff");
    document.finish()
}

fn too_large_document() -> Bytes {
    let mut document = DocumentBuilder::new();
    document.append_bytes("b", &vec![0; LARGE_BYTES]);
    document.finish()
}
