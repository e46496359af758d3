//! Finds the newest log of a name by the ids that its logs can have.

use std::collections::HashSet;

use crate::log::{LogId, LogName};

/// So many ids are looked for at once: the incarnations 1, 2, 4 … 2¹⁵ after the newest
/// known one.
const PROBES: u32 = 16;

/// A search whose reads its caller makes. Incarnations follow one another without gaps,
/// so those that exist are the first ones; most names have one, which a single round
/// finds.
pub(crate) struct IncarnationSearch<'a> {
    name: &'a LogName,
    /// The greatest that is known to exist; 0 where none is.
    newest: u64,
    /// The least that is known not to exist.
    missing: u64,
}

impl<'a> IncarnationSearch<'a> {
    /// A search that has asked for nothing yet.
    pub(crate) fn new(name: &'a LogName) -> Self {
        Self { name, newest: 0, missing: u64::MAX }
    }

    /// The logs to look for next, in ascending order of their incarnations; none when
    /// the search has ended. After the first that does not exist no more need be looked for.
    pub(crate) fn probes(&self) -> impl Iterator<Item = (u64, LogId)> {
        (0..PROBES)
            .map_while(|power| self.newest.checked_add(1 << power))
            .take_while(|incarnation| *incarnation < self.missing)
            .map(|incarnation| (incarnation, self.name.log_id(incarnation)))
    }

    /// Takes in which of the probes exist: those up to `newest`, or none.
    pub(crate) fn narrow(&mut self, probes: &[(u64, LogId)], exists: impl Fn(LogId) -> bool) {
        let found = probes.iter().take_while(|(_, log)| exists(*log)).count();
        if let Some((newest, _)) = found.checked_sub(1).and_then(|last| probes.get(last)) {
            self.newest = *newest;
        }
        if let Some((missing, _)) = probes.get(found) {
            self.missing = *missing;
        }
    }

    /// The whole search, where one log is looked for at a time.
    pub(crate) fn run<E>(
        name: &'a LogName,
        mut exists: impl FnMut(u64, LogId) -> Result<bool, E>,
    ) -> Result<Option<u64>, E> {
        let mut search = Self::new(name);
        loop {
            let (mut probes, mut existing) = (Vec::new(), HashSet::new());
            for (incarnation, log) in search.probes() {
                probes.push((incarnation, log));
                if !exists(incarnation, log)? {
                    break;
                }
                existing.insert(log);
            }
            if probes.is_empty() {
                return Ok(search.newest());
            }
            search.narrow(&probes, |log| existing.contains(&log));
        }
    }

    /// The newest incarnation, once the search has ended.
    pub(crate) fn newest(&self) -> Option<u64> {
        (self.newest > 0).then_some(self.newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_any_number_is_found() {
        let name = LogName::default();
        for existing in (0..300).chain([32_767, 32_768, 32_769, 65_536, 1_000_003]) {
            let mut search = IncarnationSearch::new(&name);
            let mut rounds = 0;
            loop {
                let probes: Vec<_> = search.probes().collect();
                if probes.is_empty() {
                    break;
                }
                rounds += 1;
                let exists = |log| {
                    let probe = probes.iter().find(|(_, probe)| *probe == log);
                    probe.is_some_and(|(incarnation, _)| *incarnation <= existing)
                };
                search.narrow(&probes, exists);
            }
            assert_eq!(search.newest(), (existing > 0).then_some(existing));
            assert!(rounds <= if existing < 2 { 1 } else { 60 }, "{rounds} for {existing}");
        }
    }
}
