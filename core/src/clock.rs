//! Vector clocks: what a writer had seen of a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::error::{Error, Result};
use crate::limits::{ACTOR_MAX_BYTES, CLOCK_MAX_ACTORS};

/// The entry that the longest unused actors fold into.
pub const FOLDED_ACTOR: &str = "";

/// Actor → how many of its changes were seen. Absent and 0 are the same. Clones share the entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct VectorClock {
    #[cbor(n(0), with = "shared")]
    entries: Arc<BTreeMap<String, u64>>,
}

/// How one clock stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockOrdering {
    /// The same changes.
    Equal,
    /// This one has seen less.
    Behind,
    /// This one has seen more.
    Ahead,
    /// Each has seen what the other has not.
    Concurrent,
}

impl VectorClock {
    /// A clock from entries; zeros are left out. Refuses more than 64 actors
    /// and actor names above 256 bytes or with control characters.
    pub fn from_entries(entries: impl IntoIterator<Item = (String, u64)>) -> Result<Self> {
        let entries: BTreeMap<_, _> =
            entries.into_iter().filter(|(_, counter)| *counter > 0).collect();
        if entries.len() > CLOCK_MAX_ACTORS {
            return Err(Error::invalid(format!(
                "vector_clock has {} actors, at most {CLOCK_MAX_ACTORS} are allowed: send the \
                 clock as it was read",
                entries.len()
            )));
        }
        for actor in entries.keys().filter(|actor| !actor.is_empty()) {
            check_actor(actor)?;
        }
        Ok(Self { entries: Arc::new(entries) })
    }

    /// True where nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries, by actor; none is 0.
    pub fn entries(&self) -> &BTreeMap<String, u64> {
        &self.entries
    }

    /// How many changes of `actor` were seen.
    pub fn get(&self, actor: &str) -> u64 {
        self.entries.get(actor).copied().unwrap_or(0)
    }

    /// How this clock stands to `other`.
    pub fn compare(&self, other: &Self) -> ClockOrdering {
        let has_more_than = |left: &Self, right: &Self| {
            left.entries.iter().any(|(actor, counter)| *counter > right.get(actor))
        };
        match (has_more_than(self, other), has_more_than(other, self)) {
            (false, false) => ClockOrdering::Equal,
            (false, true) => ClockOrdering::Behind,
            (true, false) => ClockOrdering::Ahead,
            (true, true) => ClockOrdering::Concurrent,
        }
    }

    /// The clock after one more change of `actor`. `last_used` says when an
    /// actor last changed the node (any increasing measure): where the clock
    /// would exceed 64 actors, the longest unused one folds into `""`.
    #[must_use]
    pub fn incremented(&self, actor: &str, last_used: impl Fn(&str) -> u64) -> Self {
        let mut entries = BTreeMap::clone(&self.entries);
        *entries.entry(actor.to_owned()).or_insert(0) += 1;
        while entries.len() > CLOCK_MAX_ACTORS {
            let longest_unused = entries
                .keys()
                .filter(|name| !name.is_empty() && name.as_str() != actor)
                .min_by_key(|name| last_used(name))
                .cloned();
            let Some(folded) = longest_unused else { break };
            let counter = entries.remove(&folded).unwrap_or(0);
            *entries.entry(FOLDED_ACTOR.to_owned()).or_insert(0) += counter;
        }
        Self { entries: Arc::new(entries) }
    }
}

/// Entries that are shared have the stored form of those that are not.
mod shared {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use minicbor::{Decode, Decoder, Encode, Encoder};

    pub(super) fn encode<C, W: minicbor::encode::Write>(
        entries: &Arc<BTreeMap<String, u64>>,
        encoder: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        BTreeMap::encode(entries, encoder, context)
    }

    pub(super) fn decode<C>(
        decoder: &mut Decoder<'_>,
        context: &mut C,
    ) -> Result<Arc<BTreeMap<String, u64>>, minicbor::decode::Error> {
        BTreeMap::decode(decoder, context).map(Arc::new)
    }
}

/// Checks the name of an actor: 1 to 256 bytes without control characters.
pub fn check_actor(actor: &str) -> Result<()> {
    if actor.is_empty() || actor.len() > ACTOR_MAX_BYTES || actor.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "actor {actor:?} must have 1 to {ACTOR_MAX_BYTES} bytes and no control characters"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
