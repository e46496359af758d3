//! `attr`: sets and unsets a node's attributes.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::limits::{METADATA_MAX_BYTES, METADATA_MAX_ENTRIES};

/// Which attributes change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeEdit {
    /// New values.
    pub set: BTreeMap<String, String>,
    /// Names that go; one that is not there is no error.
    pub unset: BTreeSet<String>,
}

impl AttributeEdit {
    /// The attributes after the edit. `TooLarge` where they exceed a node's
    /// limit.
    pub fn apply(&self, attributes: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
        let mut after = attributes.clone();
        after.retain(|name, _| !self.unset.contains(name));
        after.extend(self.set.iter().map(|(name, value)| (name.clone(), value.clone())));
        match excess(after.iter().map(|(name, value)| name.len() + value.len())) {
            None => Ok(after),
            Some(excess) => Err(Error::too_large(format!("the node would have {excess}"))),
        }
    }

    /// Refuses an edit that contradicts itself or is beyond every node's limit.
    pub(super) fn check(&self) -> Result<()> {
        if self.set.contains_key("") || self.unset.contains("") {
            return Err(Error::invalid("an attribute's name is empty"));
        }
        if let Some(name) = self.unset.iter().find(|name| self.set.contains_key(*name)) {
            return Err(Error::invalid(format!("the attribute {name:?} is both set and unset")));
        }
        let set = self.set.iter().map(|(name, value)| name.len() + value.len());
        match excess(set).or_else(|| excess(self.unset.iter().map(String::len))) {
            None => Ok(()),
            Some(excess) => Err(Error::invalid(format!("the diff names {excess}"))),
        }
    }
}

/// By what so many entries of these sizes exceed the limits.
fn excess(sizes: impl ExactSizeIterator<Item = usize>) -> Option<String> {
    let entries = sizes.len();
    let bytes: usize = sizes.sum();
    if entries > METADATA_MAX_ENTRIES {
        return Some(format!("{entries} attributes, at most {METADATA_MAX_ENTRIES} are allowed"));
    }
    (bytes > METADATA_MAX_BYTES)
        .then(|| format!("attributes of {bytes} bytes, at most {METADATA_MAX_BYTES} are allowed"))
}
