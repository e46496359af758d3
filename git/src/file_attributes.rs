//! Files of git as nodes: what is an attribute, and what is content.

use std::collections::BTreeMap;

use crate::command::FileMode;
use crate::node_path::{ORIGINAL_PATH, decode_path, encode_path};
use crate::object_id::ObjectId;

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
pub enum ContentLocation {
    /// In the content of the node.
    Content,
    /// In an attribute; the content is empty.
    Attribute,
}

/// What a node is as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeFile {
    /// A file of this mode with the node's content.
    Content(FileMode),
    /// A symbolic link to this.
    Link(String),
    /// A submodule at this commit.
    Submodule(String),
}

/// The attributes of a file, apart from its path. `content` is the target of a
/// symbolic link or the commit of a submodule, and not looked at for others. A
/// target that is no text, or long, stays in the content.
pub fn encode_attributes(mode: FileMode, content: &[u8]) -> (Attributes, ContentLocation) {
    let with_mode = |name: &str, value: String| {
        [(MODE, mode.as_str().to_owned()), (name, value)]
            .into_iter()
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    };
    match mode {
        FileMode::Plain | FileMode::Directory => (Attributes::new(), ContentLocation::Content),
        FileMode::Executable => (with_mode("", String::new()), ContentLocation::Content),
        FileMode::Submodule => {
            let commit = String::from_utf8_lossy(content).into_owned();
            (with_mode(SUBMODULE, commit), ContentLocation::Attribute)
        }
        FileMode::SymbolicLink => match std::str::from_utf8(content) {
            Ok(target)
                if (1..=TARGET_MAX_BYTES).contains(&target.len()) && !target.contains('\0') =>
            {
                ([(SYMLINK.to_owned(), target.to_owned())].into(), ContentLocation::Attribute)
            }
            _ => (with_mode("", String::new()), ContentLocation::Content),
        },
    }
}

/// The names of the attributes that a file of this mode may have, apart from
/// its path.
pub fn attribute_names(mode: FileMode) -> &'static [&'static str] {
    match mode {
        FileMode::Plain | FileMode::Directory => &[],
        FileMode::Executable => &[MODE],
        FileMode::SymbolicLink => &[MODE, SYMLINK],
        FileMode::Submodule => &[MODE, SUBMODULE],
    }
}

/// What a node with these attributes is as a file.
pub fn node_file(attributes: &Attributes) -> NodeFile {
    if let Some(target) = attributes.get(SYMLINK) {
        return NodeFile::Link(target.clone());
    }
    let mode = attributes.get(MODE).and_then(|mode| FileMode::parse(mode.as_bytes()));
    match (mode, attributes.get(SUBMODULE)) {
        (Some(FileMode::Submodule), Some(commit))
            if ObjectId::parse(commit.as_bytes()).is_some() =>
        {
            NodeFile::Submodule(commit.clone())
        }
        (Some(mode @ (FileMode::Executable | FileMode::SymbolicLink)), _) => {
            NodeFile::Content(mode)
        }
        _ => NodeFile::Content(FileMode::Plain),
    }
}

/// The mode of the file that a node with these attributes is.
pub fn file_mode(attributes: &Attributes) -> FileMode {
    match node_file(attributes) {
        NodeFile::Content(mode) => mode,
        NodeFile::Link(_) => FileMode::SymbolicLink,
        NodeFile::Submodule(_) => FileMode::Submodule,
    }
}

/// The bytes of the path that git has for a node. The attribute [`ORIGINAL_PATH`] counts as
/// long as the node is where it says; whoever moves a node need not know of it.
pub fn git_path(path: &str, attributes: &Attributes) -> Vec<u8> {
    let original = attributes.get(ORIGINAL_PATH).map(String::as_str);
    decode_path(path, original)
        .filter(|original| encode_path(original).is_some_and(|kept| kept.path.as_str() == path))
        .unwrap_or_else(|| path.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_mode_come_back() {
        let commit = "9223a7da1efd7ef7266fefad8ba66876ada0429e";
        for (mode, content, expected) in [
            (FileMode::Plain, b"x".as_slice(), NodeFile::Content(FileMode::Plain)),
            (FileMode::Executable, b"x", NodeFile::Content(FileMode::Executable)),
            (FileMode::SymbolicLink, b"../a", NodeFile::Link("../a".into())),
            (FileMode::SymbolicLink, b"\xff", NodeFile::Content(FileMode::SymbolicLink)),
            (FileMode::SymbolicLink, b"", NodeFile::Content(FileMode::SymbolicLink)),
            (FileMode::Submodule, commit.as_bytes(), NodeFile::Submodule(commit.into())),
        ] {
            let (attributes, held) = encode_attributes(mode, content);
            let found = node_file(&attributes);
            assert_eq!(held == ContentLocation::Content, matches!(found, NodeFile::Content(_)));
            assert_eq!(found, expected);
            assert!(attributes.keys().all(|name| attribute_names(mode).contains(&name.as_str())));
        }
    }

    #[test]
    fn attributes_that_git_could_not_read_do_not_count() {
        let attributes = |pairs: &[(&str, &str)]| -> Attributes {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let garbled = attributes(&[(MODE, "160000"), (SUBMODULE, "main")]);
        assert_eq!(node_file(&garbled), NodeFile::Content(FileMode::Plain));
        let kept = encode_path(b"caf\xe9").expect("escaped");
        let original = kept.original.expect("its bytes");
        let escaped = attributes(&[(ORIGINAL_PATH, &original)]);
        assert_eq!(git_path(kept.path.as_str(), &escaped), b"caf\xe9");
        assert_eq!(git_path("moved", &escaped), b"moved");
        // `a//b`, and no base64.
        assert_eq!(git_path("a", &attributes(&[(ORIGINAL_PATH, "YS8vYg==")])), b"a");
        assert_eq!(git_path("a", &attributes(&[(ORIGINAL_PATH, "?")])), b"a");
    }
}
