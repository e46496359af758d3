//! What an import finds, leaves out, and how it ends.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

fn write(root: &Path, path: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().expect("below root")).expect("created");
    std::fs::write(path, "x\n").expect("written");
}

fn paths(walked: &walk::Walked) -> Vec<&str> {
    walked.files.iter().map(|file| file.path.as_str()).collect()
}

#[test]
fn every_file_but_git_is_found_hidden_ones_too() {
    let root = tempfile::tempdir().expect("a directory");
    for path in [".hidden/a", "src/lib.rs", ".git/config", "sub/.git", "target/x"] {
        write(root.path(), path);
    }
    std::fs::write(root.path().join(".gitignore"), "target/\n").expect("written");
    let all = walk::walk(root.path(), false).expect("readable");
    assert_eq!(paths(&all), [".gitignore", ".hidden/a", "src/lib.rs", "target/x"]);
    let without_ignored = walk::walk(root.path(), true).expect("readable");
    assert_eq!(paths(&without_ignored), [".gitignore", ".hidden/a", "src/lib.rs"]);
}

#[test]
fn executables_and_links_have_attributes() {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path(), "run.sh");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(root.path().join("run.sh"), executable).expect("set");
    std::os::unix::fs::symlink("run.sh", root.path().join("zlink")).expect("linked");
    let walked = walk::walk(root.path(), false).expect("readable");
    let attribute = |at: usize, name: &str| walked.files[at].attributes.get(name).cloned();
    assert_eq!(attribute(0, walk::MODE).as_deref(), Some("100755"));
    assert_eq!(attribute(1, walk::SYMLINK).as_deref(), Some("run.sh"));
    assert_eq!(walked.files[1].source, None);
}

#[test]
fn names_that_no_node_can_have_are_escaped_as_those_of_git() {
    let root = tempfile::tempdir().expect("a directory");
    let names = [b"bad\xff".as_slice(), "e\u{301}".as_bytes(), b"line\nbreak", b"[incomplete"];
    for name in names {
        std::fs::write(root.path().join(OsStr::from_bytes(name)), "x").expect("written");
    }
    let walked = walk::walk(root.path(), true).expect("readable");
    assert_eq!(paths(&walked), ["[incomplete", "bad%FF", "e%CC%81", "line%0Abreak"]);
    let has_original =
        |file: &LocalFile| file.attributes.contains_key(vdom_git::node_path::ORIGINAL_PATH);
    let originals: Vec<_> = walked.files.iter().map(has_original).collect();
    assert_eq!(originals, [false, true, true, true]);
}

#[test]
fn a_missing_directory_or_a_file_says_so() {
    let root = tempfile::tempdir().expect("a directory");
    let missing = walk::walk(&root.path().join("none"), false).expect_err("missing");
    assert_eq!(missing.exit, Exit::NotFound);
    write(root.path(), "file");
    let file = walk::walk(&root.path().join("file"), false).expect_err("a file");
    assert!(file.advice.is_some_and(|advice| advice.contains("vdom put")));
}

#[test]
fn one_bad_file_does_not_end_an_import_but_a_lost_server_does() {
    let mut tally = ImportTally::default();
    tally.problem("a".into(), Failure::new(Exit::Conflict, "changed")).expect("goes on");
    assert_eq!(tally.problems.exit(), Some(Exit::Conflict));
    tally.problem("b".into(), Failure::failed("unreadable")).expect("goes on");
    assert_eq!(tally.problems.exit(), Some(Exit::Failed));
    let away = Failure::new(Exit::Unavailable, "away");
    let ended = tally.problem("c".into(), away).expect_err("ends");
    assert!(ended.advice.is_some_and(|advice| advice.contains("again")));
}
