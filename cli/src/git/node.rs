//! Files of git as nodes: what is an attribute, and what is content.

use std::collections::BTreeMap;

use super::path::ORIGINAL_PATH;
use super::stream::Mode;

/// The attribute with the mode that git would keep; an ordinary file has none.
pub const MODE: &str = "mode";
/// The attribute with the target of a symbolic link, whose content is empty.
pub const SYMLINK: &str = "symlink";
/// The attribute with the commit of a submodule, whose content is empty.
pub const SUBMODULE: &str = "gitlink";

/// The longest target that is kept as an attribute.
const TARGET_MAX_BYTES: usize = 1_024;

/// The attributes of a node.
pub type Attributes = BTreeMap<String, String>;

/// What the content of a file is as a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// In the content of the node.
    InContent,
    /// In an attribute; the content is empty.
    InAttribute,
}

/// What a node is as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOfNode {
    /// A file of this mode with the node's content.
    Content(Mode),
    /// A symbolic link to this.
    Link(String),
    /// A submodule at this commit.
    Submodule(String),
}

/// The attributes of a file, apart from its path. `content` is the target of a
/// symbolic link or the commit of a submodule, and not looked at for others. A
/// target that is no text, or long, stays in the content.
pub fn attributes(mode: Mode, content: &[u8]) -> (Attributes, Held) {
    let with_mode = |name: &str, value: String| {
        [(MODE, mode.as_str().to_owned()), (name, value)]
            .into_iter()
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    };
    match mode {
        Mode::Plain | Mode::Directory => (Attributes::new(), Held::InContent),
        Mode::Executable => (with_mode("", String::new()), Held::InContent),
        Mode::Submodule => {
            let commit = String::from_utf8_lossy(content).into_owned();
            (with_mode(SUBMODULE, commit), Held::InAttribute)
        }
        Mode::SymbolicLink => match std::str::from_utf8(content) {
            Ok(target)
                if (1..=TARGET_MAX_BYTES).contains(&target.len()) && !target.contains('\0') =>
            {
                ([(SYMLINK.to_owned(), target.to_owned())].into(), Held::InAttribute)
            }
            _ => (with_mode("", String::new()), Held::InContent),
        },
    }
}

/// The names of the attributes that a file of this mode may have, apart from
/// its path.
pub fn names(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::Plain | Mode::Directory => &[],
        Mode::Executable => &[MODE],
        Mode::SymbolicLink => &[MODE, SYMLINK],
        Mode::Submodule => &[MODE, SUBMODULE],
    }
}

/// What a node with these attributes is as a file.
pub fn file(attributes: &Attributes) -> FileOfNode {
    if let Some(target) = attributes.get(SYMLINK) {
        return FileOfNode::Link(target.clone());
    }
    let mode = attributes.get(MODE).and_then(|mode| Mode::parse(mode.as_bytes()));
    match (mode, attributes.get(SUBMODULE)) {
        (Some(Mode::Submodule), Some(commit)) => FileOfNode::Submodule(commit.clone()),
        (Some(mode @ (Mode::Executable | Mode::SymbolicLink)), _) => FileOfNode::Content(mode),
        _ => FileOfNode::Content(Mode::Plain),
    }
}

/// The mode of the file that a node with these attributes is.
pub fn mode(attributes: &Attributes) -> Mode {
    match file(attributes) {
        FileOfNode::Content(mode) => mode,
        FileOfNode::Link(_) => Mode::SymbolicLink,
        FileOfNode::Submodule(_) => Mode::Submodule,
    }
}

/// The bytes of the path that git has for a node. `None` where its attribute
/// is garbled.
pub fn path(path: &str, attributes: &Attributes) -> Option<Vec<u8>> {
    super::path::original(path, attributes.get(ORIGINAL_PATH).map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_mode_come_back() {
        let commit = "9223a7da1efd7ef7266fefad8ba66876ada0429e";
        for (mode, content, expected) in [
            (Mode::Plain, b"x".as_slice(), FileOfNode::Content(Mode::Plain)),
            (Mode::Executable, b"x", FileOfNode::Content(Mode::Executable)),
            (Mode::SymbolicLink, b"../a", FileOfNode::Link("../a".into())),
            (Mode::SymbolicLink, b"\xff", FileOfNode::Content(Mode::SymbolicLink)),
            (Mode::SymbolicLink, b"", FileOfNode::Content(Mode::SymbolicLink)),
            (Mode::Submodule, commit.as_bytes(), FileOfNode::Submodule(commit.into())),
        ] {
            let (attributes, held) = attributes(mode, content);
            let found = file(&attributes);
            assert_eq!(held == Held::InContent, matches!(found, FileOfNode::Content(_)));
            assert_eq!(found, expected);
            assert!(attributes.keys().all(|name| names(mode).contains(&name.as_str())));
        }
    }
}
