//! Names and paths: what is accepted keeps the rules whoever reads it, and git's names
//! come back from where they are kept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unicode_normalization::UnicodeNormalization;
use vdom_core::limits::{NAME_MAX_BYTES, PATH_MAX_BYTES};
use vdom_core::names::parse_prefix;
use vdom_core::{BranchAddress, BranchName, NodePath, RealmName, RepoName};
use vdom_git::branch_name::encode_branch;
use vdom_git::node_path::{decode_path, encode_path};
use vdom_git::quoted_path;

fuzz_target!(|data: &[u8]| check(data));

/// The input is a name: of whatever names there are.
fn check(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        plain_names(text);
        branch_name(text);
        node_path(text);
    }
    git_path(data);
    git_branch(data);
    quoting(data);
}

fn plain_names(text: &str) {
    let (realm, repo) = (RealmName::parse(text), RepoName::parse(text));
    assert_eq!(realm.is_ok(), repo.is_ok());
    let Ok(realm) = realm else { return };
    assert_eq!(realm.as_str(), text);
    assert!((1..=NAME_MAX_BYTES).contains(&text.len()));
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)));
    assert!(!matches!(text, "." | ".."));
}

fn branch_name(text: &str) {
    let Ok(branch) = BranchName::parse(text) else { return };
    assert_eq!(branch.as_str(), text);
    assert_eq!(encode_branch(text.as_bytes()) == text, is_plain_for_git(text));
    // `git check-ref-format refs/heads/NAME`, as its manual numbers the rules.
    let segments = text.split('/');
    assert!(
        segments.clone().all(|part| !part.starts_with('.') && part.strip_suffix(".lock").is_none())
    );
    assert!(!text.contains("..") && !text.contains("//") && !text.contains("@{"));
    assert!(!text.starts_with('/') && !text.ends_with('/') && !text.ends_with('.'));
    assert!(!text.starts_with('-') && text != "@" && text.len() <= NAME_MAX_BYTES);
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !b"~^:?*[\\".contains(&byte)));
    let address = BranchAddress::parse("", "repo", text).expect("a branch by itself");
    assert_eq!(address.to_string(), format!("default/repo/{text}"));
}

/// Whether a branch of git keeps its name; the others are escaped.
fn is_plain_for_git(text: &str) -> bool {
    !text.starts_with("git/") && !text.contains("_x") && !text.contains("_h")
}

fn node_path(text: &str) {
    let Ok(path) = NodePath::parse(text) else { return };
    assert_eq!(path.as_str(), text);
    assert_eq!(NodePath::parse(path.as_str()).as_ref(), Ok(&path));
    assert!((1..=PATH_MAX_BYTES).contains(&text.len()));
    assert!(!text.chars().any(char::is_control));
    assert!(text.chars().eq(text.nfc()), "{text:?} is not in form C");
    assert!(text.split('/').all(|segment| !matches!(segment, "" | "." | "..")));
    // A file system that joins the path to a folder stays in the folder.
    let parts = std::path::Path::new(text).components();
    assert!(parts.clone().all(|part| matches!(part, std::path::Component::Normal(_))));
    assert_eq!(parts.count(), text.split('/').count());
    let prefix = parse_prefix(&format!("{text}/")).expect("a prefix");
    assert!(path.is_covered_by(&prefix) && path.is_covered_by(""));
    assert!(!NodePath::parse(&format!("x{text}")).is_ok_and(|other| other.is_covered_by(text)));
    for (at, _) in text.match_indices('/') {
        assert!(path.is_covered_by(&text[..at]));
    }
}

/// A path of git is kept where it can be found again, and no other path is kept there:
/// what is escaped can be read back, and what is cut has its hash.
fn git_path(data: &[u8]) {
    let Some(kept) = encode_path(data) else { return };
    let text = kept.path.as_str();
    assert_eq!(NodePath::parse(text).as_ref(), Ok(&kept.path));
    assert_eq!(decode_path(text, kept.original.as_deref()).as_deref(), Some(data));
    if kept.original.is_none() {
        assert!(!text.starts_with(".vdom/") && text != ".vdom");
        assert_eq!((text.as_bytes(), unescaped(text).as_slice()), (data, data));
    } else if !text.contains("%~") {
        assert_eq!(unescaped(text), data);
        // It cannot be taken for a path that was kept as it is.
        assert_ne!(encode_path(text.as_bytes()).expect("short enough").path, kept.path);
    }
}

/// Reads `%` and two hexadecimal digits as the byte that they stand for.
fn unescaped(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::new();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        if let Some(digits) = escaped.filter(|_| *first == b'%') {
            bytes.extend(hex::decode(digits).expect("two digits"));
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

fn git_branch(data: &[u8]) {
    let branch = encode_branch(data);
    BranchName::parse(&branch).expect("a branch for any name");
    assert!(!branch.starts_with("git/"), "{branch} is one of our own");
    let is_same = branch.as_bytes() == data;
    let has_escape = branch.contains("_x") || branch.contains("_h");
    assert!(is_same || has_escape, "{branch} could be another's name");
    if !branch.contains("_h") {
        let unescaped: Vec<u8> = unescaped(&branch.replace('%', "%25").replace("_x", "%"));
        assert_eq!(unescaped, data, "{branch}");
    }
}

fn quoting(data: &[u8]) {
    let quoted = quoted_path::quote(data);
    assert!(!quoted.contains(&b'\n'));
    if quoted.first() == Some(&b'"') {
        let (plain, rest) = quoted_path::unquote(&quoted).expect("what we quote");
        assert_eq!((plain.as_slice(), rest), (data, b"".as_slice()));
    } else {
        assert_eq!(quoted.as_ref(), data);
    }
    if data.first() == Some(&b'"') {
        match quoted_path::unquote(data) {
            Ok((plain, rest)) => assert!(plain.len() + rest.len() + 2 <= data.len()),
            Err(place) => assert!((1..=data.len()).contains(&place)),
        }
    }
}
