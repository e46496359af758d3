//! Files in the directory, and none beside it.

use super::*;

fn write(confined_dir: &ConfinedDir, path: &[u8]) -> io::Result<()> {
    let mut file = confined_dir.file(path, false)?;
    file.write_all(b"x")?;
    file.finish()
}

#[test]
fn files_folders_and_links_are_made() {
    let root = tempfile::tempdir().expect("a folder");
    let confined_dir = ConfinedDir::open(&root.path().join("new/place")).expect("opened");
    write(&confined_dir, b"a/b/c").expect("written");
    write(&confined_dir, b"a/b/c").expect("written over");
    write(&confined_dir, b"caf\xe9").expect("written");
    confined_dir.link(b"a/link", b"../../outside").expect("linked");
    confined_dir.folder(b"empty/folder").expect("made");
    let path = root.path().join("new/place");
    assert_eq!(std::fs::read(path.join("a/b/c")).expect("there"), b"x");
    assert!(path.join("empty/folder").is_dir());
    let names = std::fs::read_dir(path.join("a")).expect("a folder").count();
    assert_eq!(names, 2, "nothing unfinished is left");
}

#[test]
fn no_path_leads_out_or_into_a_repository() {
    let root = tempfile::tempdir().expect("a folder");
    let confined_dir = ConfinedDir::open(&root.path().join("place")).expect("opened");
    for path in [
        b"../x".as_slice(),
        b"a/../../x",
        b"/etc/x",
        b"",
        b"a//b",
        b"./x",
        b"a\0b",
        b".git/hooks/post-checkout",
        b"a/.GIT/config",
        b".git ./x",
        b"GIT~1/x",
        "\u{200d}.git/x".as_bytes(),
        b".git::$INDEX_ALLOCATION/x",
        b"a/.git:stream",
    ] {
        assert!(write(&confined_dir, path).is_err(), "{path:?}");
        assert!(confined_dir.link(path, b"x").is_err(), "{path:?}");
    }
    assert!(!root.path().join("x").exists());
}

#[test]
fn no_link_is_followed() {
    let root = tempfile::tempdir().expect("a folder");
    let outside = root.path().join("outside");
    std::fs::create_dir(&outside).expect("made");
    std::fs::write(outside.join("kept"), "kept").expect("written");
    let confined_dir = ConfinedDir::open(&root.path().join("place")).expect("opened");
    confined_dir.link(b"folder", b"../outside").expect("linked");
    let refused = write(&confined_dir, b"folder/x").expect_err("a link");
    assert!(refused.to_string().contains("folder stands in the way"), "{refused}");
    confined_dir.link(b"file", b"../outside/kept").expect("linked");
    write(&confined_dir, b"file").expect("the link itself is written over");
    assert_eq!(std::fs::read(outside.join("kept")).expect("there"), b"kept");
    assert!(!outside.join("x").exists());
}

#[test]
fn what_stands_there_is_read_moved_and_removed_with_its_empty_folders() {
    let root = tempfile::tempdir().expect("a folder");
    let confined_dir = ConfinedDir::open(root.path()).expect("opened");
    write(&confined_dir, b"a/b/c").expect("written");
    write(&confined_dir, b"a/kept").expect("written");
    assert_eq!(confined_dir.stat(b"a/b/c").expect("seen").expect("there").len(), 1);
    assert!(confined_dir.stat(b"a/b/none").expect("seen").is_none());
    assert!(confined_dir.stat(b"a/kept/none").expect("seen").is_none());
    confined_dir.rename(b"a/b/c", b"d/e").expect("moved");
    assert!(!root.path().join("a/b").exists(), "an empty folder is left");
    assert!(confined_dir.rename(b"a/kept", b"d/e").is_err(), "written over");
    confined_dir.remove(b"d/e").expect("removed");
    confined_dir.remove(b"d/e").expect("nothing to remove");
    assert!(!root.path().join("d").exists() && root.path().join("a/kept").exists());
}

#[test]
fn a_file_is_taken_in_over_another_only_where_that_is_meant() {
    let root = tempfile::tempdir().expect("a folder");
    let confined_dir = ConfinedDir::open(&root.path().join("place")).expect("opened");
    let outside = root.path().join("outside");
    std::fs::create_dir(&outside).expect("made");
    let folder = std::fs::File::open(&outside).expect("opened");
    let stage = || std::fs::write(outside.join("1"), "new").expect("written");
    stage();
    confined_dir.take_in(&folder, "1", b"a/b", ExistingFile::Refuse).expect("taken in");
    stage();
    let refused =
        confined_dir.take_in(&folder, "1", b"a/b", ExistingFile::Refuse).expect_err("taken");
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    confined_dir.take_in(&folder, "1", b"a/b", ExistingFile::Overwrite).expect("written over");
    std::fs::create_dir(root.path().join("place/empty")).expect("made");
    stage();
    confined_dir
        .take_in(&folder, "1", b"empty", ExistingFile::Refuse)
        .expect("an empty folder gives way");
    stage();
    confined_dir
        .take_in(&folder, "1", b"a", ExistingFile::Overwrite)
        .expect_err("a folder with files does not");
    assert!(confined_dir.read(b"a/b").is_ok());
}
