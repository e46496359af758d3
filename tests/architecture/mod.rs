//! Holds the dependency table: what may use what, by the `use` lines and the
//! manifests.

mod cycles;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Crate, its folder, and what it may use of ours.
const CRATES: &[(&str, &str, &[&str])] = &[
    ("proto", "proto", &[]),
    ("core", "core", &[]),
    ("store", "store", &["core"]),
    ("edge", "edge", &["core"]),
    ("api", "api", &["core", "edge", "proto"]),
    ("security", "rooms/security", &["core", "edge", "store"]),
    ("dom", "rooms/dom", &["api", "core", "edge", "security", "store"]),
    ("gateway", ".", &["api", "core", "dom", "edge", "proto", "security", "store"]),
    ("sidecar", "sidecar", &["api", "core", "edge", "proto", "store"]),
    ("git", "git", &["core"]),
    ("client", "client", &["core", "edge", "proto"]),
    ("mirror", "mirror", &["client", "core", "git", "proto"]),
    ("cli", "cli", &["client", "core", "edge", "gateway", "git", "mirror", "proto", "sidecar"]),
];

/// Folder of the gateway, and what it may use within the gateway.
const GATEWAY: &[(&str, &[&str])] = &[
    ("config", &[]),
    ("lifecycle", &[]),
    ("transport", &["config", "lifecycle"]),
    ("app", &["config", "lifecycle", "transport"]),
];

/// The document room from the inside out: what each part may use stands before it.
const DOCUMENT_ROOM: &[&str] = &[
    "error",
    "metrics",
    "log_names",
    "uploads",
    "content",
    "records",
    "log_reader",
    "branch",
    "views",
    "writer",
    "registry",
    "compaction",
    "collection",
    "verbs",
    "service",
    "maintenance",
];

/// No source is longer.
const LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie below the root").into()
}

/// Every Rust source below `folder`, or the file itself, tests included.
fn sources(folder: &Path) -> Vec<PathBuf> {
    if folder.is_file() {
        return vec![folder.into()];
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> =
        entries.flat_map(|entry| sources(&entry.expect("readable").path())).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    found.sort();
    found
}

/// The names that follow `marker` in code, comments left out.
fn names_after(marker: &str, path: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(path).expect("readable");
    let mut names = BTreeSet::new();
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
        let mut rest = line;
        while let Some(at) = rest.find(marker) {
            let starts_word = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            rest = &rest[at + marker.len()..];
            if starts_word {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                names.insert(rest[..end.unwrap_or(rest.len())].to_owned());
            }
        }
    }
    names
}

#[test]
fn crates_use_only_what_the_table_allows() {
    for (crate_name, folder, allowed) in CRATES {
        for source in sources(&root().join(folder).join("src")) {
            for name in names_after("vdom_", &source) {
                let own = name == *crate_name;
                let is_ours = CRATES.iter().any(|(other, ..)| *other == name);
                assert!(
                    own || !is_ours || allowed.contains(&name.as_str()),
                    "{} uses vdom_{name}: the table of the house does not allow it",
                    source.display()
                );
            }
        }
    }
}

#[test]
fn the_gateway_only_wires() {
    let source_root = root().join("src");
    let known: BTreeSet<_> = GATEWAY.iter().map(|(room, _)| *room).collect();
    for entry in std::fs::read_dir(&source_root).expect("readable") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        let room = name.trim_end_matches(".rs");
        assert!(
            room == "lib" || known.contains(room),
            "src/{name} is not in the table of the gateway"
        );
    }
    for (room, allowed) in GATEWAY {
        let mut files = sources(&source_root.join(room));
        files.extend(sources(&source_root.join(format!("{room}.rs"))));
        for source in files {
            for name in names_after("crate::", &source) {
                assert!(
                    name == *room
                        || !known.contains(name.as_str())
                        || allowed.contains(&name.as_str()),
                    "{} uses crate::{name}: the table of the gateway does not allow it",
                    source.display()
                );
            }
        }
    }
}

#[test]
fn the_document_room_points_one_way() {
    let source_root = root().join("rooms/dom/src");
    for entry in std::fs::read_dir(&source_root).expect("readable") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        let part = name.trim_end_matches(".rs");
        assert!(
            ["lib", "tests"].contains(&part) || DOCUMENT_ROOM.contains(&part),
            "rooms/dom/src/{name} is not in the table of the document room"
        );
    }
    for (at, part) in DOCUMENT_ROOM.iter().enumerate() {
        let mut files = sources(&source_root.join(part));
        files.extend(sources(&source_root.join(format!("{part}.rs"))));
        for source in files {
            for name in names_after("crate::", &source) {
                assert!(
                    DOCUMENT_ROOM[..=at].contains(&name.as_str()),
                    "{} uses crate::{name}: the table of the document room does not allow it",
                    source.display()
                );
            }
        }
    }
}

#[test]
fn rooms_know_no_backend_and_no_wire() {
    for room in ["dom", "security"] {
        for source in sources(&root().join("rooms").join(room)) {
            let text = std::fs::read_to_string(&source).expect("readable");
            for forbidden in ["vdom_proto", "tonic", "vdom_store::embedded", "vdom_store::mongodb"]
            {
                assert!(
                    !text.contains(forbidden),
                    "{} names {forbidden}: rooms know the contract alone",
                    source.display()
                );
            }
        }
    }
}

#[test]
fn only_the_wiring_makes_permits() {
    let wiring = root().join("src/app.rs");
    for source in all_sources() {
        let is_test = source.components().any(|part| part.as_os_str() == "tests");
        let is_security = source.starts_with(root().join("rooms/security"));
        if is_test || is_security || source == wiring {
            continue;
        }
        let text = std::fs::read_to_string(&source).expect("readable");
        let makes = ["Authority", "::new("].concat();
        assert!(!text.contains(&makes), "{} makes an authority", source.display());
    }
}

#[test]
fn core_needs_no_runtime_and_no_clock() {
    for source in sources(&root().join("core/src")) {
        // Tests may read files and keep time.
        if source.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let text = std::fs::read_to_string(&source).expect("readable");
        for forbidden in ["tokio", "std::fs", "std::net", "SystemTime::now", "Instant::now"] {
            assert!(!text.contains(forbidden), "{} names {forbidden}", source.display());
        }
    }
}

/// Every Rust source of the repository.
fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("readable").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                let is_foreign = name.starts_with('.') || name.starts_with("target");
                if !is_foreign && name != "node_modules" {
                    waiting.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 500, "{} sources are not all", found.len());
    found
}

#[test]
fn every_source_says_what_it_is_for() {
    for source in all_sources() {
        let text = std::fs::read_to_string(&source).expect("readable");
        assert!(text.starts_with("//!"), "{} does not open with a `//!` line", source.display());
    }
}

#[test]
fn no_source_is_long() {
    for source in all_sources() {
        let lines = std::fs::read_to_string(&source).expect("readable").lines().count();
        assert!(
            lines <= LINES_MAX,
            "{} has {lines} lines, at most {LINES_MAX} are allowed: split it",
            source.display()
        );
    }
}
