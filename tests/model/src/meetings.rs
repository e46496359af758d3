//! Which features met: one touched a branch, or what it continues, that the other had
//! touched before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What may happen to a branch.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    TwoGateways,
    LostViews,
    LostAnswer,
    Quota,
    Race,
    Restart,
    Crash,
    Idle,
    Fork,
    ForkOfFork,
    Deletion,
    Recreation,
    Rename,
    Set,
    Merge,
    Conflict,
    KeptConflict,
    Resolution,
    Revert,
    Large,
    Retry,
    OldRead,
    Subscription,
    Compaction,
    Collection,
    Rebuild,
    Restore,
}

use Feature::{
    Collection, Compaction, Conflict, Crash, Deletion, Fork, ForkOfFork, Idle, KeptConflict, Large,
    LostAnswer, LostViews, Merge, OldRead, Quota, Race, Rebuild, Recreation, Rename, Resolution,
    Restart, Restore, Retry, Revert, Set, Subscription, TwoGateways,
};

/// The meetings that a whole run must reach.
pub const REQUIRED: &[(Feature, Feature)] = &[
    (TwoGateways, Compaction),
    (TwoGateways, Fork),
    (TwoGateways, Deletion),
    (TwoGateways, Recreation),
    (TwoGateways, Merge),
    (TwoGateways, Subscription),
    (TwoGateways, Restore),
    (TwoGateways, Crash),
    (TwoGateways, Resolution),
    (TwoGateways, Revert),
    (LostViews, Compaction),
    (LostViews, Fork),
    (LostViews, OldRead),
    (LostViews, Restart),
    (LostViews, Rename),
    (LostAnswer, Set),
    (LostAnswer, Retry),
    (Quota, Fork),
    (Race, Compaction),
    (Race, Merge),
    (Race, Fork),
    (Restart, Retry),
    (Restart, Compaction),
    (Crash, Compaction),
    (Crash, Set),
    (Idle, Fork),
    (Idle, Subscription),
    (Fork, Compaction),
    (Fork, OldRead),
    (Fork, Rename),
    (Fork, Revert),
    (Fork, Restore),
    (Fork, Merge),
    (ForkOfFork, OldRead),
    (ForkOfFork, Compaction),
    (ForkOfFork, Restore),
    (ForkOfFork, Revert),
    (ForkOfFork, Merge),
    (ForkOfFork, Deletion),
    (ForkOfFork, Crash),
    (ForkOfFork, TwoGateways),
    (ForkOfFork, LostViews),
    (Crash, Fork),
    (Deletion, Fork),
    (Recreation, Retry),
    (Recreation, Restore),
    (Rename, Compaction),
    (Rename, Merge),
    (Rename, Revert),
    (Set, Compaction),
    (Set, Retry),
    (Set, Subscription),
    (Merge, Compaction),
    (Conflict, Compaction),
    (KeptConflict, Compaction),
    (Resolution, Merge),
    (Resolution, Compaction),
    (Revert, Compaction),
    (Large, Collection),
    (Large, Compaction),
    (Large, Restore),
    (Large, Revert),
    (Retry, Compaction),
    (Retry, Rebuild),
    (OldRead, Compaction),
    (Subscription, Compaction),
    (Subscription, Deletion),
    (Compaction, Collection),
    (Compaction, Rebuild),
    (Compaction, Restore),
    (Collection, Restore),
];

/// How often which features met.
#[derive(Clone, Debug, Default)]
pub struct Meetings {
    /// By log, what has touched it.
    touched: BTreeMap<usize, BTreeSet<Feature>>,
    everywhere: BTreeSet<Feature>,
    counts: BTreeMap<(Feature, Feature), u64>,
}

impl Meetings {
    /// From now on, what is said here holds for every branch.
    pub fn everywhere(&mut self, feature: Feature) {
        self.everywhere.insert(feature);
        for log in self.touched.keys().copied().collect::<Vec<_>>() {
            self.touch(log, feature);
        }
    }

    /// A log continues another.
    pub fn inherit(&mut self, child: usize, parent: usize) {
        let features = self.touched.get(&parent).cloned().unwrap_or_default();
        self.touched.entry(child).or_default().extend(features);
    }

    /// A feature touches a log.
    pub fn touch(&mut self, log: usize, feature: Feature) {
        let touched = self.touched.entry(log).or_default();
        touched.extend(&self.everywhere);
        for other in touched.iter().filter(|other| **other != feature) {
            *self.counts.entry((*other.min(&feature), *other.max(&feature))).or_default() += 1;
        }
        touched.insert(feature);
    }

    /// Adds what another run has counted.
    pub fn add(&mut self, other: &Self) {
        for (pair, count) in &other.counts {
            *self.counts.entry(*pair).or_default() += count;
        }
    }

    /// The required meetings that were never reached.
    pub fn missing(&self) -> Vec<(Feature, Feature)> {
        let is_missing = |(left, right): &&(Feature, Feature)| {
            !self.counts.contains_key(&(*left.min(right), *left.max(right)))
        };
        REQUIRED.iter().filter(is_missing).copied().collect()
    }
}

impl fmt::Display for Meetings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: BTreeSet<_> =
            self.counts.keys().flat_map(|(left, right)| [*left, *right]).collect();
        for row in &names {
            write!(formatter, "{:>13}", format!("{row:?}"))?;
            for column in names.iter().take_while(|column| *column < row) {
                let count = self.counts.get(&(*column, *row)).copied().unwrap_or(0);
                let shown = match count {
                    0..1_000 => count.to_string(),
                    1_000..1_000_000 => format!("{}k", count / 1_000),
                    _ => format!("{}M", count / 1_000_000),
                };
                write!(formatter, " {shown:>4}")?;
            }
            writeln!(formatter)?;
        }
        write!(formatter, "{:13}", "")?;
        for name in &names {
            write!(formatter, " {:>4.4}", format!("{name:?}"))?;
        }
        writeln!(formatter)
    }
}
