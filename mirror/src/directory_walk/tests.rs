//! What rules leave out, compared with git itself.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::*;

fn directory(files: &[(&[u8], &[u8])]) -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for (path, content) in files {
        let path = root.path().join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }
    root
}

fn walked(root: &Path) -> BTreeSet<Vec<u8>> {
    let rules = WalkRules { in_folders: &[".gitignore"], never: &[".git"], ..WalkRules::default() };
    let mut files = BTreeSet::new();
    walk(root, &rules, |path, entry| {
        if let WalkedEntry::File(_) = entry {
            files.insert(path.to_vec());
        }
    })
    .expect("walked");
    files
}

/// What git would add.
fn of_git(root: &Path) -> BTreeSet<Vec<u8>> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(root).args(arguments).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", "/nonexistent");
        let output = command.output().expect("git runs");
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    git(&["init", "--quiet"]);
    let listed = git(&["ls-files", "--others", "--exclude-standard", "-z"]);
    fs::remove_dir_all(root.join(".git")).expect("removed");
    let paths = listed.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    paths.map(<[u8]>::to_vec).collect()
}

#[test]
fn rules_are_bytes_and_leave_out_what_git_leaves_out() {
    let root = directory(&[
        (b".gitignore", b"*.o\n# J\xfcrgen\nsecret.env\ncaf\xe9\n/top\nbuilt/\n!built/kept\n*~"),
        (b"secret.env", b""),
        (b"a.o", b""),
        (b"caf\xe9", b""),
        (b"caf\xe8", b""),
        (b"top", b""),
        (b"a/top", b""),
        (b"built/kept", b""),
        (b"a/.gitignore", b"\xef\xbb\xbf*\n!*.c\n!/b/\nb/*\\ \n\\#x\n"),
        (b"a/x.c", b""),
        (b"a/x.h", b""),
        (b"a/b/y.c", b""),
        (b"a/b/y ", b""),
        (b"a/#x", b""),
        (b"note~", b""),
        (b"c/**/x", b""),
    ]);
    let found = walked(root.path());
    let expected: [&[u8]; 5] = [b".gitignore", b"a/b/y.c", b"a/x.c", b"c/**/x", b"caf\xe8"];
    assert_eq!(found, expected.iter().map(|path| path.to_vec()).collect());
    assert_eq!(found, of_git(root.path()));
}

#[test]
fn rules_that_cannot_be_read_end_the_walk() {
    let root = directory(&[(b"a/secret.env", b"")]);
    std::os::unix::fs::symlink(".gitignore", root.path().join("a/.gitignore")).expect("linked");
    let rules = WalkRules { in_folders: &[".gitignore"], ..WalkRules::default() };
    let refused = walk(root.path(), &rules, |_, _| {}).expect_err("a link to itself");
    assert!(refused.to_string().contains("a/.gitignore"), "{refused}");
    // Without rules it is a file like others.
    walk(root.path(), &WalkRules::default(), |_, _| {}).expect("walked");
}

#[test]
fn stronger_rules_come_later_and_those_of_a_folder_end_with_it() {
    let root = directory(&[
        (b"all", b"*.x\n"),
        (b"a/.gitignore", b"!*.x\n*.y\n"),
        (b"a/.ignore", b"!1.y\n"),
        (b"a/1.x", b""),
        (b"a/1.y", b""),
        (b"a/2.y", b""),
        (b"b/1.x", b""),
        (b"b/1.y", b""),
    ]);
    let everywhere = [root.path().join("all"), root.path().join("none"), root.path().join("all/x")];
    let rules = WalkRules {
        everywhere: &everywhere,
        in_folders: &[".gitignore", ".ignore"],
        never: &["all", ".gitignore", ".ignore"],
    };
    let mut files = Vec::new();
    walk(root.path(), &rules, |path, entry| match entry {
        WalkedEntry::File(_) => files.push(String::from_utf8(path.to_vec()).expect("text")),
        WalkedEntry::Folder | WalkedEntry::Unreadable(_) => {}
    })
    .expect("walked");
    assert_eq!(files, ["a/1.x", "a/1.y", "b/1.y"]);
}
