//! The words of the REST API for what the wire numbers.

use serde::Deserialize;
use vdom_proto::v1 as wire;

/// What to do about a conflict.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnConflictWord {
    Reject,
    Merge,
    Overwrite,
}

impl OnConflictWord {
    pub(super) fn to_wire(self) -> wire::OnConflict {
        match self {
            Self::Reject => wire::OnConflict::Reject,
            Self::Merge => wire::OnConflict::Merge,
            Self::Overwrite => wire::OnConflict::Overwrite,
        }
    }
}

/// What an answer must promise.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AckWord {
    Committed,
    Local,
}

impl AckWord {
    pub(super) fn to_wire(self) -> wire::AckLevel {
        match self {
            Self::Committed => wire::AckLevel::Committed,
            Self::Local => wire::AckLevel::Local,
        }
    }
}

/// What a node is.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindWord {
    File,
    Meta,
    Intent,
}

impl KindWord {
    pub(super) fn to_wire(self) -> wire::NodeKind {
        match self {
            Self::File => wire::NodeKind::File,
            Self::Meta => wire::NodeKind::Meta,
            Self::Intent => wire::NodeKind::Intent,
        }
    }
}

/// How a conflict ends.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum ResolutionWord {
    Ours,
    Theirs,
    Merge,
    Manual,
}

impl ResolutionWord {
    pub(super) fn to_wire(self) -> wire::resolve_conflict_request::Resolution {
        use wire::resolve_conflict_request::Resolution;
        match self {
            Self::Ours => Resolution::Ours,
            Self::Theirs => Resolution::Theirs,
            Self::Merge => Resolution::Merge,
            Self::Manual => Resolution::Manual,
        }
    }
}
