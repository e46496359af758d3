//! Files in their place, and none beside it.

use super::*;

fn write(place: &Place, path: &[u8]) -> io::Result<()> {
    let mut file = place.file(path, false)?;
    file.write_all(b"x")?;
    file.finish()
}

#[test]
fn files_folders_and_links_are_made() {
    let root = tempfile::tempdir().expect("a folder");
    let place = Place::open(&root.path().join("new/place")).expect("opened");
    write(&place, b"a/b/c").expect("written");
    write(&place, b"a/b/c").expect("written over");
    write(&place, b"caf\xe9").expect("written");
    place.link(b"a/link", b"../../outside").expect("linked");
    place.folder(b"empty/folder").expect("made");
    let path = root.path().join("new/place");
    assert_eq!(std::fs::read(path.join("a/b/c")).expect("there"), b"x");
    assert!(path.join("empty/folder").is_dir());
    let names = std::fs::read_dir(path.join("a")).expect("a folder").count();
    assert_eq!(names, 2, "nothing unfinished is left");
}

#[test]
fn no_path_leads_out_or_into_a_repository() {
    let root = tempfile::tempdir().expect("a folder");
    let place = Place::open(&root.path().join("place")).expect("opened");
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
    ] {
        assert!(write(&place, path).is_err(), "{path:?}");
        assert!(place.link(path, b"x").is_err(), "{path:?}");
    }
    assert!(!root.path().join("x").exists());
}

#[test]
fn no_link_is_followed() {
    let root = tempfile::tempdir().expect("a folder");
    let outside = root.path().join("outside");
    std::fs::create_dir(&outside).expect("made");
    std::fs::write(outside.join("kept"), "kept").expect("written");
    let place = Place::open(&root.path().join("place")).expect("opened");
    place.link(b"folder", b"../outside").expect("linked");
    let refused = write(&place, b"folder/x").expect_err("a link");
    assert!(refused.to_string().contains("folder stands in the way"), "{refused}");
    place.link(b"file", b"../outside/kept").expect("linked");
    write(&place, b"file").expect("the link itself is written over");
    assert_eq!(std::fs::read(outside.join("kept")).expect("there"), b"kept");
    assert!(!outside.join("x").exists());
}

#[test]
fn what_stands_there_is_read_moved_and_removed_with_its_empty_folders() {
    let root = tempfile::tempdir().expect("a folder");
    let place = Place::open(root.path()).expect("opened");
    write(&place, b"a/b/c").expect("written");
    write(&place, b"a/kept").expect("written");
    assert_eq!(place.look(b"a/b/c").expect("seen").expect("there").len(), 1);
    assert!(place.look(b"a/b/none").expect("seen").is_none());
    assert!(place.look(b"a/kept/none").expect("seen").is_none());
    place.rename(b"a/b/c", b"d/e").expect("moved");
    assert!(!root.path().join("a/b").exists(), "an empty folder is left");
    assert!(place.rename(b"a/kept", b"d/e").is_err(), "written over");
    place.remove(b"d/e").expect("removed");
    place.remove(b"d/e").expect("nothing to remove");
    assert!(!root.path().join("d").exists() && root.path().join("a/kept").exists());
}

#[test]
fn a_file_is_taken_in_over_another_only_where_that_is_meant() {
    let root = tempfile::tempdir().expect("a folder");
    let place = Place::open(&root.path().join("place")).expect("opened");
    let outside = root.path().join("outside");
    std::fs::create_dir(&outside).expect("made");
    let folder = std::fs::File::open(&outside).expect("opened");
    let stage = || std::fs::write(outside.join("1"), "new").expect("written");
    stage();
    place.take_in(&folder, "1", b"a/b", Target::Free).expect("taken in");
    stage();
    let refused = place.take_in(&folder, "1", b"a/b", Target::Free).expect_err("taken");
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    place.take_in(&folder, "1", b"a/b", Target::Any).expect("written over");
    std::fs::create_dir(root.path().join("place/empty")).expect("made");
    stage();
    place.take_in(&folder, "1", b"empty", Target::Free).expect("an empty folder gives way");
    stage();
    place.take_in(&folder, "1", b"a", Target::Any).expect_err("a folder with files does not");
    assert!(place.read(b"a/b").is_ok());
}
