//! Three-way merging: what two writers made of the same thing, made one.
//!
//! Text by line, documents by field, attributes by name. A merge is clean or
//! names what conflicts; it never drops what either writer did.

mod attributes;
mod document;
mod text;

use bytes::Bytes;

use crate::dom::calls::ConflictHunk;
use crate::dom::node::NodeKind;
use crate::error::Result;

pub use attributes::merge_attributes;
pub use document::merge_document;
pub use text::merge_text;

/// What a merge comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged<T> {
    /// What both writers did.
    Clean(T),
    /// Where they disagree: at least one place, at most
    /// [`CONFLICT_MAX_HUNKS`](crate::limits::CONFLICT_MAX_HUNKS).
    Conflicting(Vec<ConflictHunk>),
}

/// Merges the contents of a node: `base` is what the writer had seen, `current`
/// what stands there, `proposed` what the writer made of `base`.
///
/// `DataLoss` where a document cannot be read. The size of what comes out is for
/// the caller to limit, as the size of any new content.
pub fn merge(
    kind: NodeKind,
    base: &Bytes,
    current: &Bytes,
    proposed: &Bytes,
) -> Result<Merged<Bytes>> {
    if kind.is_document() {
        merge_document(base, current, proposed)
    } else {
        Ok(merge_text(base, current, proposed))
    }
}

/// What is certain without looking inside: where one side changed nothing, the
/// other, and what both made equal.
fn settled<'a, T: PartialEq>(base: &T, current: &'a T, proposed: &'a T) -> Option<&'a T> {
    if current == proposed || base == proposed {
        Some(current)
    } else if base == current {
        Some(proposed)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
