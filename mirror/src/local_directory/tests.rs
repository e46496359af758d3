//! Files of a directory, and what is never done to them.

use std::fs::{self, Permissions};
use std::io::Write;

use tempfile::TempDir;

use super::*;

fn directory() -> (TempDir, LocalDirectory) {
    let root = tempfile::tempdir().expect("a folder");
    let directory = LocalDirectory::open(root.path()).expect("opened");
    (root, directory)
}

fn path(text: &str) -> LocalPath {
    LocalPath::new(text.as_bytes()).expect("a path")
}

fn stat(directory: &LocalDirectory, path: &str) -> FileStat {
    match directory.stat(path.as_bytes()) {
        LocalEntry::File(stat) => stat,
        other => panic!("{path}: {other:?}"),
    }
}

fn staged(directory: &LocalDirectory, content: &str, is_executable: bool) -> StagedFile {
    let (staged, mut file) = directory.state_dir().stage_file(is_executable).expect("staged");
    file.write_all(content.as_bytes()).expect("written");
    staged
}

#[test]
fn what_nobody_has_seen_is_not_written_over() {
    let (root, directory) = directory();
    let read = |path: &str| fs::read_to_string(root.path().join(path)).expect("there");
    let brought =
        directory.install(&staged(&directory, "1", false), b"a/b", None).expect("brought");
    assert_eq!(brought, Install::Done(Some(stat(&directory, "a/b"))));
    let refused = directory.install(&staged(&directory, "2", false), b"a/b", None).expect("looked");
    assert_eq!(
        (refused, read("a/b")),
        (Install::Refused, "1".to_owned()),
        "something stands there"
    );

    let seen = stat(&directory, "a/b");
    fs::write(root.path().join("a/b"), "edited").expect("written");
    let refused =
        directory.install(&staged(&directory, "2", false), b"a/b", Some(&seen)).expect("looked");
    assert_eq!((refused, read("a/b")), (Install::Refused, "edited".to_owned()), "edited since");
    assert!(!directory.remove(&path("a/b"), &seen).expect("looked"), "it was edited since");

    let seen = stat(&directory, "a/b");
    directory.install(&staged(&directory, "2", false), b"a/b", Some(&seen)).expect("brought");
    assert_eq!(read("a/b"), "2");
    assert!(directory.remove(&path("a/b"), &stat(&directory, "a/b")).expect("removed"));
    assert!(!root.path().join("a").exists(), "an empty folder is left");
}

#[test]
fn what_was_written_after_the_look_goes_back_to_its_place() {
    let (root, directory) = directory();
    let file = root.path().join("a/b");
    directory.install(&staged(&directory, "1", false), b"a/b", None).expect("brought");
    let seen = stat(&directory, "a/b");
    let incoming = staged(&directory, "2", false);
    fs::write(&file, "edited").expect("written");
    // Both have looked before the edit.
    let swapped = directory.exchange(&incoming, b"a/b", &seen).expect("swapped");
    assert_eq!(swapped, Exchange::Refused);
    assert_eq!(fs::read_to_string(&file).expect("there"), "edited");
    assert!(!directory.take_out(&path("a/b"), &seen).expect("looked"));
    assert_eq!(fs::read_to_string(&file).expect("there"), "edited");

    let seen = stat(&directory, "a/b");
    assert_eq!(directory.exchange(&incoming, b"a/b", &seen).expect("swapped"), Exchange::Done);
    assert_eq!(fs::read_to_string(&file).expect("there"), "2");
    fs::remove_file(&file).expect("removed");
    let swapped = directory.exchange(&incoming, b"a/b", &seen).expect("swapped");
    assert_eq!(swapped, Exchange::Refused, "it is gone");
    assert!(!directory.take_out(&path("a/b"), &seen).expect("looked"));
}

#[test]
fn only_the_executable_bit_of_a_file_is_the_branchs() {
    let (root, directory) = directory();
    let file = root.path().join("secret");
    fs::write(&file, "1").expect("written");
    for (is_executable, before, after) in
        [(false, 0o600, 0o600), (true, 0o640, 0o750), (false, 0o755, 0o644)]
    {
        fs::set_permissions(&file, Permissions::from_mode(before)).expect("set");
        let staged = staged(&directory, "2", is_executable);
        directory.install(&staged, b"secret", Some(&stat(&directory, "secret"))).expect("brought");
        let mode = fs::metadata(&file).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, after, "{before:o}");
    }
}

#[test]
fn a_file_is_what_it_holds_and_a_link_where_it_leads() {
    let (root, directory) = directory();
    fs::write(root.path().join("a"), "x").expect("written");
    std::os::unix::fs::symlink("x", root.path().join("link")).expect("linked");
    let fingerprint =
        |name: &str| directory.fingerprint(&path(name), &stat(&directory, name)).expect("read");
    let (a, link) =
        (fingerprint("a").expect("a fingerprint"), fingerprint("link").expect("a fingerprint"));
    assert_eq!(
        (a.file_type, link.file_type, a.sha256),
        (FileType::Plain, FileType::Link, link.sha256)
    );
    let before = stat(&directory, "a");
    fs::write(root.path().join("a"), "longer").expect("written");
    assert_eq!(
        directory.fingerprint(&path("a"), &before).expect("read"),
        None,
        "it changed meanwhile"
    );
}

#[test]
fn a_survey_leaves_out_what_rules_name_unless_it_is_known() {
    let (root, directory) = directory();
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
        ("git~1", ""),
    ] {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }
    let known = [path("known.log"), path("built/known"), path("gone")];
    let scan = directory.scan(known.iter()).expect("surveyed");
    let files: Vec<_> = scan.files.keys().map(LocalPath::shown).collect();
    assert_eq!(files, [".gitignore", "a/.ignore", "a/kept", "built/known", "known.log"]);
    assert_eq!(scan.unusable, [(b"git~1".to_vec(), UnusableEntry::ForGit)].into());
    let folders: Vec<_> = scan.folders.iter().map(|path| path.escape_ascii().to_string()).collect();
    assert_eq!(folders, ["", "a", "built"]);
}

#[test]
fn a_directory_that_is_gone_is_not_an_empty_one() {
    let (root, directory) = directory();
    fs::remove_dir_all(root.path()).expect("removed");
    let refused = directory.scan(std::iter::empty()).expect_err("gone");
    assert_eq!(refused.kind(), Some(ErrorKind::NotFound));
}
