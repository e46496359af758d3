//! The words of the REST API for the domain's choices.

use serde::Deserialize;
use vdom_core::NodeKind;
use vdom_core::dom::calls::{AckLevel, OnConflict};

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnConflictWord {
    Reject,
    Merge,
    Overwrite,
}

impl From<OnConflictWord> for OnConflict {
    fn from(word: OnConflictWord) -> Self {
        match word {
            OnConflictWord::Reject => Self::Reject,
            OnConflictWord::Merge => Self::Merge,
            OnConflictWord::Overwrite => Self::Overwrite,
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AckWord {
    Committed,
    Local,
}

impl From<AckWord> for AckLevel {
    fn from(word: AckWord) -> Self {
        match word {
            AckWord::Committed => Self::Committed,
            AckWord::Local => Self::Local,
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindWord {
    File,
    Meta,
    Intent,
}

impl From<KindWord> for NodeKind {
    fn from(word: KindWord) -> Self {
        match word {
            KindWord::File => Self::File,
            KindWord::Meta => Self::Meta,
            KindWord::Intent => Self::Intent,
        }
    }
}

/// How a conflict ends.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ResolutionWord {
    Ours,
    Theirs,
    Merge,
    Manual,
}
