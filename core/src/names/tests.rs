//! The rules of names, by example.

use super::*;

#[test]
fn good_names_are_taken() {
    for name in ["a", "vdom", "my.repo_1-x", &"r".repeat(128)] {
        assert!(RepoName::parse(name).is_ok(), "{name}");
        assert!(RealmName::parse(name).is_ok(), "{name}");
    }
    for name in ["main", "feature/x", "release-1.0", "a/b/c"] {
        assert!(BranchName::parse(name).is_ok(), "{name}");
    }
    for path in ["README.md", "src/lib.rs", "a b/ü.txt", ".gitignore", "...", &"p".repeat(1024)] {
        assert!(NodePath::parse(path).is_ok(), "{path}");
    }
}

#[test]
fn bad_names_are_refused_with_the_reason() {
    for (name, reason) in [
        ("", "empty"),
        ("a/b", "'/' at byte 1"),
        ("ü", "'ü' at byte 0"),
        ("..", "not a name"),
        (&"r".repeat(129), "at most 128"),
    ] {
        let error = RepoName::parse(name).expect_err(name);
        assert!(error.message.contains(reason), "{name}: {error}");
    }
    for (name, reason) in [
        ("", "empty"),
        ("/a", "empty segment"),
        ("a//b", "empty segment"),
        ("a/", "empty segment"),
        ("a..b", "`..`"),
        (".a", "starts with `.`"),
        ("a/.b", "starts with `.`"),
        ("a.lock", ".lock"),
        ("a.lock/b", ".lock"),
        ("a.", "end with `.`"),
        ("-a", "start with `-`"),
        ("a b", "' ' at byte 1"),
    ] {
        let error = BranchName::parse(name).expect_err(name);
        assert!(error.message.contains(reason), "{name}: {error}");
    }
    for (path, reason) in [
        ("", "empty"),
        ("/a", "empty segment"),
        ("a//b", "empty segment"),
        ("a/", "empty segment"),
        ("./a", "segment `.`"),
        ("a/../b", "segment `..`"),
        ("a\0b", "U+0000 at byte 1"),
        ("a\nb", "U+000A at byte 1"),
        ("u\u{308}", "normalization"),
        (&"p".repeat(1025), "at most 1024"),
    ] {
        let error = NodePath::parse(path).expect_err(path);
        assert!(error.message.contains(reason), "{path}: {error}");
    }
}

#[test]
fn prefixes_cover_whole_segments() {
    let path = NodePath::parse("lib/a.rs").expect("valid");
    assert!(path.is_covered_by(""));
    assert!(path.is_covered_by("lib"));
    assert!(path.is_covered_by("lib/a.rs"));
    assert!(!path.is_covered_by("li"));
    assert!(!NodePath::parse("library/a.rs").expect("valid").is_covered_by("lib"));
    assert_eq!(parse_prefix("lib/").as_deref(), Ok("lib"));
    assert!(parse_prefix("lib//").is_err());
}
