//! Entity tags: which node, in which version and form.
//!
//! The content of a version is always the same bytes, so its tag is strong. Its JSON says how
//! current it is as well, so its tag is weak, and another one. To a condition of a write both
//! name the version.

use std::fmt;

use http::HeaderMap;
use http::header::HeaderName;
use vdom_core::NodeId;

/// What follows the version in the tag of a node's JSON.
const JSON_SUFFIX: &str = ".json";

/// What an answer shows of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Its content alone.
    Content,
    /// An object with all that is known.
    Json,
}

/// A node in one version, and what an answer shows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntityTag {
    pub(super) node: NodeId,
    pub(super) version: u64,
    pub(super) form: Form,
}

/// The entity tag of a node's content in one version.
pub(super) fn entity_tag(node: NodeId, version: u64) -> String {
    EntityTag { node, version, form: Form::Content }.to_string()
}

impl EntityTag {
    fn parse(tag: &str) -> Option<Self> {
        // Proxies weaken tags when they compress.
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let tag = tag.strip_prefix('"')?.strip_suffix('"')?;
        let (tag, form) = match tag.strip_suffix(JSON_SUFFIX) {
            Some(tag) => (tag, Form::Json),
            None => (tag, Form::Content),
        };
        let (node, version) = tag.split_once('.')?;
        Some(Self { node: NodeId::from_hex(node).ok()?, version: version.parse().ok()?, form })
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, version, form } = self;
        match form {
            Form::Content => write!(formatter, "\"{node}.{version}\""),
            Form::Json => write!(formatter, "W/\"{node}.{version}{JSON_SUFFIX}\""),
        }
    }
}

/// The entity tags of a condition.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EntityTags {
    /// `*`: whatever stands there.
    Any,
    /// Nodes in these versions.
    Of(Vec<EntityTag>),
}

impl EntityTags {
    /// The condition in this header.
    pub(super) fn parse(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut tags = Vec::new();
        let mut found = false;
        for value in headers.get_all(name) {
            found = true;
            let text = value.to_str().unwrap_or_default();
            for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
                if tag == "*" {
                    return Some(Self::Any);
                }
                // A tag that is not ours matches nothing, which is no error.
                tags.extend(EntityTag::parse(tag));
            }
        }
        found.then_some(Self::Of(tags))
    }

    /// Whether an answer of this tag is among them.
    pub(super) fn match_form(&self, tag: EntityTag) -> bool {
        match self {
            Self::Any => true,
            Self::Of(tags) => tags.contains(&tag),
        }
    }

    /// Whether the node is among them, in whatever form it was read.
    pub(super) fn match_node(&self, id: NodeId, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Of(tags) => tags.iter().any(|tag| tag.node == id && tag.version == version),
        }
    }

    /// The version of the node that they name.
    pub(super) fn version_of(&self, node: NodeId) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::Of(tags) => tags.iter().find(|tag| tag.node == node).map(|tag| tag.version),
        }
    }
}
