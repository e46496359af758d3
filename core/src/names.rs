//! Names of realms, repos, branches and nodes, and the rules they keep. Clones share their text.

use std::fmt;
use std::sync::Arc;

use minicbor::{Decode, Decoder, Encode, Encoder};
use unicode_normalization::is_nfc;

use crate::error::{Error, Result};
use crate::limits::{NAME_MAX_BYTES, PATH_MAX_BYTES};

/// A tenant: 1 to 128 bytes of `[A-Za-z0-9._-]`, neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RealmName(Arc<str>);

/// A repo within a realm; the same rule as [`RealmName`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoName(Arc<str>);

/// A branch within a repo: 1 to 128 bytes of `[A-Za-z0-9._/-]` that git would
/// take as a ref (`git check-ref-format`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BranchName(Arc<str>);

/// The path of a node in a branch: 1 to 1,024 bytes of UTF-8 in NFC, segments
/// joined by `/`, no empty, `.` or `..` segment, no control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodePath(Arc<str>);

/// A branch and all that its name is relative to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BranchAddress {
    /// The tenant.
    pub realm: RealmName,
    /// The repo.
    pub repo: RepoName,
    /// The branch.
    pub branch: BranchName,
}

impl RealmName {
    /// The realm where nobody names one.
    pub const DEFAULT: &'static str = "default";

    /// Checks the rule.
    pub fn parse(name: &str) -> Result<Self> {
        check_plain_name("realm", name).map(|()| Self(name.into()))
    }
}

impl RepoName {
    /// Checks the rule.
    pub fn parse(name: &str) -> Result<Self> {
        check_plain_name("repo", name).map(|()| Self(name.into()))
    }
}

impl BranchName {
    /// Checks the rule.
    pub fn parse(name: &str) -> Result<Self> {
        check_length("branch", name, NAME_MAX_BYTES)?;
        check_characters("branch", name, "A-Za-z0-9._/-", |byte| {
            byte.is_ascii_alphanumeric() || b"._/-".contains(&byte)
        })?;
        let refused = |why: &str| Err(Error::invalid(format!("branch `{name}` {why}")));
        if name == "@" || name.starts_with('-') {
            return refused("must not start with `-`");
        }
        if name.contains("..") {
            return refused("must not contain `..`");
        }
        if name.ends_with('.') {
            return refused("must not end with `.`");
        }
        for segment in name.split('/') {
            if segment.is_empty() {
                return refused("has an empty segment: no leading, trailing or double `/`");
            }
            if segment.starts_with('.') {
                return refused("has a segment that starts with `.`");
            }
            if segment.strip_suffix(".lock").is_some() {
                return refused("has a segment that ends with `.lock`");
            }
        }
        Ok(Self(name.into()))
    }
}

impl NodePath {
    /// Checks the rule.
    pub fn parse(path: &str) -> Result<Self> {
        check_length("path", path, PATH_MAX_BYTES)?;
        if let Some((at, character)) = path.char_indices().find(|(_, c)| c.is_control()) {
            return Err(Error::invalid(format!(
                "path {path:?} has the control character U+{:04X} at byte {at}",
                u32::from(character)
            )));
        }
        for segment in path.split('/') {
            if segment.is_empty() {
                return Err(Error::invalid(format!(
                    "path `{path}` has an empty segment: no leading, trailing or double `/`"
                )));
            }
            if segment == "." || segment == ".." {
                return Err(Error::invalid(format!(
                    "path `{path}` has the segment `{segment}`: name nodes from the root"
                )));
            }
        }
        if !is_nfc(path) {
            return Err(Error::invalid(format!(
                "path `{path}` is not in Unicode normalization form C: normalize it first"
            )));
        }
        Ok(Self(path.into()))
    }

    /// True for the path itself and for what lies below it, whole segments only:
    /// `lib` covers `lib/a`, never `library`. The empty prefix covers all.
    pub fn is_covered_by(&self, prefix: &str) -> bool {
        is_covered_by(&self.0, prefix)
    }
}

/// [`NodePath::is_covered_by`] of a path that was checked when it was stored.
pub fn is_covered_by(path: &str, prefix: &str) -> bool {
    prefix.is_empty()
        || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Takes a prefix of whole segments: empty, or a path.
pub fn parse_prefix(prefix: &str) -> Result<String> {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if prefix.is_empty() {
        return Ok(String::new());
    }
    NodePath::parse(prefix).map(|path| path.as_str().to_owned())
}

impl BranchAddress {
    /// Checks all three names; an empty realm is `default`.
    pub fn parse(realm: &str, repo: &str, branch: &str) -> Result<Self> {
        let realm = if realm.is_empty() { RealmName::DEFAULT } else { realm };
        Ok(Self {
            realm: RealmName::parse(realm)?,
            repo: RepoName::parse(repo)?,
            branch: BranchName::parse(branch)?,
        })
    }

    /// How errors name a node of this branch.
    pub fn node(&self, path: impl fmt::Display) -> String {
        format!("{self}:{path}")
    }
}

impl fmt::Display for BranchAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.realm.0, self.repo.0, self.branch.0)
    }
}

macro_rules! as_text {
    ($($name:ident),+) => {
        $(
            impl $name {
                /// The name as text.
                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                    formatter.write_str(&self.0)
                }
            }

            impl AsRef<str> for $name {
                fn as_ref(&self) -> &str {
                    &self.0
                }
            }

            impl std::borrow::Borrow<str> for $name {
                fn borrow(&self) -> &str {
                    &self.0
                }
            }
        )+
    };
}

as_text!(RealmName, RepoName, BranchName, NodePath);

impl<C> Encode<C> for NodePath {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> std::result::Result<(), minicbor::encode::Error<W::Error>> {
        encoder.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for NodePath {
    fn decode(
        decoder: &mut Decoder<'b>,
        _: &mut C,
    ) -> std::result::Result<Self, minicbor::decode::Error> {
        Self::parse(decoder.str()?).map_err(minicbor::decode::Error::message)
    }
}

fn check_plain_name(what: &str, name: &str) -> Result<()> {
    check_length(what, name, NAME_MAX_BYTES)?;
    check_characters(what, name, "A-Za-z0-9._-", |byte| {
        byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
    })?;
    if name == "." || name == ".." {
        return Err(Error::invalid(format!("{what} `{name}` is not a name")));
    }
    Ok(())
}

fn check_length(what: &str, name: &str, max_bytes: usize) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(format!("{what} is empty: name one")));
    }
    if name.len() > max_bytes {
        return Err(Error::invalid(format!(
            "{what} has {} bytes, at most {max_bytes} are allowed",
            name.len()
        )));
    }
    Ok(())
}

fn check_characters(
    what: &str,
    name: &str,
    allowed: &str,
    is_allowed: impl Fn(u8) -> bool,
) -> Result<()> {
    match name.char_indices().find(|(at, _)| !is_allowed(name.as_bytes()[*at])) {
        None => Ok(()),
        Some((at, character)) => Err(Error::invalid(format!(
            "{what} {name:?} has {character:?} at byte {at}: allowed are {allowed}"
        ))),
    }
}

#[cfg(test)]
mod tests;
