//! Attributes, name by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::dom::calls::ConflictHunk;

use super::{Merged, settled};

/// Merges a node's attributes. A conflict's field is `attributes.` and the name.
/// How many there may be is for the caller to limit.
pub fn merge_attributes(
    base: &BTreeMap<String, String>,
    current: &BTreeMap<String, String>,
    proposed: &BTreeMap<String, String>,
) -> Merged<BTreeMap<String, String>> {
    let names: BTreeSet<_> = current.keys().chain(proposed.keys()).collect();
    let mut merged = BTreeMap::new();
    let mut conflicts = Vec::new();
    for name in names {
        match settled(&base.get(name), &current.get(name), &proposed.get(name)) {
            Some(Some(value)) => {
                merged.insert(name.clone(), (*value).clone());
            }
            Some(None) => {}
            None => conflicts.push(ConflictHunk {
                field: format!("attributes.{name}"),
                ..ConflictHunk::default()
            }),
        }
    }
    if conflicts.is_empty() { Merged::Clean(merged) } else { Merged::Conflicting(conflicts) }
}
