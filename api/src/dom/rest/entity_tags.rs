//! Entity tags, as conditions name them.

use http::HeaderMap;
use http::header::HeaderName;
use vdom_core::NodeId;

/// The entity tags of a condition.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EntityTags {
    /// `*`: whatever stands there.
    Any,
    /// Nodes in these versions.
    Of(Vec<(NodeId, u64)>),
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
                tags.extend(parse_tag(tag));
            }
        }
        found.then_some(Self::Of(tags))
    }

    /// Whether the node is among them.
    pub(super) fn match_node(&self, id: NodeId, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Of(tags) => tags.contains(&(id, version)),
        }
    }

    /// The version of the node that they name.
    pub(super) fn version_of(&self, node: NodeId) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::Of(tags) => tags.iter().find(|(id, _)| *id == node).map(|(_, version)| *version),
        }
    }
}

fn parse_tag(tag: &str) -> Option<(NodeId, u64)> {
    // Proxies weaken tags when they compress.
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let (id, version) = tag.strip_prefix('"')?.strip_suffix('"')?.split_once('.')?;
    Some((NodeId::from_hex(id).ok()?, version.parse().ok()?))
}
