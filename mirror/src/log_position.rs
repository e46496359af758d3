//! A place in a branch's log.

/// A place in a branch's log, later ones greater; zeros: before everything, or not
/// known at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub struct LogPosition {
    pub epoch: u64,
    pub revision: u64,
}
