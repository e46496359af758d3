//! Files of a directory, and what is never done to them.

use std::fs::{self, Permissions};
use std::io::Write;

use tempfile::TempDir;

use super::*;

fn disk() -> (TempDir, Disk) {
    let root = tempfile::tempdir().expect("a folder");
    let disk = Disk::open(root.path()).expect("opened");
    (root, disk)
}

fn path(text: &str) -> LocalPath {
    LocalPath::new(text.as_bytes()).expect("a path")
}

fn look(disk: &Disk, path: &str) -> Look {
    match disk.look(path.as_bytes()) {
        Found::File(look) => look,
        other => panic!("{path}: {other:?}"),
    }
}

fn staged(disk: &Disk, content: &str, is_executable: bool) -> Staged {
    let (staged, mut file) = disk.home().stage_file(is_executable).expect("staged");
    file.write_all(content.as_bytes()).expect("written");
    staged
}

#[test]
fn what_nobody_has_seen_is_not_written_over() {
    let (root, disk) = disk();
    let read = |path: &str| fs::read_to_string(root.path().join(path)).expect("there");
    let brought = disk.bring(&staged(&disk, "1", false), b"a/b", None).expect("brought");
    assert_eq!(brought, Some(look(&disk, "a/b")));
    let refused = disk.bring(&staged(&disk, "2", false), b"a/b", None).expect("looked");
    assert_eq!((refused, read("a/b")), (None, "1".to_owned()), "something stands there");

    let seen = look(&disk, "a/b");
    fs::write(root.path().join("a/b"), "edited").expect("written");
    let refused = disk.bring(&staged(&disk, "2", false), b"a/b", Some(&seen)).expect("looked");
    assert_eq!((refused, read("a/b")), (None, "edited".to_owned()), "it was edited since");
    assert!(!disk.remove(&path("a/b"), &seen).expect("looked"), "it was edited since");

    let seen = look(&disk, "a/b");
    disk.bring(&staged(&disk, "2", false), b"a/b", Some(&seen)).expect("brought");
    assert_eq!(read("a/b"), "2");
    assert!(disk.remove(&path("a/b"), &look(&disk, "a/b")).expect("removed"));
    assert!(!root.path().join("a").exists(), "an empty folder is left");
}

#[test]
fn only_the_executable_bit_of_a_file_is_the_branchs() {
    let (root, disk) = disk();
    let file = root.path().join("secret");
    fs::write(&file, "1").expect("written");
    for (is_executable, before, after) in
        [(false, 0o600, 0o600), (true, 0o640, 0o750), (false, 0o755, 0o644)]
    {
        fs::set_permissions(&file, Permissions::from_mode(before)).expect("set");
        let staged = staged(&disk, "2", is_executable);
        disk.bring(&staged, b"secret", Some(&look(&disk, "secret"))).expect("brought");
        let mode = fs::metadata(&file).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, after, "{before:o}");
    }
}

#[test]
fn a_file_is_what_it_holds_and_a_link_where_it_leads() {
    let (root, disk) = disk();
    fs::write(root.path().join("a"), "x").expect("written");
    std::os::unix::fs::symlink("x", root.path().join("link")).expect("linked");
    let shape = |name: &str| disk.shape(&path(name), &look(&disk, name)).expect("read");
    let (a, link) = (shape("a").expect("a shape"), shape("link").expect("a shape"));
    assert_eq!((a.form, link.form, a.sha256), (Form::Plain, Form::Link, link.sha256));
    let before = look(&disk, "a");
    fs::write(root.path().join("a"), "longer").expect("written");
    assert_eq!(disk.shape(&path("a"), &before).expect("read"), None, "it changed meanwhile");
}

#[test]
fn a_survey_leaves_out_what_rules_name_unless_it_is_known() {
    let (root, disk) = disk();
    for (path, content) in [
        (".gitignore", "*.log\n/built/\n"),
        ("a/.ignore", "left\n"),
        ("a/left", ""),
        ("a/kept", ""),
        ("b.log", ""),
        ("known.log", ""),
        ("built/x", ""),
        ("built/known", ""),
        (".git/config", ""),
        ("a/.git", "gitdir: elsewhere"),
        ("backup~", ""),
        ("a/kept.vdom-theirs", ""),
    ] {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }
    let known = [path("known.log"), path("built/known"), path("gone")];
    let survey = disk.survey(known.iter()).expect("surveyed");
    let files: Vec<_> = survey.files.keys().map(LocalPath::shown).collect();
    assert_eq!(files, [".gitignore", "a/.ignore", "a/kept", "built/known", "known.log"]);
    let folders: Vec<_> =
        survey.folders.iter().map(|path| path.escape_ascii().to_string()).collect();
    assert_eq!(folders, ["", "a", "built"]);
}

#[test]
fn a_directory_that_is_gone_is_not_an_empty_one() {
    let (root, disk) = disk();
    fs::remove_dir_all(root.path()).expect("removed");
    let refused = disk.survey(std::iter::empty()).expect_err("gone");
    assert_eq!(refused.exit, Exit::NotFound);
}
